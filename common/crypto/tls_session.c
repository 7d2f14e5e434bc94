#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/tls.h"
#include "common/crypto/tls_inside.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- the transport as a BIO
 * -------------------------------------------------------------------------------------- */

/* How OpenSSL calls our transport; made once per process, like the slot in tls_ctx.c. */
static pthread_once_t session_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *session_bio;

static int on_bio_write(BIO *bio, const char *p, int n)
{
	struct tls_session *s = BIO_get_data(bio);
	ssize_t sent = s->io.send(s->io.arg, p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (sent > 0)
		return (int)sent;
	if (sent == TLS_AGAIN)
		BIO_set_retry_write(bio);
	return -1;
}

static int on_bio_read(BIO *bio, char *p, int n)
{
	struct tls_session *s = BIO_get_data(bio);
	ssize_t got = s->io.recv(s->io.arg, p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (got > 0)
		return (int)got;
	if (got == TLS_AGAIN) {
		BIO_set_retry_read(bio);
		return -1;
	}
	s->ended = got == 0 || got == TLS_CLOSED;
	return s->ended ? 0 : -1;
}

static long on_bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	const struct tls_session *s = BIO_get_data(bio);

	(void)num, (void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return s->ended;
	return cmd == BIO_CTRL_FLUSH;
}

static void session_make_bio(void)
{
	session_bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "portway transport");
	if (session_bio == NULL)
		return;
	BIO_meth_set_write(session_bio, on_bio_write);
	BIO_meth_set_read(session_bio, on_bio_read);
	BIO_meth_set_ctrl(session_bio, on_bio_ctrl);
}

static BIO *session_open_bio(struct tls_session *s)
{
	BIO *bio;

	pthread_once(&session_once, session_make_bio);
	bio = session_bio != NULL ? BIO_new(session_bio) : NULL;
	if (bio != NULL) {
		BIO_set_data(bio, s);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* ---- the session
 * ------------------------------------------------------------------------------------------------- */

int tls_session_new(struct tls_session **out, struct tls_ctx *c, const struct tls_io *io, struct err *e)
{
	struct tls_session *s = calloc(1, sizeof *s);
	BIO *bio;

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "TLS session: out of memory");
	s->io = *io;
	s->reason = "none";
	s->ssl = tls_ctx_ssl(c);
	bio = s->ssl != NULL ? session_open_bio(s) : NULL;
	if (bio == NULL) {
		crypto_err(e, ERR_NOMEM, "TLS session");
		goto fail;
	}
	SSL_set_app_data(s->ssl, s);
	SSL_set_bio(s->ssl, bio, bio); /* takes it */
	*out = s;
	return 0;
fail:
	tls_session_free(s);
	return -1;
}

void tls_session_free(struct tls_session *s)
{
	if (s == NULL)
		return;
	SSL_free(s->ssl);
	tls_server_leave(s);
	tls_bulk_free(s);
	free(s);
}

int tls_session_expect(struct tls_session *s, const char *server_name)
{
	bool ok = tls_ctx_set_name(s->ssl, server_name);

	ERR_clear_error();
	return ok ? 0 : -1;
}

const char *tls_session_version(const struct tls_session *s)
{
	return SSL_get_version(s->ssl);
}

const char *tls_session_alpn(const struct tls_session *s, size_t *n)
{
	const unsigned char *p;
	unsigned len;

	SSL_get0_alpn_selected(s->ssl, &p, &len);
	*n = len;
	return (const char *)p;
}

static int session_fail(struct tls_session *s, int code, const char *reason)
{
	s->broken = true;
	s->reason = reason != NULL ? reason : "TLS failed";
	ERR_clear_error();
	return code;
}

static int fail_other_ca(struct tls_session *s)
{
	const struct tls_ctx *c = tls_ctx_of(s->ssl);

	(void)str_fmt(s->text, sizeof s->text, "CA fingerprint expected %s, seen %s", c->pin, s->other_ca);
	return session_fail(s, TLS_BAD_PEER, s->text);
}

/* What OpenSSL's last call means; only for calls that did not succeed. */
static int session_result(struct tls_session *s, int rc)
{
	int why = SSL_get_error(s->ssl, rc);
	long verify = SSL_get_verify_result(s->ssl);
	unsigned long n = ERR_peek_error(), last = ERR_peek_last_error();

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return TLS_AGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return TLS_CLOSED;
	if (why != SSL_ERROR_SSL)
		return session_fail(s, TLS_FAILED, "the connection broke");
	if (s->ended)
		return session_fail(s, TLS_FAILED, "the connection ended in the middle");
	if (ERR_GET_REASON(last) == SSL_R_CERTIFICATE_VERIFY_FAILED && s->other_ca[0] != '\0')
		return fail_other_ca(s);
	if (ERR_GET_REASON(last) ==
		SSL_R_CERTIFICATE_VERIFY_FAILED) /* what went wrong with a signature stands before it */
		return session_fail(s, TLS_BAD_PEER, X509_verify_cert_error_string(verify));
	if (ERR_GET_REASON(n) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return session_fail(s, TLS_BAD_PEER, "peer showed no certificate");
	s->untrusted = ERR_GET_REASON(n) == SSL_R_TLSV1_ALERT_UNKNOWN_CA;
	return session_fail(s, TLS_FAILED, ERR_reason_error_string(n));
}

bool tls_session_untrusted(const struct tls_session *s)
{
	return s->untrusted;
}

bool tls_session_met_other_ca(const struct tls_session *s)
{
	return s->other_ca[0] != '\0';
}

int tls_session_handshake(struct tls_session *s)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(s->ssl);
	if (rc != 1)
		return session_result(s, rc);
	tls_server_leave(s);
	return 0;
}

ssize_t tls_session_read(struct tls_session *s, void *p, size_t n)
{
	size_t got;

	ERR_clear_error();
	if (SSL_read_ex(s->ssl, p, MIN(n, INT_MAX), &got) == 1)
		return (ssize_t)got;
	return session_result(s, 0);
}

void tls_session_read_ahead(struct tls_session *s, size_t n)
{
	SSL_set_default_read_buffer_len(s->ssl, n);
	SSL_set_read_ahead(s->ssl, 1);
}

bool tls_session_has_more(const struct tls_session *s)
{
	return SSL_has_pending(s->ssl) == 1;
}

ssize_t tls_session_write(struct tls_session *s, const void *p, size_t n)
{
	size_t put;

	ERR_clear_error();
	if (SSL_write_ex(s->ssl, p, MIN(n, INT_MAX), &put) == 1)
		return (ssize_t)put;
	return session_result(s, 0);
}

void tls_session_shutdown(struct tls_session *s)
{
	if (s->broken || s->bulk != NULL || !SSL_is_init_finished(s->ssl))
		return; /* OpenSSL does not know which nonces bulk has used */
	ERR_clear_error();
	SSL_shutdown(s->ssl);
	ERR_clear_error();
}

int tls_session_peer(struct tls_session *s, struct cert_info *out)
{
	X509 *leaf = SSL_get0_peer_certificate(s->ssl);

	if (leaf == NULL || !SSL_is_init_finished(s->ssl) || SSL_get_verify_result(s->ssl) != X509_V_OK)
		return -1;
	return cert_x509_info(leaf, out);
}

int tls_session_export(struct tls_session *s, const char *label, uint8_t *out, size_t n)
{
	int r = SSL_is_init_finished(s->ssl)
	                ? SSL_export_keying_material(s->ssl, out, n, label, strlen(label), NULL, 0, 0)
	                : 0;

	ERR_clear_error();
	return r == 1 ? 0 : -1;
}

const char *tls_session_reason(struct tls_session *s)
{
	return s->reason;
}
