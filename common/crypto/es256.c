#include "common/crypto/es256.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/seal.h"
#include "common/crypto/tls_cert_inside.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

enum { ES256_HALF = 32, ES256_POINT = 1 + 2 * ES256_HALF };

struct es256 {
	EVP_PKEY *key;
};

static int wrap(struct es256 **out, EVP_PKEY *key, struct err *e)
{
	struct es256 *k = key != NULL ? calloc(1, sizeof *k) : NULL;

	if (k == NULL) {
		EVP_PKEY_free(key);
		return crypto_err(e, ERR_CRYPTO, "ES256 key");
	}
	k->key = key;
	*out = k;
	return 0;
}

int es256_generate(struct es256 **out, struct err *e)
{
	return wrap(out, EVP_EC_gen("P-256"), e);
}

int es256_from_pem(struct es256 **out, const char *pem, struct err *e)
{
	enum tls_cert_kind kind;
	EVP_PKEY *key = tls_cert_read_key(pem, &kind, e);
	char curve[32];

	if (key == NULL)
		return -1;
	if (kind != TLS_CERT_ECDSA || EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) != 1 ||
		!str_eq(curve, SN_X9_62_prime256v1)) {
		EVP_PKEY_free(key);
		ERR_clear_error();
		return err_set(e, ERR_CRYPTO, NULL, "ES256 key: must be on the curve P-256");
	}
	return wrap(out, key, e);
}

void es256_free(struct es256 *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

char *es256_to_pem(const struct es256 *k, struct err *e)
{
	return tls_cert_key_pem(k->key, e);
}

int es256_jwk(const struct es256 *k, char dst[ES256_JWK_SIZE], struct err *e)
{
	uint8_t point[ES256_POINT];
	char x[64], y[64];
	size_t n;

	if (EVP_PKEY_get_octet_string_param(k->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n) != 1 ||
		n != ES256_POINT || point[0] != POINT_CONVERSION_UNCOMPRESSED)
		return crypto_err(e, ERR_CRYPTO, "ES256 public key");
	str_b64url(x, point + 1, ES256_HALF);
	str_b64url(y, point + 1 + ES256_HALF, ES256_HALF);
	return str_fmt(dst, ES256_JWK_SIZE, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
}

int es256_thumbprint(const struct es256 *k, char dst[ES256_THUMBPRINT_SIZE], struct err *e)
{
	char jwk[ES256_JWK_SIZE];
	uint8_t digest[SHA256_SIZE];

	if (es256_jwk(k, jwk, e) != 0)
		return -1;
	seal_sha256(jwk, strlen(jwk), digest);
	str_b64url(dst, digest, sizeof digest);
	return 0;
}

/* OpenSSL answers in DER, JWS wants two numbers of fixed length. */
static bool split(const uint8_t *der, size_t n, uint8_t sig[ES256_SIGNATURE_SIZE])
{
	ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool ok = parts != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(parts), sig, ES256_HALF) == ES256_HALF &&
	          BN_bn2binpad(ECDSA_SIG_get0_s(parts), sig + ES256_HALF, ES256_HALF) == ES256_HALF;

	ECDSA_SIG_free(parts);
	return ok;
}

int es256_sign(const struct es256 *k, const void *msg, size_t n, uint8_t sig[ES256_SIGNATURE_SIZE], struct err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[128];
	size_t der_n = sizeof der;
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
	          EVP_DigestSign(ctx, der, &der_n, msg, n) == 1 && split(der, der_n, sig);

	EVP_MD_CTX_free(ctx);
	return ok ? 0 : crypto_err(e, ERR_CRYPTO, "ES256 signature");
}
