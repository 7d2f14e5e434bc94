/* host_name: what is a name, a pattern, and what lies below a domain. */
#include "common/net/host_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define L63 "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxy"

static void test_take(void **state)
{
	static const struct {
		const char *s, *name, *pattern; /* NULL: refused */
	} cases[] = {
		{ "example.com", "example.com", "example.com" },
		{ "EXAMPLE.Com", "example.com", "example.com" },
		{ "example.com.", "example.com", "example.com" },
		{ "localhost", "localhost", "localhost" },
		{ "3com.example", "3com.example", "3com.example" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ L63 ".example", L63 ".example", L63 ".example" },
		{ L63 "z.example", NULL, NULL },
		{ "*.example.com", NULL, "*.example.com" },
		{ "*.EXAMPLE.com.", NULL, "*.example.com" },
		{ "*", NULL, NULL },
		{ "*.", NULL, NULL },
		{ "*.*.example", NULL, NULL },
		{ "a.*.example", NULL, NULL },
		{ "*a.example", NULL, NULL },
		{ "", NULL, NULL },
		{ ".", NULL, NULL },
		{ "..", NULL, NULL },
		{ "a..b", NULL, NULL },
		{ ".a", NULL, NULL },
		{ "a.b..", NULL, NULL },
		{ "-a.example", NULL, NULL },
		{ "a-.example", NULL, NULL },
		{ "a_b.example", NULL, NULL },
		{ "a b.example", NULL, NULL },
		{ "b\xc3\xbc"
		  "cher.example",
			NULL, NULL },
		{ "127.0.0.1", NULL, NULL },
		{ "1", NULL, NULL },
		{ "a.1", NULL, NULL },
		{ "::1", NULL, NULL },
		{ "a:80", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *s = cases[i].s;
		char got[HOST_NAME_SIZE];

		if ((host_name_take(got, s, strlen(s)) == 0) != (cases[i].name != NULL))
			fail_msg("'%s': wrong answer as a name", s);
		assert_string_equal(got, cases[i].name != NULL ? cases[i].name : "");
		if ((host_pattern_take(got, s, strlen(s)) == 0) != (cases[i].pattern != NULL))
			fail_msg("'%s': wrong answer as a pattern", s);
		assert_string_equal(got, cases[i].pattern != NULL ? cases[i].pattern : "");
		assert_int_equal(
			host_pattern_is_taken(s), cases[i].pattern != NULL && strcmp(s, cases[i].pattern) == 0);
	}
}

static void test_length(void **state)
{
	char name[300], got[HOST_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof name; i++)
		name[i] = i % 2 == 0 ? 'a' : '.';
	assert_int_equal(host_name_take(got, name, 253), 0);
	assert_int_equal(strlen(got), 253);
	assert_int_equal(host_name_take(got, name, 254), 0); /* the root's dot is not kept */
	assert_int_equal(host_name_take(got, name, 255), -1);
	assert_int_equal(host_name_take(got, "a\0b", 3), -1);
	memcpy(name, "*.", 2);
	assert_int_equal(host_pattern_take(got, name, 253), 0);
	assert_int_equal(host_pattern_take(got, name, 255), -1);
}

static void test_below(void **state)
{
	(void)state;
	assert_true(host_name_is_below("a.example", "example"));
	assert_true(host_name_is_below("a.b.example", "example"));
	assert_true(host_name_is_below("*.example", "example"));
	assert_false(host_name_is_below("example", "example"));
	assert_false(host_name_is_below("aexample", "example"));
	assert_false(host_name_is_below(".example", "example"));
	assert_false(host_name_is_below("a.example", "b.example"));
	assert_false(host_name_is_below("a.example", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
