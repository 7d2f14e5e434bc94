#include "common/crypto/seal.h"

#include "common/base/file.h"
#include "common/base/rand.h"
#include "common/crypto/crypto_err.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SEAL_VERSION = 1, SEAL_NONCE = 12, SEAL_TAG = 16, SEAL_HEAD = 1 + SEAL_NONCE };

_Static_assert(SEAL_HEAD + SEAL_TAG == SEAL_OVERHEAD, "version, nonce and tag");

/* HKDF-SHA256 (RFC 5869) with the context as info: each use of the master key has a key of its own. */
static int seal_derive(uint8_t key[SEAL_KEY_SIZE], const uint8_t *master, const char *context)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)master, SEAL_KEY_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)context, strlen(context)),
		OSSL_PARAM_construct_end(),
	};
	int rc = ctx != NULL && EVP_KDF_derive(ctx, key, SEAL_KEY_SIZE, params) == 1 ? 0 : -1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return rc;
}

/* Version and context are authenticated, so neither can be changed. */
static bool seal_begin(EVP_CIPHER_CTX *ctx, bool encrypt, const uint8_t *key, const uint8_t *head, const char *context)
{
	int n;

	return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, head + 1, encrypt) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, head, 1) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)context, (int)strlen(context)) == 1;
}

int seal_wrap(
	uint8_t *dst, const uint8_t master[SEAL_KEY_SIZE], const char *context, const void *p, size_t n, struct err *e)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t key[SEAL_KEY_SIZE];
	int len, last;
	bool ok;

	dst[0] = SEAL_VERSION;
	rand_bytes(dst + 1, SEAL_NONCE);
	ok = ctx != NULL && n <= INT_MAX && seal_derive(key, master, context) == 0 &&
	     seal_begin(ctx, true, key, dst, context) && EVP_CipherUpdate(ctx, dst + SEAL_HEAD, &len, p, (int)n) == 1 &&
	     EVP_CipherFinal_ex(ctx, dst + SEAL_HEAD + len, &last) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, dst + SEAL_HEAD + n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	seal_wipe(key, sizeof key);
	return ok ? 0 : crypto_err(e, ERR_CRYPTO, "seal");
}

int seal_unwrap(uint8_t *dst, size_t *out_n, const uint8_t master[SEAL_KEY_SIZE], const char *context, const void *p,
	size_t n, struct err *e)
{
	const uint8_t *in = p;
	uint8_t key[SEAL_KEY_SIZE];
	EVP_CIPHER_CTX *ctx;
	size_t body;
	int len, last;
	bool ok;

	if (n < SEAL_OVERHEAD || n > INT_MAX || in[0] != SEAL_VERSION)
		return err_set(e, ERR_CRYPTO, NULL, "open sealed %s: not a sealed blob", context);
	body = n - SEAL_OVERHEAD;
	ctx = EVP_CIPHER_CTX_new();
	ok = ctx != NULL && seal_derive(key, master, context) == 0 && seal_begin(ctx, false, key, in, context) &&
	     EVP_CipherUpdate(ctx, dst, &len, in + SEAL_HEAD, (int)body) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, (void *)(uintptr_t)(in + SEAL_HEAD + body)) ==
	             1 &&
	     EVP_CipherFinal_ex(ctx, dst + len, &last) == 1;
	EVP_CIPHER_CTX_free(ctx);
	seal_wipe(key, sizeof key);
	if (!ok) {
		seal_wipe(dst, body); /* unauthenticated bytes must not be used */
		crypto_err(NULL, ERR_CRYPTO, "");
		return err_set(e, ERR_CRYPTO, NULL, "open sealed %s: wrong key or changed blob", context);
	}
	*out_n = body;
	return 0;
}

int seal_key_file(const char *path, uint8_t key[SEAL_KEY_SIZE], struct err *e)
{
	struct err why = { .code = ERR_NONE };
	uint8_t *data;
	size_t n;

	if (file_read(path, SEAL_KEY_SIZE + 1, &data, &n, &why) != 0) {
		if (why.code != ERR_NOT_FOUND) {
			if (e != NULL)
				*e = why;
			return -1;
		}
		rand_bytes(key, SEAL_KEY_SIZE);
		return file_write_atomic(path, key, SEAL_KEY_SIZE, 0600, e);
	}
	if (n == SEAL_KEY_SIZE)
		memcpy(key, data, SEAL_KEY_SIZE);
	seal_wipe(data, n);
	free(data);
	if (n != SEAL_KEY_SIZE)
		return err_set(e, ERR_CRYPTO, NULL, "key file %s: must hold exactly %d bytes", path, SEAL_KEY_SIZE);
	return 0;
}

static EVP_MD *sha256;

static void fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* SHA256() would look its algorithm up by name each time, which is a good part of hashing a token. */
void seal_sha256(const void *p, size_t n, uint8_t out[SHA256_SIZE])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, fetch_sha256);
	if (sha256 == NULL || EVP_Digest(p, n, out, NULL, sha256, NULL) != 1)
		SHA256(p, n, out);
}

void seal_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, uint8_t out[SHA256_SIZE])
{
	unsigned len = SHA256_SIZE;

	HMAC(EVP_sha256(), key, (int)key_n, p, n, out, &len);
}

void seal_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}
