/* str: copies that know where they cut, strict parsers, encodings. */
#include "common/base/hex.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_copy(void **state)
{
	static const struct {
		const char *src;
		size_t size;
		int rc;
		const char *want;
	} cases[] = {
		{ "abc", 4, 0, "abc" }, { "abc", 3, -1, "ab" }, { "abc", 1, -1, "" }, { "", 1, 0, "" },
		{ "a\xc3\xa9", 3, -1, "a" },                       /* inside a character of two bytes */
		{ "a\xe2\x82\xac", 4, -1, "a" },                   /* of three */
		{ "\xf0\x9f\x98\x80", 4, -1, "" },                 /* of four */
		{ "\xc3\xa9z", 3, -1, "\xc3\xa9" },                /* just behind one */
		{ "\x80\x80\x80\x80\x80", 4, -1, "\x80\x80\x80" }, /* no UTF-8 at all */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char dst[16] = "?";

		assert_int_equal(str_copy(dst, cases[i].size, cases[i].src), cases[i].rc);
		assert_string_equal(dst, cases[i].want);
	}
}

static void test_fmt(void **state)
{
	char dst[4];

	(void)state;
	assert_int_equal(str_fmt(dst, sizeof dst, "%d", 123), 0);
	assert_string_equal(dst, "123");
	assert_int_equal(str_fmt(dst, sizeof dst, "%d", 1234), -1);
	assert_string_equal(dst, "123");
	assert_int_equal(str_fmt(dst, sizeof dst, "ab%s", "\xc3\xa9"), -1);
	assert_string_equal(dst, "ab");
	assert_int_equal(str_fmt(dst, sizeof dst, "%s", "\xe2\x82\xac!"), -1);
	assert_string_equal(dst, "\xe2\x82\xac");
}

static void test_compare(void **state)
{
	(void)state;
	assert_true(str_eq("a", "a"));
	assert_false(str_eq("a", "b"));
	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq("", NULL));
	assert_false(str_eq(NULL, ""));
	assert_true(str_starts("abc", "ab"));
	assert_true(str_starts("abc", ""));
	assert_false(str_starts("a", "ab"));
	assert_true(str_eq_secret("abc", "abc"));
	assert_false(str_eq_secret("abc", "abd"));
	assert_false(str_eq_secret("abc", "ab"));
	assert_true(str_eq_secret("", ""));
}

static void test_u64(void **state)
{
	static const struct {
		const char *s;
		uint64_t min, max;
		int rc;
		uint64_t want;
	} cases[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -1, 0 },
		{ "99999999999999999999", 0, UINT64_MAX, -1, 0 },
		{ "007", 0, 10, 0, 7 },
		{ "5", 5, 5, 0, 5 },
		{ "4", 5, 6, -1, 0 },
		{ "7", 5, 6, -1, 0 },
		{ "", 0, 9, -1, 0 },
		{ " 1", 0, 9, -1, 0 },
		{ "1 ", 0, 9, -1, 0 },
		{ "+1", 0, 9, -1, 0 },
		{ "-0", 0, 9, -1, 0 },
		{ "0x1", 0, 9, -1, 0 },
		{ "1e1", 0, 99, -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 77;

		if (str_to_u64(cases[i].s, cases[i].min, cases[i].max, &v) != cases[i].rc)
			fail_msg("'%s': wrong answer", cases[i].s);
		assert_int_equal(v, cases[i].rc == 0 ? cases[i].want : 77);
	}
}

static void test_i64(void **state)
{
	static const struct {
		const char *s;
		int rc;
		int64_t want;
	} cases[] = {
		{ "-1", 0, -1 },
		{ "-0", 0, 0 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -1, 0 },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "-9223372036854775809", -1, 0 },
		{ "--1", -1, 0 },
		{ "-", -1, 0 },
		{ "+1", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 0;

		if (str_to_i64(cases[i].s, INT64_MIN, INT64_MAX, &v) != cases[i].rc)
			fail_msg("'%s': wrong answer", cases[i].s);
		assert_true(v == cases[i].want);
	}
	assert_int_equal(str_to_i64("5", -1, 4, &(int64_t){ 0 }), -1);
	assert_int_equal(str_to_i64("-2", -1, 4, &(int64_t){ 0 }), -1);
}

