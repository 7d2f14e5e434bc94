#define _GNU_SOURCE
#include "client/agent/credential.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/key.h"

#include <ctype.h>
#include <string.h>

#define SECRET_PREFIX "pws_"
#define TOKEN_SIZE    256

static void trim(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
}

static int take_client(struct credential *c, const char *client, struct err *e)
{
	uint64_t id;

	if (str_to_u64(client, 1, INT64_MAX, &id) != 0)
		return err_set(e, ERR_VALIDATION, "client_id", "client_id: '%s' is not the number of a client", client);
	return str_fmt(c->client, sizeof c->client, "%llu", (unsigned long long)id);
}

static int take_secret(struct credential *c, const char *secret, struct err *e)
{
	uint8_t seed[KEY_SEED_SIZE];
	int r = -1;

	if (str_starts(secret, SECRET_PREFIX) && str_unb64url(seed, sizeof seed, secret + strlen(SECRET_PREFIX),
							 strlen(secret + strlen(SECRET_PREFIX))) == KEY_SEED_SIZE)
		r = key_from_seed(&c->key, seed, NULL);
	explicit_bzero(seed, sizeof seed);
	return r == 0 ? 0
	              : err_set(e, ERR_VALIDATION, "secret", "secret: not a client's secret (" SECRET_PREFIX "...)");
}

static int take_fingerprint(struct credential *c, const char *hex, struct err *e)
{
	uint8_t digest[(CERT_FINGERPRINT_SIZE - 1) / 2];

	if (str_unhex(digest, sizeof digest, hex) != (int)sizeof digest)
		return err_set(e, ERR_VALIDATION, "ca_fingerprint",
			"ca_fingerprint: must be %d hexadecimal digits, the SHA-256 of controld's certificate "
			"authority",
			CERT_FINGERPRINT_SIZE - 1);
	str_hex(c->ca_fingerprint, digest, sizeof digest);
	return 0;
}

int credential_from_parts(
	struct credential *out, const char *client, const char *secret, const char *fingerprint, struct err *e)
{
	struct credential c = { .key = NULL };
	char texts[3][TOKEN_SIZE];
	int r = -1;

	if (str_copy(texts[0], TOKEN_SIZE, client) != 0 || str_copy(texts[1], TOKEN_SIZE, secret) != 0 ||
		str_copy(texts[2], TOKEN_SIZE, fingerprint) != 0) {
		err_set(e, ERR_VALIDATION, NULL, "client_id, secret or ca_fingerprint is too long");
	} else {
		for (size_t i = 0; i < ARRAY_LEN(texts); i++)
			trim(texts[i]);
		r = take_client(&c, texts[0], e);
		if (r == 0)
			r = take_fingerprint(&c, texts[2], e);
		if (r == 0)
			r = take_secret(&c, texts[1], e);
	}
	explicit_bzero(texts, sizeof texts);
	if (r == 0)
		*out = c;
	return r;
}

/* When it ends is for the relay to say, whose clock is kept; a machine that has just started may have none. */
int credential_from_certificate(struct credential *out, const char *client, const struct credential_pem *pem,
	const char *fingerprint, struct err *e)
{
	struct credential c = { .key = NULL };

	if (take_client(&c, client, e) != 0 || take_fingerprint(&c, fingerprint, e) != 0)
		return -1;
	if (key_from_pem(&c.key, pem->key, NULL) != 0)
		return err_set(e, ERR_VALIDATION, "tls_key",
			"tls_key: must be an Ed25519 private key in PEM without a passphrase");
	if (!cert_is_for(pem->cert, c.key)) {
		credential_fini(&c);
		return err_set(
			e, ERR_VALIDATION, "tls_cert", "tls_cert: is no certificate in PEM of the key in tls_key");
	}
	*out = c;
	return 0;
}

int credential_from_token(struct credential *out, const char *token, struct err *e)
{
	char text[TOKEN_SIZE];
	char *secret, *fingerprint;
	int r = -1;

	if (str_copy(text, sizeof text, token) == 0 && (secret = strchr(text, '.')) != NULL &&
		(fingerprint = strchr(secret + 1, '.')) != NULL) {
		*secret++ = '\0';
		*fingerprint++ = '\0';
		r = credential_from_parts(out, text, secret, fingerprint, NULL);
	}
	explicit_bzero(text, sizeof text);
	return r == 0 ? 0
	              : err_set(e, ERR_VALIDATION, "token",
				"token: not a client's token: <client id>.<secret>.<fingerprint>");
}

void credential_fini(struct credential *c)
{
	key_free(c->key);
	c->key = NULL;
}

int credential_sign(const struct credential *c, struct frame_hello *h, const uint8_t exported[FRAME_EXPORTED])
{
	struct buf text;
	int r = -1;

	buf_init(&text, FRAME_CONTROL_MAX);
	frame_hello_signed(h, exported, &text);
	if (!text.failed)
		r = key_sign(c->key, text.data, text.len, h->signature);
	buf_free(&text);
	return r;
}
