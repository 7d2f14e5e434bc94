/* What others named must reach a terminal as letters only. */
#include "client/out/text.h"

#include "common/base/buf.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *what, *in, *want;
	size_t width;
} cases[] = {
	{ "plain", "edge-1", "edge-1", 6 },
	{ "empty", "", "", 0 },
	{ "quotes stay", "say \"hi\"", "say \"hi\"", 8 },
	{ "line end", "a\nb", "a\\nb", 4 },
	{ "tab, return", "\t\r", "\\t\\r", 4 },
	{ "escape sequence", "\x1b[31mred", "\\x1b[31mred", 11 },
	{ "title of the window", "\x1b]0;x\x07", "\\x1b]0;x\\x07", 12 },
	{ "delete", "\x7f", "\\x7f", 4 },
	{ "CSI in one character",
		"\xc2\x9b"
		"2J",
		"\\u009b2J", 8 },
	{ "right to left override",
		"a\xe2\x80\xae"
		"b",
		"a\\u202eb", 8 },
	{ "zero width space", "\xe2\x80\x8b", "\\u200b", 6 },
	{ "tag", "\xf3\xa0\x80\x81", "\\U000e0001", 10 },
	{ "umlaut is one column", "\xc3\xa4", "\xc3\xa4", 1 },
	{ "CJK is two", "\xe4\xb8\xad", "\xe4\xb8\xad", 2 },
	{ "combining has none", "e\xcc\x81", "e\xcc\x81", 1 },
	{ "no UTF-8", "\xff", "\\xff", 4 },
	{ "cut in the middle", "\xe4\xb8", "\\xe4\\xb8", 8 },
	{ "overlong slash", "\xc0\xaf", "\\xc0\\xaf", 8 },
	{ "surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80", 12 },
	{ "beyond Unicode", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", 16 },
};

static void test_table(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b;
		size_t width;

		buf_init(&b, 4096);
		width = text_clean(&b, cases[i].in, strlen(cases[i].in));
		if (strcmp(buf_cstr(&b), cases[i].want) != 0 || width != cases[i].width) {
			print_error("%s: got '%s' of %zu\n", cases[i].what, buf_cstr(&b), width);
			failed++;
		}
		buf_free(&b);
	}
	assert_int_equal(failed, 0);
}

static void test_nul_inside(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(text_clean(&b, "a\0b", 3), 6);
	assert_string_equal(buf_cstr(&b), "a\\x00b");
	buf_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_nul_inside),
	};

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