static void test_duration_and_size(void **state)
{
	static const struct {
		int (*parse)(const char *s, uint64_t *out);
		const char *s;
		int rc;
		uint64_t want;
	} cases[] = {
		{ str_to_duration_ms, "250ms", 0, 250 },
		{ str_to_duration_ms, "30s", 0, 30000 },
		{ str_to_duration_ms, "30", 0, 30000 },
		{ str_to_duration_ms, "5m", 0, 300000 },
		{ str_to_duration_ms, "2h", 0, 7200000 },
		{ str_to_duration_ms, "7d", 0, 604800000 },
		{ str_to_duration_ms, "1.5s", -1, 0 },
		{ str_to_duration_ms, "1h30m", -1, 0 },
		{ str_to_duration_ms, "s", -1, 0 },
		{ str_to_duration_ms, "5 s", -1, 0 },
		{ str_to_duration_ms, "18446744073709551615ms", 0, UINT64_MAX },
		{ str_to_duration_ms, "18446744073709551615s", -1, 0 },
		{ str_to_duration_ms, "213503982335d", -1, 0 },
		{ str_to_size, "4096", 0, 4096 },
		{ str_to_size, "64KiB", 0, 65536 },
		{ str_to_size, "64K", 0, 65536 },
		{ str_to_size, "10MiB", 0, 10485760 },
		{ str_to_size, "1GiB", 0, 1073741824 },
		{ str_to_size, "1G", 0, 1073741824 },
		{ str_to_size, "1kib", -1, 0 },
		{ str_to_size, "1KB", -1, 0 },
		{ str_to_size, "17179869184GiB", -1, 0 },
		{ str_to_size, "17179869183GiB", 0, UINT64_C(17179869183) << 30 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 0;

		if (cases[i].parse(cases[i].s, &v) != cases[i].rc || v != cases[i].want)
			fail_msg("'%s': wrong answer", cases[i].s);
	}
}

static void test_bool(void **state)
{
	static const char *const yes[] = { "true", "yes", "on", "1" }, *const no[] = { "false", "no", "off", "0" };
	static const char *const neither[] = { "", "True", "2", "y", "true " };
	bool v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		v = false;
		assert_int_equal(str_to_bool(yes[i], &v), 0);
		assert_true(v);
		assert_int_equal(str_to_bool(no[i], &v), 0);
		assert_false(v);
	}
	for (size_t i = 0; i < ARRAY_LEN(neither); i++)
		assert_int_equal(str_to_bool(neither[i], &v), -1);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *what, *s;
		size_t n;
		bool ok;
	} cases[] = {
		{ "empty", "", 0, true },
		{ "ASCII", "az", 2, true },
		{ "NUL", "a\0b", 3, false },
		{ "two bytes", "\xc2\x80\xdf\xbf", 4, true },
		{ "three bytes", "\xe0\xa0\x80\xef\xbf\xbf", 6, true },
		{ "four bytes", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, true },
		{ "overlong two", "\xc0\x80", 2, false },
		{ "overlong two, C1", "\xc1\xbf", 2, false },
		{ "overlong three", "\xe0\x9f\xbf", 3, false },
		{ "overlong four", "\xf0\x8f\xbf\xbf", 4, false },
		{ "surrogate low", "\xed\xa0\x80", 3, false },
		{ "surrogate high", "\xed\xbf\xbf", 3, false },
		{ "before the surrogates", "\xed\x9f\xbf", 3, true },
		{ "behind Unicode", "\xf4\x90\x80\x80", 4, false },
		{ "F5", "\xf5\x80\x80\x80", 4, false },
		{ "continuation alone", "\x80", 1, false },
		{ "cut", "\xe2\x82", 2, false },
		{ "third byte wrong", "\xe2\x82\x41", 3, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (str_is_utf8(cases[i].s, cases[i].n) != cases[i].ok)
			fail_msg("%s: wrong answer", cases[i].what);
}

static void test_make_utf8(void **state)
{
	static const struct {
		const char *s, *want;
	} cases[] = {
		{ "", "" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "caf\xe9!", "caf?!" },
		{ "\xc3", "?" },
		{ "\xe2\x82", "??" },
		{ "\xc0\x80z", "??z" },
		{ "\xf0\x9f\x98\x80\x80", "\xf0\x9f\x98\x80?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char s[16];

		str_copy(s, sizeof s, cases[i].s);
		str_make_utf8(s);
		assert_string_equal(s, cases[i].want);
	}
}

static void test_hex(void **state)
{
	static const char *const bad[] = { "0", "0g", "zz", "0001020304" };
	uint8_t bytes[4];
	char text[9], digits[16];

	(void)state;
	str_hex(text, "\x00\x7f\x80\xff", 4);
	assert_string_equal(text, "007f80ff");
	hex_u64(digits, UINT64_C(0x0123456789abcdef));
	assert_memory_equal(digits, "0123456789abcdef", 16);
	hex_u64(digits, UINT64_C(0xfedcba98f0000009));
	assert_memory_equal(digits, "fedcba98f0000009", 16);
	assert_int_equal(str_unhex(bytes, 4, "007F80fF"), 4);
	assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
	assert_int_equal(str_unhex(bytes, 4, ""), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(str_unhex(bytes, 4, bad[i]), -1);
}

static void test_base64url(void **state)
{
	/* RFC 4648 section 10, and the two characters that differ from plain base64. */
	static const struct {
		const char *plain, *text;
	} good[] = {
		{ "", "" },
		{ "f", "Zg" },
		{ "fo", "Zm8" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xbf", "-_-_" },
	};
	static const char *const bad[] = { "Z", "Zg==", "Zh", "Zm9", "Z+==", "Zm9v/", "Zm 9v", "Zm9vZ" };
	uint8_t bytes[8];
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const size_t n = strlen(good[i].plain);

		str_b64url(text, good[i].plain, n);
		assert_string_equal(text, good[i].text);
		assert_int_equal(str_b64url_len(n), strlen(text));
		assert_int_equal(str_unb64url(bytes, sizeof bytes, text, strlen(text)), (int)n);
		assert_memory_equal(bytes, good[i].plain, n);
		if (n > 0)
			assert_int_equal(str_unb64url(bytes, n - 1, text, strlen(text)), -1);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (str_unb64url(bytes, sizeof bytes, bad[i], strlen(bad[i])) != -1)
			fail_msg("'%s' accepted", bad[i]);
}

static void test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		size_t want;
	} cases[] = { { "", "", 0 }, { "abc", "abc", 0 }, { "", "abc", 3 }, { "abc", "", 3 },
		{ "kitten", "sitting", 3 }, { "PORTWAY_TOKN", "PORTWAY_TOKEN", 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(str_distance(cases[i].a, cases[i].b), cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_fmt),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_i64),
		cmocka_unit_test(test_duration_and_size),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_make_utf8),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
