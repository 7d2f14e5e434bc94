#include "relayd/link/link_resolve.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void addresses_are_themselves(void **state)
{
	static const struct {
		const char *target, *want;
	} cases[] = {
		{ "192.0.2.1:7400", "192.0.2.1:7400" },
		{ "127.0.0.1:1", "127.0.0.1:1" },
		{ "[::1]:7400", "[::1]:7400" },
	};
	char got[ADDR_STRLEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (unsigned turn = 0; turn < 3; turn++) {
			assert_int_equal(link_resolve(cases[i].target, turn, got, NULL), 0);
			assert_string_equal(got, cases[i].want);
		}
}

static void a_name_gives_one_of_its_own(void **state)
{
	char got[ADDR_STRLEN];

	(void)state;
	for (unsigned turn = 0; turn < 4; turn++) {
		assert_int_equal(link_resolve("localhost:7400", turn, got, NULL), 0);
		assert_true(strcmp(got, "127.0.0.1:7400") == 0 || strcmp(got, "[::1]:7400") == 0);
	}
}

static void what_cannot_be_resolved_is_said(void **state)
{
	char got[ADDR_STRLEN];
	struct err e;

	(void)state;
	assert_int_equal(link_resolve("nobody.invalid:7400", 0, got, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(e.msg, "nobody.invalid"));
	assert_int_equal(link_resolve("nothing", 0, got, &e), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_themselves),
		cmocka_unit_test(a_name_gives_one_of_its_own),
		cmocka_unit_test(what_cannot_be_resolved_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
