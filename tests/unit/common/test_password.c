#include "common/crypto/password.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void hash_and_verify(void **state)
{
	char a[PASSWORD_HASH_SIZE], b[PASSWORD_HASH_SIZE];

	(void)state;
	assert_int_equal(password_hash(a, "correct horse", NULL), 0);
	assert_int_equal(password_hash(b, "correct horse", NULL), 0);
	assert_string_not_equal(a, b); /* salted */
	assert_int_equal(strncmp(a, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
	assert_true(password_verify(a, "correct horse"));
	assert_false(password_verify(a, "correct hors"));
	assert_false(password_verify(a, ""));
}

static void too_long_is_refused_before_hashing(void **state)
{
	char longest[PASSWORD_MAX + 2], hash[PASSWORD_HASH_SIZE];
	struct err e = { .code = ERR_NONE };

	(void)state;
	memset(longest, 'x', sizeof longest);
	longest[PASSWORD_MAX + 1] = '\0';
	assert_int_equal(password_hash(hash, longest, &e), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
	assert_string_equal(e.field, "password");
	assert_string_equal(e.value, "***");
	longest[PASSWORD_MAX] = '\0';
	assert_int_equal(password_hash(hash, longest, NULL), 0);
	assert_true(password_verify(hash, longest));
}

static void foreign_hashes_verify_nothing(void **state)
{
	static const char *const bad[] = {
		"", "x", "$argon2id$v=19$m=19456,t=2,p=1$", "$2b$10$abcdefghijklmnopqrstuv",
		"$argon2id$v=19$m=99999999,t=2,p=1$pUBfkoyToWaNpLgRM/Zyjg$ooiaPG8gF7g25g59SK9bJQgOhauaA5P4WPs0nhUKXhI"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(password_verify(bad[i], "x"));
	password_verify_dummy("x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_and_verify),
		cmocka_unit_test(too_long_is_refused_before_hashing),
		cmocka_unit_test(foreign_hashes_verify_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
