/* Sessions that move much: once the handshake is over records are made and opened here, straight from and to their places. */
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "common/crypto/tls_inside.h"
#include "common/crypto/tls_record.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define RENEW_AFTER \
	(UINT64_C(1) << 23) /* records with the same keys; AES-GCM is good for 2^24.5 (RFC 8446 section 5.5) */
#define LABEL_CLIENT  "CLIENT_TRAFFIC_SECRET_0 "
#define LABEL_SERVER  "SERVER_TRAFFIC_SECRET_0 "
#define KEY_UPDATE    24
#define KEY_UPDATE_N  5
#define CLOSE_NOTIFY  0
#define ALERT_N       2
#define CLIENT_RANDOM 32
#define IDLE_MAX      32 /* records in a row that bring no data, as OpenSSL has it */

/* ---- the secrets of the handshake --------------------------------------------------------------------------------- */

/* "LABEL random secret", in hex, as SSLKEYLOGFILE has it: the way that OpenSSL gives them to its application. */
static void on_secret(const SSL *ssl, const char *line)
{
	static const char *const labels[] = { LABEL_CLIENT, LABEL_SERVER };
	const size_t skip = sizeof LABEL_CLIENT - 1;
	struct tls_session *s = BIO_get_data(SSL_get_rbio(ssl));

	for (size_t i = 0; s != NULL && i < ARRAY_LEN(labels); i++) {
		const char *secret = line + skip + 2 * CLIENT_RANDOM + 1;

		if (strncmp(line, labels[i], skip) == 0 && strlen(line) > skip + 2 * CLIENT_RANDOM + 1 &&
			OPENSSL_hexstr2buf_ex(s->traffic[i], sizeof s->traffic[i], &s->traffic_n[i], secret, '\0') != 1)
			s->traffic_n[i] = 0;
	}
}

void tls_bulk_prepare(SSL_CTX *ssl)
{
	SSL_CTX_set_keylog_callback(ssl, on_secret);
}

void tls_bulk_free(struct tls_session *s)
{
	struct tls_bulk *b = s->bulk;

	OPENSSL_cleanse(s->traffic, sizeof s->traffic);
	if (b == NULL)
		return;
	tls_record_fini(&b->in);
	tls_record_fini(&b->out);
	free(b->part);
	free(b);
	s->bulk = NULL;
}

static const EVP_CIPHER *cipher_of(const SSL *ssl)
{
	switch (SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl))) {
	case TLS1_3_CK_AES_128_GCM_SHA256 & 0xffff:
		return EVP_aes_128_gcm();
	case TLS1_3_CK_AES_256_GCM_SHA384 & 0xffff:
		return EVP_aes_256_gcm();
	case TLS1_3_CK_CHACHA20_POLY1305_SHA256 & 0xffff:
		return EVP_chacha20_poly1305();
	default:
		return NULL;
	}
}

static int no_bulk(struct tls_session *s, const char *why)
{
	tls_bulk_free(s);
	s->reason = why;
	return -1;
}

int tls_session_begin_bulk(struct tls_session *s)
{
	const unsigned own = SSL_is_server(s->ssl) == 1;
	const bool done = SSL_is_init_finished(s->ssl) && SSL_version(s->ssl) == TLS1_3_VERSION;
	const EVP_CIPHER *cipher = done ? cipher_of(s->ssl) : NULL;
	const EVP_MD *digest = cipher != NULL ? SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(s->ssl)) : NULL;
	struct tls_bulk *b;

	if (s->bulk != NULL) {
		s->reason = "the TLS session carries much already";
		return -1;
	}
	if (digest == NULL || SSL_has_pending(s->ssl) == 1 || s->traffic_n[0] != (size_t)EVP_MD_get_size(digest) ||
		s->traffic_n[1] != s->traffic_n[0])
		return no_bulk(s, "not a TLS 1.3 session that can carry much");
	b = calloc(1, sizeof *b);
	if (b == NULL)
		return no_bulk(s, "out of memory");
	s->bulk = b;
	b->renew_after = RENEW_AFTER;
	if (tls_record_init(&b->out, true, cipher, digest, s->traffic[own]) != 0 ||
		tls_record_init(&b->in, false, cipher, digest, s->traffic[!own]) != 0)
		return no_bulk(s, "out of memory");
	OPENSSL_cleanse(s->traffic, sizeof s->traffic);
	return 0;
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static int put(struct tls_bulk *b, enum tls_record_type type, const uint8_t *p, size_t n, struct buf *out)
{
	uint8_t *at = buf_reserve(out, n + TLS_RECORD_ADDS);

	if (at == NULL || tls_record_seal(&b->out, type, p, n, at) != 0)
		return -1;
	out->len += n + TLS_RECORD_ADDS;
	return 0;
}

