#include "controld/identity/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Rows: who. Columns: PUBLIC SELF READ WRITE TENANT_ADMIN SYSTEM CLIENT. */
static const struct {
	const char *who;
	struct identity id;
	const char *may; /* x = yes */
} matrix[] = {
	{ "no role", { .role = ROLE_NONE }, "xx....." },
	{ "viewer", { .role = ROLE_VIEWER }, "xxx...." },
	{ "operator", { .role = ROLE_OPERATOR }, "xxxx..." },
	{ "admin", { .role = ROLE_ADMIN }, "xxxxx.." },
	{ "owner", { .role = ROLE_OWNER }, "xxxxx.." },
	{ "system_admin without a role", { .role = ROLE_NONE, .system_admin = true }, "xxxxxx." },
	{ "API key of an operator", { .role = ROLE_OPERATOR, .api_key = true }, "xxxx..." },
	{ "client", { .actor = "client:7" }, "x.....x" },
	{ "client, whatever else it says", { .actor = "client:7", .role = ROLE_OWNER, .system_admin = true },
		"x.....x" },
	{ "no client", { .actor = "client:" }, "xx....." },
};

static void who_may_what(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(matrix); i++)
		for (int p = PERM_PUBLIC; p <= PERM_CLIENT; p++)
			if (identity_allows(&matrix[i].id, (enum permission)p) != (matrix[i].may[p] == 'x')) {
				print_error("%s, permission %d\n", matrix[i].who, p);
				failed++;
			}
	assert_int_equal(failed, 0);
}

static void nobody_may_only_what_is_public(void **state)
{
	(void)state;
	assert_true(identity_allows(NULL, PERM_PUBLIC));
	for (int p = PERM_SELF; p <= PERM_CLIENT; p++)
		assert_false(identity_allows(NULL, (enum permission)p));
	assert_false(identity_allows(&(struct identity){ .role = ROLE_OWNER }, (enum permission)77));
}

static void the_client_is_in_the_actor(void **state)
{
	(void)state;
	assert_int_equal(identity_client(&(struct identity){ .actor = "client:9007199254740991" }), 9007199254740991);
	assert_int_equal(identity_client(&(struct identity){ .actor = "client:0" }), 0);
	assert_int_equal(identity_client(&(struct identity){ .actor = "usr_1" }), 0);
	assert_int_equal(identity_client(&(struct identity){ .actor = "" }), 0);
}

static void role_names_round_trip(void **state)
{
	static const char *const bad[] = { "", "none", "Owner", "root", "owner ", NULL };
	enum role role;

	(void)state;
	for (int r = ROLE_VIEWER; r <= ROLE_OWNER; r++) {
		assert_int_equal(role_parse(role_name((enum role)r), &role), 0);
		assert_int_equal(role, r);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(role_parse(bad[i], &role), -1);
	assert_string_equal(role_name((enum role)99), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_what),
		cmocka_unit_test(nobody_may_only_what_is_public),
		cmocka_unit_test(the_client_is_in_the_actor),
		cmocka_unit_test(role_names_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
