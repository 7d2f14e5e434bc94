#include "relayd/link/identity.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAGIC 0x50574944u /* "PWID" */
#define FILE_MAX   65536
#define CONTEXT    "identity"

static void put(struct buf *b, const struct identity *id)
{
	buf_u32(b, FILE_MAGIC);
	buf_str16(b, id->token_id);
	buf_str16(b, id->node_id);
	buf_str16(b, id->key_pem);
	buf_str16(b, id->request_pem);
	buf_str16(b, id->cert_pem);
	buf_str16(b, id->ca_pem);
}

static int get(struct identity *id, const void *p, size_t n)
{
	struct cursor c;

	memset(id, 0, sizeof *id);
	cursor_init(&c, p, n);
	if (cursor_u32(&c) != FILE_MAGIC)
		cursor_fail(&c);
	cursor_str16(&c, id->token_id, sizeof id->token_id);
	cursor_str16(&c, id->node_id, sizeof id->node_id);
	cursor_str16(&c, id->key_pem, sizeof id->key_pem);
	cursor_str16(&c, id->request_pem, sizeof id->request_pem);
	cursor_str16(&c, id->cert_pem, sizeof id->cert_pem);
	cursor_str16(&c, id->ca_pem, sizeof id->ca_pem);
	return cursor_done(&c);
}

int identity_load(struct identity *out, const char *path, const uint8_t seal[SEAL_KEY_SIZE], struct err *e)
{
	uint8_t *sealed, plain[FILE_MAX];
	size_t n, plain_n = 0;
	int r;

	if (file_read(path, sizeof plain, &sealed, &n, e) != 0)
		return -1;
	if (n < SEAL_OVERHEAD)
		r = err_set(e, ERR_PROTOCOL, NULL, "%s is too short for a relay's identity", path);
	else
		r = seal_unwrap(plain, &plain_n, seal, CONTEXT, sealed, n, e);
	free(sealed);
	if (r == 0 && get(out, plain, plain_n) != 0)
		r = err_set(e, ERR_PROTOCOL, NULL, "%s is not a relay's identity", path);
	seal_wipe(plain, sizeof plain);
	return r;
}

int identity_save(const struct identity *id, const char *path, const uint8_t seal[SEAL_KEY_SIZE], struct err *e)
{
	uint8_t sealed[FILE_MAX + SEAL_OVERHEAD];
	struct buf b;
	int r;

	buf_init(&b, FILE_MAX);
	put(&b, id);
	if (b.failed)
		r = err_set(e, ERR_NOMEM, NULL, "write %s: out of memory", path);
	else if ((r = seal_wrap(sealed, seal, CONTEXT, b.data, b.len, e)) == 0)
		r = file_write_atomic(path, sealed, b.len + SEAL_OVERHEAD, 0600, e);
	seal_wipe(b.data, b.len);
	buf_free(&b);
	return r;
}

/* Moves a malloc'ed text into a field and wipes it. */
static int take(char *dst, size_t size, char *text, struct err *e)
{
	int r = text == NULL ? -1 : str_copy(dst, size, text);

	if (text != NULL) {
		seal_wipe(text, strlen(text));
		free(text);
		if (r != 0)
			err_set(e, ERR_CRYPTO, NULL, "a PEM text is longer than %zu bytes", size - 1);
	}
	return r;
}

int identity_make_key(struct identity *out, const char *name, struct err *e)
{
	struct key *k;
	int r;

	if (key_generate(&k, e) != 0)
		return -1;
	r = take(out->key_pem, sizeof out->key_pem, key_to_pem(k), e);
	if (r == 0)
		r = take(out->request_pem, sizeof out->request_pem, cert_request(k, name, e), e);
	key_free(k);
	return r;
}

static bool is_for_our_key(const struct identity *id, const char *cert_pem)
{
	struct key *k;
	bool is;

	if (key_from_pem(&k, id->key_pem, NULL) != 0)
		return false;
	is = cert_is_for(cert_pem, k);
	key_free(k);
	return is;
}

int identity_accept(struct identity *id, const struct msg_joined *m, const char *ca_fingerprint, struct err *e)
{
	struct cert_info ca, cert;

	if (cert_inspect(m->ca_pem, &ca, e) != 0 || cert_inspect(m->cert_pem, &cert, e) != 0)
		return -1;
	/* One that was followed by another stands beside it, or behind the certificate when it is trusted no more. */
	if (ca_fingerprint != NULL && !cert_contains(m->ca_pem, ca_fingerprint) &&
		!cert_contains(m->cert_pem, ca_fingerprint))
		return err_set(e, ERR_CRYPTO, NULL, "controld's CA has the fingerprint %s, the join token says %s",
			ca.fingerprint, ca_fingerprint);
	if (strcmp(cert.cn, m->node_id) != 0)
		return err_set(e, ERR_CRYPTO, NULL, "the certificate is for %s, not for %s", cert.cn, m->node_id);
	if (!is_for_our_key(id, m->cert_pem))
		return err_set(e, ERR_CRYPTO, NULL, "the certificate of %s is for another key", m->node_id);
	str_copy(id->node_id, sizeof id->node_id, m->node_id);
	str_copy(id->cert_pem, sizeof id->cert_pem, m->cert_pem);
	str_copy(id->ca_pem, sizeof id->ca_pem, m->ca_pem);
	return 0;
}

bool identity_joined(const struct identity *id)
{
	return id->cert_pem[0] != '\0';
}

int identity_times(const struct identity *id, int64_t *renew_ms, int64_t *end_ms)
{
	struct cert_info cert;

	if (cert_inspect(id->cert_pem, &cert, NULL) != 0)
		return -1;
	*end_ms = cert.not_after_ms;
	*renew_ms = cert.not_before_ms + (cert.not_after_ms - cert.not_before_ms) / 3 * 2;
	return 0;
}

void identity_credentials(const struct identity *id, struct link_frame_open *out)
{
	memset(out, 0, sizeof *out);
	str_copy(out->cert_pem, sizeof out->cert_pem, id->cert_pem);
	str_copy(out->key_pem, sizeof out->key_pem, id->key_pem);
	str_copy(out->ca_pem, sizeof out->ca_pem, id->ca_pem);
}