/* Tells the peer that the next record has the next keys; nobody asks him to do the same, he counts himself. */
static int renew(struct tls_bulk *b, struct buf *out)
{
	static const uint8_t update[KEY_UPDATE_N] = { KEY_UPDATE, 0, 0, 1, 0 };

	b->answer = false;
	if (put(b, TLS_RECORD_HANDSHAKE, update, sizeof update, out) != 0)
		return -1;
	return tls_record_renew(&b->out);
}

int tls_session_seal(struct tls_session *s, const uint8_t *p, size_t n, struct buf *out)
{
	struct tls_bulk *b = s->bulk;

	while (n > 0) {
		const size_t some = MIN(n, TLS_RECORD_BYTES);

		if ((b->answer || b->out.number >= b->renew_after) && renew(b, out) != 0)
			return -1;
		if (put(b, TLS_RECORD_DATA, p, some, out) != 0)
			return -1;
		p += some;
		n -= some;
	}
	return 0;
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

static int fail(struct tls_session *s, const char *reason)
{
	s->broken = true;
	s->reason = reason;
	return TLS_FAILED;
}

/* By its name, as it is what the other side has to say (RFC 8446 section 6). */
static int on_alert(struct tls_session *s, uint8_t what)
{
	if (what == CLOSE_NOTIFY)
		return TLS_CLOSED;
	str_fmt(s->text, sizeof s->text, "the peer sent a TLS alert: %s", SSL_alert_desc_string_long(what));
	return fail(s, s->text);
}

/* What is not data: an end, or new keys. 0: go on. */
static int on_other(struct tls_session *s, uint8_t type, const uint8_t *p, size_t n)
{
	struct tls_bulk *b = s->bulk;

	if (type == TLS_RECORD_ALERT && n == ALERT_N)
		return on_alert(s, p[1]);
	if (type != TLS_RECORD_HANDSHAKE || n != KEY_UPDATE_N || p[0] != KEY_UPDATE || p[1] != 0 || p[2] != 0 ||
		p[3] != 1 || p[4] > 1)
		return fail(s, "a TLS message that has no place there");
	b->answer |= p[4] == 1;
	return tls_record_renew(&b->in) == 0 ? 0 : fail(s, "out of memory");
}

/* All whole records; how many bytes of them there were, or a TLS_ code. */
static ssize_t open_all(struct tls_session *s, const uint8_t *p, size_t n, uint8_t *plain, size_t *got)
{
	size_t at = 0;
	ssize_t size;

	while ((size = tls_record_size(p + at, n - at)) > 0 && (size_t)size <= n - at) {
		uint8_t type;
		ssize_t held = tls_record_open(&s->bulk->in, p + at, (size_t)size, plain + *got, &type);
		int r = held < 0                  ? fail(s, "a TLS record that is not genuine")
		        : type == TLS_RECORD_DATA ? 0
		                                  : on_other(s, type, plain + *got, (size_t)held);

		if (r != 0)
			return r;
		if (type == TLS_RECORD_DATA && held > 0)
			s->bulk->idle = 0;
		else if (++s->bulk->idle > IDLE_MAX)
			return fail(s, "too many TLS records without data");
		at += (size_t)size;
		*got += type == TLS_RECORD_DATA ? (size_t)held : 0;
	}
	return size < 0 ? fail(s, "no TLS record") : (ssize_t)at;
}

/* Less than a record: it is held as long as it is all there is. */
static int keep_part(struct tls_bulk *b, const uint8_t *p, size_t n)
{
	if (n == 0) {
		free(b->part);
		b->part = NULL;
	} else {
		if (b->part == NULL && (b->part = malloc(TLS_RECORD_MAX)) == NULL)
			return -1;
		memcpy(b->part, p, n);
	}
	b->part_n = n;
	return 0;
}

size_t tls_session_unseal(struct tls_session *s, const struct tls_rooms *r, ssize_t *end)
{
	struct tls_bulk *b = s->bulk;
	size_t have = b->part_n, got = 0;

	if (have > 0)
		memcpy(r->raw, b->part, have);
	*end = 1;
	while (*end > 0 && r->plain_n - got >= r->raw_n) {
		ssize_t used;

		*end = s->io.recv(s->io.arg, r->raw + have, r->raw_n - have);
		if (*end <= 0) {
			*end = *end == 0 ? TLS_CLOSED : *end;
			break;
		}
		have += (size_t)*end;
		used = open_all(s, r->raw, have, r->plain, &got);
		if (used < 0) { /* what is behind that is nobody's, and may be more than a record */
			*end = used;
			have = 0;
			break;
		}
		have -= (size_t)used;
		if (have > 0 && used > 0)
			memmove(r->raw, r->raw + used, have);
	}
	if (keep_part(b, r->raw, have) != 0)
		*end = fail(s, "out of memory");
	return got;
}
