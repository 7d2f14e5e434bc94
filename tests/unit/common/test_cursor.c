/* cursor: reading, and the failure that stays. */
#include "common/base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_reads(void **state)
{
	static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 2, 'h', 'i', 0, 0, 0, 1,
		'x', 'e' };
	struct cursor c;
	char s[3];
	size_t n;

	(void)state;
	cursor_init(&c, in, sizeof in);
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 0x0203);
	assert_int_equal(cursor_u32(&c), 0x04050607);
	assert_true(cursor_u64(&c) == 0x08090a0b0c0d0e0f);
	cursor_str16(&c, s, sizeof s);
	assert_string_equal(s, "hi");
	assert_ptr_equal(cursor_blob32(&c, &n), in + 23);
	assert_int_equal(n, 1);
	assert_int_equal(cursor_done(&c), -1); /* one byte left */
	assert_ptr_equal(cursor_bytes(&c, 1), in + 24);
	assert_int_equal(cursor_done(&c), 0);
}

static void test_failure_stays(void **state)
{
	static const uint8_t in[] = { 1, 2, 3 };
	struct cursor c;
	char s[4] = "old";
	size_t n = 9;

	(void)state;
	cursor_init(&c, in, sizeof in);
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(c.failed);
	assert_int_equal(cursor_u8(&c), 0);
	assert_null(cursor_bytes(&c, 0));
	cursor_str16(&c, s, sizeof s);
	assert_string_equal(s, "");
	assert_null(cursor_blob32(&c, &n));
	assert_int_equal(n, 0);
	assert_int_equal(cursor_count(&c, 5, 1), 0);
	assert_int_equal(cursor_done(&c), -1);
}

static void test_empty_input(void **state)
{
	struct cursor c;

	(void)state;
	cursor_init(&c, NULL, 0);
	assert_non_null(cursor_bytes(&c, 0));
	assert_int_equal(cursor_done(&c), 0);
	cursor_fail(&c);
	assert_int_equal(cursor_done(&c), -1);
}

static void test_strings(void **state)
{
	static const struct {
		const char *what, *in;
		size_t n;
		const char *want; /* NULL: failure */
	} cases[] = {
		{ "empty", "\0\0", 2, "" },
		{ "fits exactly", "\0\3abc", 5, "abc" },
		{ "too long for the field", "\0\4abcd", 6, NULL },
		{ "longer than the input", "\0\3ab", 4, NULL },
		{ "longest length", "\xff\xff", 2, NULL },
		{ "NUL inside", "\0\3a\0c", 5, NULL },
		{ "NUL at the end", "\0\1\0", 3, NULL },
		{ "bad UTF-8", "\0\1\xff", 3, NULL },
		{ "half a length", "\0", 1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cursor c;
		char s[4] = "old";

		cursor_init(&c, cases[i].in, cases[i].n);
		cursor_str16(&c, s, sizeof s);
		if (c.failed != (cases[i].want == NULL))
			fail_msg("%s: wrong answer", cases[i].what);
		assert_string_equal(s, cases[i].want != NULL ? cases[i].want : "");
	}
}

static void test_lengths_near_overflow(void **state)
{
	struct cursor c;
	size_t n;

	(void)state;
	cursor_init(&c, "\xff\xff\xff\xff....", 8);
	assert_null(cursor_blob32(&c, &n));
	cursor_init(&c, "abcd", 4);
	assert_null(cursor_bytes(&c, SIZE_MAX));
	assert_true(c.failed);
}

static void test_count(void **state)
{
	static const struct {
		const char *in;
		uint32_t max;
		size_t min_size;
		bool ok;
	} cases[] = {
		{ "\0\0\0\2aabb", 2, 2, true },
		{ "\0\0\0\2aabb", 1, 2, false },
		{ "\0\0\0\2aabb", 9, 3, false },
		{ "\0\0\0\0aabb", 0, 99, true },
		{ "\xff\xff\xff\xff....", UINT32_MAX, 1, false },
		{ "\x80\0\0\0....", UINT32_MAX, SIZE_MAX / 2, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cursor c;

		cursor_init(&c, cases[i].in, 8);
		cursor_count(&c, cases[i].max, cases[i].min_size);
		assert_int_equal(c.failed, !cases[i].ok);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_failure_stays),
		cmocka_unit_test(test_empty_input),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_lengths_near_overflow),
		cmocka_unit_test(test_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
