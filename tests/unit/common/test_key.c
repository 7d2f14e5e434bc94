#include "common/crypto/key.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8032 section 7.1, tests 1 to 3. */
static const struct {
	const char *what, *seed, *pub, *msg, *sig;
} vectors[] = {
	{ "empty message", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
		"d25bf5f0595bbe24655141438e7a100b" },
	{ "one byte", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
		"387b2eaeb4302aeeb00d291612bb0c00" },
	{ "two bytes", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
		"4a7c15e9716ed28dc027beceea1ec40a" },
};

static void rfc8032_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t seed[KEY_SEED_SIZE], pub[KEY_PUBLIC_SIZE], got_pub[KEY_PUBLIC_SIZE], msg[8];
		uint8_t sig[KEY_SIGNATURE_SIZE], got[KEY_SIGNATURE_SIZE];
		struct key *secret, *public;
		int n = str_unhex(msg, sizeof msg, vectors[i].msg);

		print_message("%s\n", vectors[i].what);
		assert_int_equal(str_unhex(seed, sizeof seed, vectors[i].seed), sizeof seed);
		assert_int_equal(str_unhex(pub, sizeof pub, vectors[i].pub), sizeof pub);
		assert_int_equal(str_unhex(sig, sizeof sig, vectors[i].sig), sizeof sig);
		assert_int_equal(key_from_seed(&secret, seed, NULL), 0);
		assert_int_equal(key_from_public(&public, pub, NULL), 0);
		key_public(secret, got_pub);
		assert_memory_equal(got_pub, pub, sizeof pub);
		assert_int_equal(key_sign(secret, msg, (size_t)n, got), 0);
		assert_memory_equal(got, sig, sizeof sig);
		assert_true(key_verify(public, msg, (size_t)n, sig));
		sig[0] ^= 1;
		assert_false(key_verify(public, msg, (size_t)n, sig));
		key_free(secret);
		key_free(public);
	}
}

static void a_public_key_has_no_secret(void **state)
{
	uint8_t pub[KEY_PUBLIC_SIZE], seed[KEY_SEED_SIZE], sig[KEY_SIGNATURE_SIZE];
	struct key *secret, *public;

	(void)state;
	assert_int_equal(key_generate(&secret, NULL), 0);
	key_public(secret, pub);
	assert_int_equal(key_from_public(&public, pub, NULL), 0);
	assert_int_equal(key_seed(public, seed), -1);
	assert_int_equal(key_sign(public, "x", 1, sig), -1);
	assert_null(key_to_pem(public));
	key_free(public);
	key_free(secret);
	key_free(NULL);
}

static void pem_round_trip(void **state)
{
	uint8_t a[KEY_SEED_SIZE], b[KEY_SEED_SIZE];
	struct key *k, *again;
	char *pem;

	(void)state;
	assert_int_equal(key_generate(&k, NULL), 0);
	pem = key_to_pem(k);
	assert_non_null(pem);
	assert_int_equal(key_from_pem(&again, pem, NULL), 0);
	assert_int_equal(key_seed(k, a), 0);
	assert_int_equal(key_seed(again, b), 0);
	assert_memory_equal(a, b, sizeof a);
	free(pem);
	key_free(k);
	key_free(again);
}

static void other_pems_are_refused(void **state)
{
	static const char p256[] = "-----BEGIN PRIVATE KEY-----\n"
				   "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
				   "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
				   "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
				   "-----END PRIVATE KEY-----\n";
	/* None may ask for a pass phrase, none may be taken. */
	static const char *const bad[] = {
		"",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		p256,
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBK\n-----END ENCRYPTED PRIVATE "
		"KEY-----\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = { .code = ERR_NONE };
		struct key *k;

		assert_int_equal(key_from_pem(&k, bad[i], &e), -1);
		assert_int_equal(e.code, ERR_CRYPTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc8032_vectors),
		cmocka_unit_test(a_public_key_has_no_secret),
		cmocka_unit_test(pem_round_trip),
		cmocka_unit_test(other_pems_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
