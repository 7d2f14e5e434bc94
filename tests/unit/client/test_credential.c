/* credential: tokens and secrets as people give them, and the signature of a greeting. */
#include "client/agent/credential.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define HEX  "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"

static void test_tokens(void **state)
{
	static const struct {
		const char *token;
		bool good;
	} cases[] = {
		{ "42.pws_" SEED "." HEX, true },
		{ "42.pws_" SEED "." HEX "\n", true },
		{ "42.pws_" SEED "." HEX " \r\n", true },
		{ "0.pws_" SEED "." HEX, false },
		{ "-1.pws_" SEED "." HEX, false },
		{ "x.pws_" SEED "." HEX, false },
		{ "42." SEED "." HEX, false },
		{ "42.pws_" SEED "A." HEX, false },
		{ "42.pws_AAEC." HEX, false },
		{ "42.pws_" SEED, false },
		{ "42.pws_" SEED ".", false },
		{ "42.pws_" SEED "." HEX "0", false },
		{ "42.pws_" SEED "." HEX ".", false },
		{ "42", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct credential c = { .key = NULL };
		struct err e = { .code = ERR_NONE };

		if ((credential_from_token(&c, cases[i].token, &e) == 0) != cases[i].good)
			fail_msg("'%s'", cases[i].token);
		if (!cases[i].good)
			assert_null(strstr(e.msg, SEED)); /* it goes to logs */
		else
			assert_string_equal(c.client, "42");
		credential_fini(&c);
	}
}

static void test_parts(void **state)
{
	struct credential c;
	struct err e;

	(void)state;
	assert_int_equal(credential_from_parts(&c, "7", "pws_" SEED "\n", HEX, &e), 0);
	assert_string_equal(c.client, "7");
	assert_string_equal(c.ca_fingerprint, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	credential_fini(&c);
	assert_int_equal(credential_from_parts(&c, "7", "pws_" SEED, "12", &e), -1);
	assert_string_equal(e.field, "ca_fingerprint");
	assert_int_equal(credential_from_parts(&c, "seven", "pws_" SEED, HEX, &e), -1);
	assert_string_equal(e.field, "client_id");
	assert_int_equal(credential_from_parts(&c, "7", "secret", HEX, &e), -1);
	assert_string_equal(e.field, "secret");
}

static void test_sign(void **state)
{
	struct frame_hello h = { .client = "42", .instance = "a", .epoch = 9, .version = "1" };
	uint8_t exported[FRAME_EXPORTED] = { 1, 2, 3 }, public_key[KEY_PUBLIC_SIZE];
	struct credential c;
	struct key *k;
	struct buf text;

	(void)state;
	assert_int_equal(credential_from_token(&c, "42.pws_" SEED "." HEX, NULL), 0);
	assert_int_equal(credential_sign(&c, &h, exported), 0);
	key_public(c.key, public_key);
	assert_int_equal(key_from_public(&k, public_key, NULL), 0);
	buf_init(&text, 1024);
	frame_hello_signed(&h, exported, &text);
	assert_true(key_verify(k, text.data, text.len, h.signature));
	text.data[0] ^= 1; /* another session */
	assert_false(key_verify(k, text.data, text.len, h.signature));
	buf_free(&text);
	key_free(k);
	credential_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_sign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
