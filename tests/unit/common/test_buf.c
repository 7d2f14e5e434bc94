/* buf: growth, the limit, the sticky failure. */
#include "common/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_integers_and_strings(void **state)
{
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 2, 'h', 'i', 0, 0, 0, 0,
		0, 3, 'x', 'y', 'z' };
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_u8(&b, 1);
	buf_u16(&b, 0x0203);
	buf_u32(&b, 0x04050607);
	buf_u64(&b, 0x08090a0b0c0d0e0f);
	buf_str16(&b, "hi");
	buf_str16(&b, NULL);
	buf_blob32(&b, "xyz", 3);
	assert_int_equal(b.len, sizeof want);
	assert_memory_equal(b.data, want, sizeof want);
	assert_false(b.failed);
	buf_free(&b);
}

static void test_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	buf_put(&b, "abcd", 4);
	assert_false(b.failed);
	assert_string_equal(buf_cstr(&b), "abcd"); /* the NUL is beyond the limit and no content */
	buf_u8(&b, 'e');
	assert_true(b.failed);
	assert_int_equal(b.len, 4);
	assert_string_equal(buf_cstr(&b), "");
	buf_reset(&b);
	buf_put(&b, "ab", 2);
	buf_u32(&b, 1);
	buf_put(&b, "c", 1); /* would fit, but something before it is missing */
	assert_true(b.failed);
	assert_int_equal(b.len, 2);
	buf_free(&b);
}

static void test_zeroed(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_string_equal(buf_cstr(&b), "");
	buf_put(&b, NULL, 0);
	assert_false(b.failed);
	buf_consume(&b, 5);
	buf_put(&b, "a", 1);
	assert_true(b.failed);
	buf_free(&b);
	buf_free(&b);
	assert_false(b.failed);
}

static void test_strings_too_long(void **state)
{
	static char s[65537];
	struct buf b;

	(void)state;
	memset(s, 'a', sizeof s - 1);
	buf_init(&b, SIZE_MAX);
	buf_str16(&b, s);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buf_reset(&b);
	s[65535] = '\0';
	buf_str16(&b, s);
	assert_false(b.failed);
	assert_int_equal(b.len, 65537);
	buf_free(&b);
}

static void test_huge_request(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	buf_u8(&b, 1);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_free(&b);
	assert_null(buf_reserve(&b, SIZE_MAX)); /* no room for the NUL behind it */
	assert_true(b.failed);
}

static void test_printf(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	buf_printf(&b, "%s-%d", "a", 5);
	buf_printf(&b, "%s", "");
	buf_printf(&b, "%0100d", 7);
	assert_int_equal(b.len, 103);
	assert_memory_equal(b.data, "a-50000", 7);
	buf_printf(&b, "%0100d", 7);
	assert_true(b.failed);
	assert_int_equal(b.len, 103);
	buf_free(&b);
}

static void test_patch_consume_reserve(void **state)
{
	struct buf b;
	uint8_t *p;

	(void)state;
	buf_init(&b, 100);
	buf_u32(&b, 0);
	buf_put(&b, "tail", 4);
	buf_patch_u32(&b, 0, 0x01020304);
	assert_memory_equal(b.data, "\1\2\3\4tail", 8);
	buf_consume(&b, 4);
	assert_string_equal(buf_cstr(&b), "tail");
	p = buf_reserve(&b, 3);
	assert_ptr_equal(p, b.data + 4);
	memcpy(p, "end", 3);
	b.len += 3;
	assert_string_equal(buf_cstr(&b), "tailend");
	buf_consume(&b, 1000);
	assert_int_equal(b.len, 0);
	assert_null(buf_reserve(&b, 101));
	buf_patch_u32(&b, 50, 1); /* failed: what would be patched may be missing */
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers_and_strings),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_zeroed),
		cmocka_unit_test(test_strings_too_long),
		cmocka_unit_test(test_huge_request),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_patch_consume_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
