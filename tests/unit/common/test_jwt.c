#include "common/crypto/jwt.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct key *key;

/* A token with any header and claims, signed well. */
static char *forge(const char *header, const char *claims)
{
	static char token[JWT_MAX + 200];
	uint8_t sig[KEY_SIGNATURE_SIZE];
	size_t n;

	str_b64url(token, header, strlen(header));
	n = strlen(token);
	token[n++] = '.';
	str_b64url(token + n, claims, strlen(claims));
	n = strlen(token);
	assert_int_equal(key_sign(key, token, n, sig), 0);
	token[n++] = '.';
	str_b64url(token + n, sig, sizeof sig);
	return token;
}

static void round_trip(void **state)
{
	char *token = jwt_sign(key, "k-1", "{\"sub\":\"usr_1\"}", NULL), *claims;
	char kid[JWT_KID_MAX];

	(void)state;
	assert_non_null(token);
	assert_int_equal(jwt_kid(token, kid, NULL), 0);
	assert_string_equal(kid, "k-1");
	assert_int_equal(jwt_verify(key, token, &claims, NULL), 0);
	assert_string_equal(claims, "{\"sub\":\"usr_1\"}");
	free(claims);
	free(token);
}

static void every_changed_byte_is_seen(void **state)
{
	char *token = jwt_sign(key, "k", "{\"a\":1}", NULL), *claims;
	size_t n = strlen(token);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char old = token[i];

		token[i] = old == 'A' ? 'B' : 'A';
		assert_int_equal(jwt_verify(key, token, &claims, NULL), -1);
		token[i] = old;
	}
	for (size_t i = 0; i < n; i++) {
		char *cut = strndup(token, i);

		assert_int_equal(jwt_verify(key, cut, &claims, NULL), -1);
		free(cut);
	}
	free(token);
}

static void headers_that_are_not_ours(void **state)
{
	static const struct {
		const char *what, *header;
	} cases[] = {
		{ "alg none", "{\"alg\":\"none\",\"kid\":\"k\",\"typ\":\"JWT\"}" },
		{ "alg HS256", "{\"alg\":\"HS256\",\"kid\":\"k\",\"typ\":\"JWT\"}" },
		{ "no kid", "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}" },
		{ "empty kid", "{\"alg\":\"EdDSA\",\"kid\":\"\",\"typ\":\"JWT\"}" },
		{ "crit", "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"crit\":[\"b64\"],\"typ\":\"JWT\"}" },
		{ "member smuggled in the kid", "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"alg\":\"none\",\"typ\":\"JWT\"}" },
		{ "escape in the kid", "{\"alg\":\"EdDSA\",\"kid\":\"a\\u0062\",\"typ\":\"JWT\"}" },
		{ "kid is a path", "{\"alg\":\"EdDSA\",\"kid\":\"../../etc/passwd\",\"typ\":\"JWT\"}" },
		{ "kid too long",
			"{\"alg\":\"EdDSA\",\"kid\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"typ\":\"JWT\"}" },
		{ "other typ", "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"JWE\"}" },
		{ "empty", "" },
	};
	bool failed = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { .code = ERR_NONE };
		char kid[JWT_KID_MAX], *claims;
		char *token = forge(cases[i].header, "{}");

		if (jwt_kid(token, kid, &e) == 0 || jwt_verify(key, token, &claims, &e) == 0 ||
			e.code != ERR_INVALID_TOKEN) {
			print_error("%s was accepted\n", cases[i].what);
			failed = true;
		}
	}
	assert_false(failed);
}

static void shapes_that_are_no_token(void **state)
{
	static const char *const bad[] = { "", ".", "..", "...", "a.b", "a.b.c.d", "a.b.c", "Bearer a.b.c" };
	char huge[JWT_MAX + 10], kid[JWT_KID_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(jwt_kid(bad[i], kid, NULL), -1);
	memset(huge, '.', sizeof huge);
	huge[sizeof huge - 1] = '\0';
	assert_int_equal(jwt_kid(huge, kid, NULL), -1);
}

static void another_key_does_not_verify(void **state)
{
	char *token = jwt_sign(key, "k", "{}", NULL), *claims;
	struct key *other;

	(void)state;
	assert_int_equal(key_generate(&other, NULL), 0);
	assert_int_equal(jwt_verify(other, token, &claims, NULL), -1);
	key_free(other);
	free(token);
}

static void what_cannot_be_signed(void **state)
{
	char *big = malloc(JWT_MAX + 1);

	(void)state;
	memset(big, 'x', JWT_MAX);
	big[JWT_MAX] = '\0';
	assert_null(jwt_sign(key, "k", big, NULL));
	assert_null(jwt_sign(key, "", "{}", NULL));
	assert_null(jwt_sign(key, "a\"b", "{}", NULL));
	free(big);
}

static int make_key(void **state)
{
	(void)state;
	return key_generate(&key, NULL);
}

static int drop_key(void **state)
{
	(void)state;
	key_free(key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(every_changed_byte_is_seen),
		cmocka_unit_test(headers_that_are_not_ours),
		cmocka_unit_test(shapes_that_are_no_token),
		cmocka_unit_test(another_key_does_not_verify),
		cmocka_unit_test(what_cannot_be_signed),
	};

	return cmocka_run_group_tests(tests, make_key, drop_key);
}
