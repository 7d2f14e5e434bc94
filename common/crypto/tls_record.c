#include "common/crypto/tls_record.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define KEY_MAX 32

/* ---- keys (RFC 8446 sections 7.1 to 7.3) -------------------------------------------------------------------------- */

/* HKDF-Expand-Label(secret, label, "", n) */
static int expand(const struct tls_record *r, const char *label, uint8_t *out, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	char prefix[] = "tls13 ", name[16], text[16];
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, done;
	uint8_t secret[TLS_SECRET_MAX];
	OSSL_PARAM params[6];

	memcpy(secret, r->secret, sizeof secret);
	OPENSSL_strlcpy(name, EVP_MD_get0_name(r->digest), sizeof name);
	OPENSSL_strlcpy(text, label, sizeof text);
	params[0] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, (size_t)EVP_MD_get_size(r->digest));
	params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, sizeof prefix - 1);
	params[4] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, text, strlen(text));
	params[5] = OSSL_PARAM_construct_end();
	done = ctx != NULL ? EVP_KDF_derive(ctx, out, n, params) : 0;
	OPENSSL_cleanse(secret, sizeof secret);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	ERR_clear_error();
	return done == 1 ? 0 : -1;
}

static int install(struct tls_record *r)
{
	uint8_t key[KEY_MAX];
	int done = expand(r, "key", key, (size_t)EVP_CIPHER_get_key_length(r->cipher)) == 0 &&
	           expand(r, "iv", r->iv, sizeof r->iv) == 0 &&
	           EVP_CipherInit_ex(r->ctx, r->cipher, NULL, key, NULL, r->seals) == 1;

	OPENSSL_cleanse(key, sizeof key);
	ERR_clear_error();
	r->number = 0;
	return done ? 0 : -1;
}

int tls_record_init(
	struct tls_record *r, bool seals, const EVP_CIPHER *cipher, const EVP_MD *digest, const uint8_t *secret)
{
	const int n = EVP_MD_get_size(digest);

	*r = (struct tls_record){ .seals = seals, .cipher = cipher, .digest = digest, .ctx = EVP_CIPHER_CTX_new() };
	if (r->ctx == NULL || n <= 0 || n > TLS_SECRET_MAX || EVP_CIPHER_get_key_length(cipher) > KEY_MAX)
		return -1;
	memcpy(r->secret, secret, (size_t)n);
	return install(r);
}

void tls_record_fini(struct tls_record *r)
{
	EVP_CIPHER_CTX_free(r->ctx);
	OPENSSL_cleanse(r, sizeof *r);
}

int tls_record_renew(struct tls_record *r)
{
	uint8_t next[TLS_SECRET_MAX] = { 0 };

	if (expand(r, "traffic upd", next, (size_t)EVP_MD_get_size(r->digest)) != 0)
		return -1;
	memcpy(r->secret, next, sizeof r->secret);
	OPENSSL_cleanse(next, sizeof next);
	return install(r);
}

/* Each record has a nonce of its own (section 5.3). */
static void make_nonce(const struct tls_record *r, uint8_t nonce[12])
{
	memcpy(nonce, r->iv, 12);
	for (unsigned i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(r->number >> (8 * i));
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

int tls_record_seal(struct tls_record *r, enum tls_record_type type, const uint8_t *p, size_t n, uint8_t *out)
{
	const size_t inner = n + 1, all = inner + TLS_RECORD_TAG;
	const uint8_t last = (uint8_t)type;
	uint8_t nonce[12], *to = out + TLS_RECORD_HEAD;
	int done;

	out[0] = TLS_RECORD_DATA;
	out[1] = out[2] = 3;
	out[3] = (uint8_t)(all >> 8);
	out[4] = (uint8_t)all;
	make_nonce(r, nonce);
	if (r->number == UINT64_MAX || EVP_EncryptInit_ex(r->ctx, NULL, NULL, NULL, nonce) != 1 ||
		EVP_EncryptUpdate(r->ctx, NULL, &done, out, TLS_RECORD_HEAD) != 1 ||
		(n > 0 && EVP_EncryptUpdate(r->ctx, to, &done, p, (int)n) != 1) ||
		EVP_EncryptUpdate(r->ctx, to + n, &done, &last, 1) != 1 ||
		EVP_EncryptFinal_ex(r->ctx, to + inner, &done) != 1 ||
		EVP_CIPHER_CTX_ctrl(r->ctx, EVP_CTRL_AEAD_GET_TAG, TLS_RECORD_TAG, to + inner) != 1) {
		ERR_clear_error();
		return -1;
	}
	r->number++;
	return 0;
}

ssize_t tls_record_size(const uint8_t *p, size_t n)
{
	size_t all;

	if (n < TLS_RECORD_HEAD)
		return 0;
	all = TLS_RECORD_HEAD + ((size_t)p[3] << 8 | p[4]);
	if (p[0] != TLS_RECORD_DATA || p[1] != 3 || p[2] != 3 || all < TLS_RECORD_ADDS || all > TLS_RECORD_MAX)
		return -1;
	return (ssize_t)all;
}

ssize_t tls_record_open(struct tls_record *r, const uint8_t *p, size_t n, uint8_t *out, uint8_t *type)
{
	size_t inner = n - TLS_RECORD_HEAD - TLS_RECORD_TAG;
	uint8_t nonce[12], tag[TLS_RECORD_TAG];
	int done;

	memcpy(tag, p + n - TLS_RECORD_TAG, sizeof tag);
	make_nonce(r, nonce);
	if (r->number == UINT64_MAX || EVP_DecryptInit_ex(r->ctx, NULL, NULL, NULL, nonce) != 1 ||
		EVP_DecryptUpdate(r->ctx, NULL, &done, p, TLS_RECORD_HEAD) != 1 ||
		EVP_DecryptUpdate(r->ctx, out, &done, p + TLS_RECORD_HEAD, (int)inner) != 1 ||
		EVP_CIPHER_CTX_ctrl(r->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1 ||
		EVP_DecryptFinal_ex(r->ctx, out + inner, &done) != 1) {
		OPENSSL_cleanse(out, inner);
		ERR_clear_error();
		return -1;
	}
	r->number++;
	while (inner > 0 && out[inner - 1] == 0) /* padding */
		inner--;
	if (inner == 0 || inner - 1 > TLS_RECORD_BYTES)
		return -1;
	*type = out[inner - 1];
	return (ssize_t)(inner - 1);
}
