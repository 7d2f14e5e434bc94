/* cidr: parsing, printing, matching. */
#include "common/net/cidr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *s, *want; /* as printed; NULL: refused */
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "192.0.2.1", "192.0.2.1/32" },
		{ "192.0.2.128/25", "192.0.2.128/25" },
		{ "::/0", "::/0" },
		{ "2001:DB8::/32", "2001:db8::/32" },
		{ "2001:db8::1", "2001:db8::1/128" },
		{ "fe80::/10", "fe80::/10" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:10.0.0.1", "10.0.0.1/32" },
		{ "::ffff:0.0.0.0/96", "0.0.0.0/0" },
		{ "::ffff:10.0.0.0/95", NULL },
		{ "::ffff:10.0.0.0/8", NULL },
		{ "10.0.0.1/8", NULL },
		{ "192.0.2.129/25", NULL },
		{ "2001:db8::1/32", NULL },
		{ "10.0.0.0/33", NULL },
		{ "::/129", NULL },
		{ "10.0.0.0/", NULL },
		{ "10.0.0.0/-1", NULL },
		{ "10.0.0.0/8/8", NULL },
		{ "10.0.0.0 /8", NULL },
		{ "10/8", NULL },
		{ "/8", NULL },
		{ "", NULL },
		{ "example.com/8", NULL },
		{ "fe80::1%1/128", NULL },
		{ "[::1]/128", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static const struct cidr none;
		char text[CIDR_STRLEN];
		struct cidr c, again;

		if ((cidr_parse(&c, cases[i].s) == 0) != (cases[i].want != NULL))
			fail_msg("'%s': wrong answer", cases[i].s);
		if (cases[i].want == NULL) {
			assert_memory_equal(&c, &none, sizeof c);
			continue;
		}
		assert_true(cidr_is_valid(&c));
		cidr_print(&c, text);
		assert_string_equal(text, cases[i].want);
		assert_int_equal(cidr_parse(&again, text), 0);
		assert_memory_equal(&c, &again, sizeof c);
	}
}

static void test_match(void **state)
{
	static const struct {
		const char *range, *ip;
		bool match;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "1.2.3.4", false },
		{ "::/0", "2001:db8::1", true },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::ffff:10.0.0.0/104", "10.1.2.3", true },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "2001:db8::1", "2001:db8::", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a;
		struct cidr c;

		assert_int_equal(cidr_parse(&c, cases[i].range), 0);
		assert_int_equal(addr_parse_ip(&a, cases[i].ip, 0), 0);
		if (cidr_match(&c, &a) != cases[i].match)
			fail_msg("%s in %s: wrong answer", cases[i].ip, cases[i].range);
		assert_int_equal(cidr_match_any(&c, 1, &a), cases[i].match);
		assert_false(cidr_match_any(&c, 0, &a));
		assert_false(cidr_match(&c, &(struct addr){ .len = 0 }));
	}
}

static void test_valid(void **state)
{
	static const struct {
		struct cidr c;
		bool ok;
	} cases[] = {
		{ { 4, 8, { 10 } }, true },
		{ { 4, 33, { 0 } }, false },
		{ { 5, 8, { 10 } }, false },
		{ { 0, 0, { 0 } }, false },
		{ { 4, 32, { 1, 2, 3, 4, 5 } }, false }, /* bytes behind the address */
		{ { 4, 8, { 10, 1 } }, false },
		{ { 4, 9, { 10, 0x80 } }, true },
		{ { 4, 9, { 10, 0x40 } }, false },
		{ { 6, 128, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } }, true },
		{ { 6, 129, { 0 } }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(cidr_is_valid(&cases[i].c), cases[i].ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
