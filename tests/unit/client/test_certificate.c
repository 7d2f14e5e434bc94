/* credential: a certificate in the place of a secret. */
#include "client/agent/credential.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"

struct pair {
	struct key *key;
	char *key_pem, *cert;
};

static struct pair pair_of(uint8_t byte)
{
	uint8_t seed[KEY_SEED_SIZE] = { byte };
	struct pair p;

	assert_int_equal(key_from_seed(&p.key, seed, NULL), 0);
	p.key_pem = key_to_pem(p.key);
	p.cert = cert_make_ca(p.key, "office", INT64_C(1800000000000), 1, NULL);
	assert_non_null(p.key_pem);
	assert_non_null(p.cert);
	return p;
}

static void pair_free(struct pair *p)
{
	key_free(p->key);
	free(p->key_pem);
	free(p->cert);
}

static void test_signs(void **state)
{
	struct pair p = pair_of(1);
	const struct credential_pem pem = { p.cert, p.key_pem };
	struct frame_hello h = { .client = "42", .instance = "a" };
	uint8_t exported[FRAME_EXPORTED] = { 5 };
	struct credential c;
	struct buf text;

	(void)state;
	assert_int_equal(credential_from_certificate(&c, "42", &pem, HEX, NULL), 0);
	assert_string_equal(c.client, "42");
	assert_int_equal(credential_sign(&c, &h, exported), 0);
	buf_init(&text, FRAME_CONTROL_MAX);
	frame_hello_signed(&h, exported, &text);
	assert_true(key_verify(p.key, text.data, text.len, h.signature));
	buf_free(&text);
	credential_fini(&c);
	pair_free(&p);
}

static void refuse(const char *client, const char *cert, const char *key, const char *field)
{
	const struct credential_pem pem = { cert, key };
	struct credential c = { .key = NULL };
	struct err e;

	assert_int_equal(credential_from_certificate(&c, client, &pem, HEX, &e), -1);
	assert_string_equal(e.field, field);
	assert_null(strstr(e.msg, "BEGIN"));
	assert_null(c.key);
}

static void test_refused(void **state)
{
	struct pair p = pair_of(1), other = pair_of(2);

	(void)state;
	refuse("", p.cert, p.key_pem, "client_id");
	refuse("42", p.cert, other.key_pem, "tls_cert");
	refuse("42", p.key_pem, p.key_pem, "tls_cert");
	refuse("42", "", p.key_pem, "tls_cert");
	refuse("42", p.cert, p.cert, "tls_key");
	refuse("42", p.cert, "", "tls_key");
	pair_free(&p);
	pair_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signs),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
