/* scope: which rows a key's scopes open, and what is no scope. */
#include "controld/identity/scope.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *scopes, *method, *tag;
	bool allows;
} cases[] = {
	{ "*", "DELETE", "mappings", true },
	{ "", "GET", "mappings", false },
	{ " ", "GET", "mappings", false },
	{ "mappings:read", "GET", "mappings", true },
	{ "mappings:read", "GET", "Mappings", true },
	{ "mappings:read", "POST", "mappings", false },
	{ "mappings:read", "GET", "mapping", false },
	{ "mappings:read", "GET", "mappings2", false },
	{ "mappings:write", "POST", "mappings", true },
	{ "mappings:write", "PUT", "mappings", true },
	{ "mappings:write", "PATCH", "mappings", true },
	{ "mappings:write", "DELETE", "mappings", true },
	{ "mappings:write", "GET", "mappings", false },
	{ "mappings:*", "GET", "mappings", true },
	{ "mappings:*", "DELETE", "mappings", true },
	{ "mappings:*", "GET", "clients", false },
	{ "*:read", "GET", "anything", true },
	{ "*:read", "POST", "anything", false },
	{ "*:*", "POST", "anything", true },
	{ "clients:read mappings:write", "POST", "mappings", true },
	{ "clients:read mappings:write", "GET", "clients", true },
	{ "clients:read mappings:write", "GET", "mappings", false },
	{ "client-tokens:write", "POST", "Client tokens", true },
	{ "mappings", "GET", "mappings", false },
	{ ":read", "GET", "", true }, /* nobody can have it: scope_check() */
	{ "other:read", "GET", NULL, true },
	{ "mappings:rea", "GET", "mappings", false },
	{ "mappings:readx", "GET", "mappings", false },
};

static void rows_are_open_or_not(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct route row = { .method = cases[i].method, .tag = cases[i].tag };
		struct identity id = { .api_key = true };
		const struct identity user = { .api_key = false };

		(void)str_copy(id.scopes, sizeof id.scopes, cases[i].scopes);
		if (identity_in_scope(&id, &row) != cases[i].allows) {
			print_error("'%s': %s %s\n", cases[i].scopes, cases[i].method, cases[i].tag);
			failed++;
		}
		assert_true(identity_in_scope(&user, &row));
	}
	assert_int_equal(failed, 0);
}

static void what_a_row_asks_for(void **state)
{
	const struct route row = { .method = "POST", .tag = "Client tokens" }, untold = { .method = "GET" };
	char scope[SCOPE_SIZE];

	(void)state;
	identity_scope_of(scope, &row);
	assert_string_equal(scope, "client-tokens:write");
	identity_scope_of(scope, &untold);
	assert_string_equal(scope, "other:read");
}

static void what_is_no_scope(void **state)
{
	static const char *const good[] = { "*", "*:*", "*:read", "mappings:read", "client-tokens:write", "a1:*" };
	static const char *const bad[] = { "", ":", ":read", "mappings", "mappings:", "mappings:delete",
		"Mappings:read", "**:read", "a*:read", "mappings:read ", " mappings:read", "mappings:read:write",
		"m\xc3\xa4:read" };
	char resource[SCOPE_SIZE], longest[2 * SCOPE_SIZE];
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(scope_check(good[i], resource, &e), 0);
	assert_string_equal(resource, "a1");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(scope_check(bad[i], resource, &e), -1);
		assert_string_equal(e.field, "scopes");
	}
	memset(longest, 'a', sizeof longest);
	(void)str_copy(longest + SCOPE_SIZE, sizeof longest - SCOPE_SIZE, ":read");
	assert_int_equal(scope_check(longest, resource, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rows_are_open_or_not),
		cmocka_unit_test(what_a_row_asks_for), cmocka_unit_test(what_is_no_scope) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
