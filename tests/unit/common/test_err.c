/* err: filling, cutting, the table of codes, lists. */
#include "common/base/err.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_set_fills_all(void **state)
{
	struct err e;

	(void)state;
	memset(&e, 'x', sizeof e);
	assert_int_equal(err_set(&e, ERR_VALIDATION, "limits.rate", "limits.rate: %d is not %s", 7, "even"), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
	assert_string_equal(e.field, "limits.rate");
	assert_string_equal(e.constraint, "");
	assert_string_equal(e.value, "");
	assert_string_equal(e.msg, "limits.rate: 7 is not even");
	assert_int_equal(err_detail(&e, "range", "7"), -1);
	assert_string_equal(e.constraint, "range");
	assert_string_equal(e.value, "7");
	err_clear(&e);
	assert_int_equal(e.code, ERR_NONE);
	assert_string_equal(e.msg, "");
}

static void test_no_error_wanted(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_IO, NULL, "x"), -1);
	assert_int_equal(err_set_sys(NULL, ERR_IO, 2, "x"), -1);
	assert_int_equal(err_detail(NULL, "a", "b"), -1);
	assert_int_equal(err_list_add(NULL, ERR_IO, NULL, NULL, NULL, "x"), -1);
	err_clear(NULL);
}

static void test_system_error(void **state)
{
	struct err e;

	(void)state;
	err_set_sys(&e, ERR_NOT_FOUND, 2, "open %s", "/x");
	assert_string_equal(e.msg, "open /x: No such file or directory");
	assert_string_equal(e.field, "");
}

/* Whatever the length, the message is UTF-8 and as long as it can be. */
static void test_cut_keeps_characters_whole(void **state)
{
	static const char *const chars[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
	struct err e;

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(chars); c++) {
		for (int shift = 0; shift < 8; shift++) {
			char text[600] = "";
			size_t n = (size_t)shift;

			memset(text, 'x', n);
			for (; n + strlen(chars[c]) < sizeof text; n += strlen(chars[c]))
				memcpy(text + n, chars[c], strlen(chars[c]));
			err_set(&e, ERR_IO, text, "%s", text);
			err_detail(&e, text, text);
			assert_true(str_is_utf8(e.msg, strlen(e.msg)));
			assert_true(str_is_utf8(e.field, strlen(e.field)));
			assert_true(str_is_utf8(e.value, strlen(e.value)));
			assert_true(strlen(e.msg) + strlen(chars[c]) >= sizeof e.msg);
			assert_memory_equal(e.msg, text, strlen(e.msg));
			err_set_sys(&e, ERR_IO, 2, "%s", text);
			assert_true(str_is_utf8(e.msg, strlen(e.msg)));
		}
	}
}

static void test_foreign_bytes_become_utf8(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, ERR_VALIDATION, "f\xff", "'%.1s' and '%s'", "\xc3\xa9", "\xe9");
	err_detail(&e, "format", "\xe9");
	assert_string_equal(e.field, "f?");
	assert_string_equal(e.msg, "'?' and '?'");
	assert_string_equal(e.value, "?");
}

static void test_list_counts_what_does_not_fit(void **state)
{
	static struct err_list l;

	(void)state;
	for (int i = 0; i < ERR_LIST_MAX + 3; i++)
		assert_int_equal(err_list_add(&l, ERR_VALIDATION, "f", "range", "v", "error %d", i), -1);
	assert_int_equal(l.n, ERR_LIST_MAX);
	assert_int_equal(l.dropped, 3);
	assert_string_equal(l.items[ERR_LIST_MAX - 1].msg, "error 31");
	assert_string_equal(l.items[0].value, "v");
}

static void test_list_knows_its_fields(void **state)
{
	static const struct {
		const char *field;
		bool has;
	} cases[] = {
		{ "tls", true },
		{ "tls.enabled", true },
		{ "tls.ca", false },
		{ "tl", false },
		{ "targets", true },
		{ "targets[1].pool", true },
		{ "targets[2]", false },
		{ "queue.max", true },
		{ "queues", false },
		{ "", false },
	};
	static struct err_list l;
	struct err e;

	(void)state;
	err_list_add(&l, ERR_VALIDATION, "tls.enabled", NULL, NULL, "x");
	err_list_add(&l, ERR_VALIDATION, "targets[1].pool", NULL, NULL, "x");
	err_list_add(&l, ERR_VALIDATION, "queue", NULL, NULL, "x");
	err_list_add(&l, ERR_LIMIT, NULL, NULL, NULL, "x");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (err_list_has(&l, cases[i].field) != cases[i].has)
			fail_msg("%s", cases[i].field);
	err_set(&e, ERR_CONFLICT, "queue.max", "again");
	err_list_take(&l, &e);
	assert_int_equal(l.n, 4);
	err_set(&e, ERR_CONFLICT, "name", "taken");
	err_list_take(&l, &e);
	assert_int_equal(l.n, 5);
	assert_string_equal(l.items[4].msg, "taken");
	while (l.n < ERR_LIST_MAX)
		err_list_add(&l, ERR_VALIDATION, "f", NULL, NULL, "x");
	err_set(&e, ERR_CONFLICT, "more", "of it");
	err_list_take(&l, &e);
	assert_int_equal(l.dropped, 1);
}

static void test_codes(void **state)
{
	(void)state;
	assert_string_equal(err_api(ERR_VALIDATION), "VALIDATION_ERROR");
	assert_string_equal(err_name(ERR_VALIDATION), "VALIDATION");
	assert_int_equal(err_http(ERR_RATE_LIMITED), 429);
	assert_true(err_retryable(ERR_RATE_LIMITED));
	assert_false(err_retryable(ERR_NOT_FOUND));
	assert_int_equal(err_from_wire(ERR_NO_METER), ERR_NO_METER);
	assert_int_equal(err_from_wire(60000), ERR_INTERNAL);
	assert_string_equal(err_api((enum err_code)60000), "INTERNAL_ERROR");
}

static void test_codes_are_unique(void **state)
{
	static const unsigned wires[] = {
#define X(name, wire, api, http, retry) wire,
		ERR_CODES(X)
#undef X
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
		const int http = err_http((enum err_code)wires[i]);

		assert_true(i == 0 ? http == 200 : http >= 400 && http < 600);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(wires[i], wires[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_fills_all),
		cmocka_unit_test(test_no_error_wanted),
		cmocka_unit_test(test_system_error),
		cmocka_unit_test(test_cut_keeps_characters_whole),
		cmocka_unit_test(test_foreign_bytes_become_utf8),
		cmocka_unit_test(test_list_counts_what_does_not_fit),
		cmocka_unit_test(test_list_knows_its_fields),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_codes_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
