/* jsonw: separators, escapes, numbers at their ends. */
#include "common/base/jsonw.h"
#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void strings(void **state)
{
	static const struct {
		const char *what, *in, *want;
	} cases[] = {
		{ "empty", "", "\"\"" },
		{ "plain", "edge-1", "\"edge-1\"" },
		{ "quote and backslash", "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "short escapes", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "other control characters", "\x01\x1f", "\"\\u0001\\u001f\"" },
		{ "UTF-8 passes", "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
		{ "ends with an opening bracket", "[", "\"[\"" },
		{ "no string", NULL, "null" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b;

		buf_init(&b, 1000);
		jsonw_str(&b, NULL, cases[i].in);
		print_message("%s\n", cases[i].what);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		buf_free(&b);
	}
}

/* Wherever in a string they stand: most of it is looked at in pieces of eight bytes. */
static void escapes_anywhere(void **state)
{
	static const struct {
		char in;
		const char *want;
	} cases[] = { { '"', "\\\"" }, { '\\', "\\\\" }, { '\n', "\\n" }, { '\x1f', "\\u001f" }, { ' ', " " },
		{ '!', "!" }, { '#', "#" }, { '[', "[" }, { ']', "]" }, { '\x7f', "\x7f" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t n = 1; n < 20; n++)
			for (size_t at = 0; at < n; at++) {
				char in[24], want[48];
				struct buf b;

				memset(in, 'x', n);
				in[at] = cases[i].in;
				in[n] = '\0';
				snprintf(want, sizeof want, "\"%.*s%s%s\"", (int)at, "xxxxxxxxxxxxxxxxxxxx",
					cases[i].want, in + at + 1);
				buf_init(&b, 1000);
				jsonw_str(&b, NULL, in);
				assert_string_equal(buf_cstr(&b), want);
				buf_free(&b);
			}
}

static void whole_object(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	jsonw_object(&b, NULL);
	jsonw_object(&b, "empty");
	jsonw_end_object(&b);
	jsonw_int(&b, "least", INT64_MIN);
	jsonw_int(&b, "zero", 0);
	jsonw_uint(&b, "most", UINT64_MAX);
	jsonw_bool(&b, "yes", true);
	jsonw_str_or_null(&b, "none", "");
	jsonw_time(&b, "never", 0);
	jsonw_time(&b, "time", 1000);
	jsonw_array(&b, "list");
	jsonw_str(&b, NULL, "a");
	jsonw_object(&b, NULL);
	jsonw_raw(&b, "raw", "[1]", 3);
	jsonw_end_object(&b);
	jsonw_end_array(&b);
	jsonw_end_object(&b);
	assert_string_equal(buf_cstr(&b), "{\"empty\":{},\"least\":-9223372036854775808,\"zero\":0,"
					  "\"most\":18446744073709551615,\"yes\":true,\"none\":null,\"never\":null,"
					  "\"time\":\"1970-01-01T00:00:01.000Z\",\"list\":[\"a\",{\"raw\":[1]}]}");
	buf_free(&b);
}

static void numbers_by_a_table(void **state)
{
	static const struct jsonw_number first[] = { JSONW_NUMBER("a", 2),
		JSONW_NUMBER("much_longer_than_all_the_others", 0) };
	static const struct jsonw_number last[] = { JSONW_NUMBER("bc", 1), JSONW_NUMBER("defg", 3),
		JSONW_NUMBER("eighteen_and_a_few", 4) };
	const int64_t values[] = { INT64_MIN, INT64_MAX, 0, 9, 10 };
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	jsonw_object(&b, NULL);
	jsonw_numbers(&b, first, ARRAY_LEN(first), values);
	jsonw_bool(&b, "between", true);
	jsonw_numbers(&b, last, ARRAY_LEN(last), values);
	jsonw_end_object(&b);
	assert_string_equal(buf_cstr(&b), "{\"a\":0,\"much_longer_than_all_the_others\":-9223372036854775808,"
					  "\"between\":true,\"bc\":9223372036854775807,\"defg\":9,"
					  "\"eighteen_and_a_few\":10}");
	buf_free(&b);
}

/* Texts of every length, as short ones are copied in other ways than long ones. */
static void lengths(void **state)
{
	static const char text[] = "the quick brown fox jumps over the lazy dog, and on";
	char name[64], want[160];
	struct buf b;

	(void)state;
	for (size_t n = 0; n < sizeof text; n++) {
		memcpy(name, text, n);
		name[n] = '\0';
		snprintf(want, sizeof want, "{\"%s\":\"%s\"", name, name);
		buf_init(&b, 1000);
		jsonw_object(&b, NULL);
		jsonw_str(&b, name, name);
		assert_string_equal(buf_cstr(&b), want);
		buf_free(&b);
	}
}

static void limit_is_sticky(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	jsonw_object(&b, NULL);
	jsonw_str(&b, "key", "far too long");
	jsonw_end_object(&b);
	assert_true(b.failed);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings),
		cmocka_unit_test(escapes_anywhere),
		cmocka_unit_test(whole_object),
		cmocka_unit_test(numbers_by_a_table),
		cmocka_unit_test(lengths),
		cmocka_unit_test(limit_is_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
