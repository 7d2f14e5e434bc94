/* ES256: keys to text and back, the thumbprint of a known key, and signatures that OpenSSL takes. */
#include "common/crypto/es256.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "tests/unit/common/site_pki.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The key of RFC 7515 appendix A.3, d = jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI. */
static const char known_pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
				"MDECAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"
				"AwEH\n"
				"-----END EC PRIVATE KEY-----\n";

static void a_known_key_prints_as_published(void **state)
{
	struct es256 *k;
	char jwk[ES256_JWK_SIZE], print[ES256_THUMBPRINT_SIZE];

	(void)state;
	assert_int_equal(es256_from_pem(&k, known_pem, NULL), 0);
	assert_int_equal(es256_jwk(k, jwk, NULL), 0);
	assert_string_equal(jwk,
		"{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
	assert_int_equal(es256_thumbprint(k, print, NULL), 0);
	assert_string_equal(print, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
	es256_free(k);
}

static bool is_signed(const char *pem, const char *msg, const uint8_t sig[ES256_SIGNATURE_SIZE])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *parts = ECDSA_SIG_new();
	unsigned char *der = NULL;
	int n;
	bool ok;

	ECDSA_SIG_set0(parts, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL));
	n = i2d_ECDSA_SIG(parts, &der);
	ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestVerify(ctx, der, (size_t)n, (const unsigned char *)msg, strlen(msg)) == 1;
	OPENSSL_free(der);
	ECDSA_SIG_free(parts);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok;
}

static void signatures_are_taken(void **state)
{
	uint8_t sig[ES256_SIGNATURE_SIZE];
	struct es256 *k, *again;
	char *pem;

	(void)state;
	assert_int_equal(es256_generate(&k, NULL), 0);
	pem = es256_to_pem(k, NULL);
	assert_non_null(pem);
	assert_int_equal(es256_from_pem(&again, pem, NULL), 0);
	for (int i = 0; i < 300; i++) { /* among so many some begin with a zero */
		char msg[32];

		snprintf(msg, sizeof msg, "message %d", i);
		assert_int_equal(es256_sign(again, msg, strlen(msg), sig, NULL), 0);
		assert_true(is_signed(pem, msg, sig));
	}
	assert_false(is_signed(pem, "another message", sig));
	es256_free(k);
	es256_free(again);
	es256_free(NULL);
	free(pem);
}

static void keys_of_other_kinds_are_refused(void **state)
{
	struct site_cert rsa, ed;
	struct es256 *k;
	struct err e;

	(void)state;
	site_make(&rsa, SITE_RSA, "r", NULL, NULL, 1);
	site_make(&ed, SITE_ED25519, "e", NULL, NULL, 1);
	assert_int_equal(es256_from_pem(&k, rsa.key, &e), -1);
	assert_int_equal(es256_from_pem(&k, ed.key, &e), -1);
	assert_int_equal(es256_from_pem(&k, "hello", &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	site_free(&rsa);
	site_free(&ed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_key_prints_as_published),
		cmocka_unit_test(signatures_are_taken),
		cmocka_unit_test(keys_of_other_kinds_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
