/* allow: what may be written, and what it lets through. */
#include "common/net/allow.h"

#include "common/base/err.h"
#include "common/net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_written(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "", true },
		{ "any", true },
		{ "localhost", true },
		{ " 10.0.0.0/8 , 192.0.2.1:22\tdb.internal:5432-5440\n", true },
		{ "::1", true },
		{ "2001:db8::/32", true },
		{ "[2001:db8::/32]:80-443", true },
		{ "[::1]:22", true },
		{ "*.internal:80", true },
		{ "*", false },
		{ "10.0.0.1/8", false },
		{ "10.0.0.0/8:", false },
		{ "10.0.0.0/8:0", false },
		{ "10.0.0.0/8:65536", false },
		{ "10.0.0.0/8:90-80", false },
		{ "10.0.0.0/8:80-", false },
		{ "[::1", false },
		{ "[::1]22", false },
		{ "[db.internal]:", false },
		{ "a b c -", false },
		{ "*.*.x", false },
		{ "under_score", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct allow *a = NULL;
		struct err e = { .code = ERR_NONE };
		int r = allow_parse(&a, "allow", cases[i].text, &e);

		if ((r == 0) != cases[i].good)
			fail_msg("'%s': %s", cases[i].text, r == 0 ? "taken" : e.msg);
		if (r != 0)
			assert_string_equal(e.field, "allow");
		allow_unref(a);
	}
}

static void test_asked(void **state)
{
	static const struct {
		const char *list, *host;
		uint16_t port;
		bool good;
	} cases[] = {
		{ "localhost", "127.0.0.1", 22, true },
		{ "localhost", "127.255.0.1", 22, true },
		{ "localhost", "::1", 22, true },
		{ "localhost", "192.0.2.1", 22, false },
		{ "localhost", "localhost", 22, false }, /* a name: where it leads decides */
		{ "", "127.0.0.1", 22, false },
		{ "any", "192.0.2.1", 1, true },
		{ "any", "whatever", 1, true },
		{ "10.0.0.0/8:80-90", "10.1.2.3", 80, true },
		{ "10.0.0.0/8:80-90", "10.1.2.3", 90, true },
		{ "10.0.0.0/8:80-90", "10.1.2.3", 79, false },
		{ "10.0.0.0/8:80-90", "10.1.2.3", 91, false },
		{ "10.0.0.0/8:80", "11.1.2.3", 80, false },
		{ "192.0.2.7", "192.0.2.7", 9, true },
		{ "192.0.2.7", "192.0.2.8", 9, false },
		{ "192.0.2.7", "::ffff:192.0.2.7", 9, true },
		{ "[2001:db8::/32]:443", "2001:db8::5", 443, true },
		{ "[2001:db8::/32]:443", "2001:db8::5", 80, false },
		{ "db.internal:5432", "db.internal", 5432, true },
		{ "db.internal:5432", "DB.Internal.", 5432, true },
		{ "db.internal:5432", "db.internal", 5433, false },
		{ "db.internal", "xdb.internal", 1, false },
		{ "*.internal", "db.internal", 1, true },
		{ "*.internal", "a.b.internal", 1, true },
		{ "*.internal", "internal", 1, false },
		{ "*.internal", "db.internal.example", 1, false },
		{ "10.0.0.0/8,db.internal", "10.0.0.1", 1, true },
		{ "10.0.0.0/8,db.internal", "db.internal", 1, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct allow *a;
		struct addr addr;
		bool is_addr = addr_parse_ip(&addr, cases[i].host, cases[i].port) == 0, got;

		assert_int_equal(allow_parse(&a, "allow", cases[i].list, NULL), 0);
		got = is_addr ? allow_has_addr(a, &addr) : allow_has_name(a, cases[i].host, cases[i].port);
		if (got != cases[i].good)
			fail_msg("'%s' and %s:%u", cases[i].list, cases[i].host, cases[i].port);
		allow_unref(a);
	}
}

static void test_too_many(void **state)
{
	static char text[ALLOW_RULES_MAX * 12 + 12];
	struct allow *a;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < ALLOW_RULES_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "10.0.%d.%d,", i / 250, i % 250);
	assert_int_equal(allow_parse(&a, "allow", text, NULL), 0);
	assert_ptr_equal(allow_ref(a), a);
	allow_unref(a);
	allow_unref(a);
	snprintf(text + n, sizeof text - n, "10.1.1.1");
	assert_int_equal(allow_parse(&a, "allow", text, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
