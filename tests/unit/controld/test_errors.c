#include "controld/rest/errors.h"

#include "common/base/buf.h"
#include "common/base/macros.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct errors_context ctx = {
	.request_id = "req_1",
	.base_url = "https://panel.example",
	.now_ms = 1750347000000,
};

static json_t *render(const struct err *items, size_t n, size_t dropped)
{
	struct buf out;
	json_t *body;

	buf_init(&out, 1 << 20);
	errors_render(&out, items, n, dropped, &ctx);
	body = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	buf_free(&out);
	assert_non_null(body);
	return body;
}

static const char *text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	assert_non_null(s);
	return s;
}

static struct err missing(const char *field)
{
	struct err e = { 0 };

	err_set(&e, ERR_MISSING_FIELD, field, "%s is required", field);
	err_detail(&e, "required", NULL);
	return e;
}

static struct err invalid(const char *field, const char *value)
{
	struct err e = { 0 };

	err_set(&e, ERR_VALIDATION, field, "%s is wrong", field);
	err_detail(&e, "format", value);
	return e;
}

static void test_envelope_of_one_field(void **state)
{
	const struct err e = missing("email");
	json_t *body = render(&e, 1, 0);
	const json_t *details = json_object_get(body, "details");

	(void)state;
	assert_int_equal(json_object_size(body), 8);
	assert_true(json_is_false(json_object_get(body, "success")));
	assert_true(json_is_true(json_object_get(body, "error")));
	assert_string_equal(text(body, "code"), "VALIDATION_ERROR");
	assert_string_equal(text(body, "message"), "email is required");
	assert_string_equal(text(body, "timestamp"), "2025-06-19T15:30:00.000Z");
	assert_string_equal(text(body, "request_id"), "req_1");
	assert_string_equal(text(body, "documentation_url"), "https://panel.example/docs/errors/VALIDATION_ERROR");
	assert_int_equal(json_object_size(details), 4);
	assert_string_equal(text(details, "field"), "email");
	assert_string_equal(text(details, "constraint"), "required");
	assert_string_equal(text(details, "message"), "email is required");
	assert_true(json_is_null(json_object_get(details, "provided_value")));
	json_decref(body);
}

static void test_details_of_several_and_of_none(void **state)
{
	const struct err two[] = { missing("email"), invalid("port", "99999") };
	struct err plain = { 0 };
	json_t *body = render(two, 2, 3);
	const json_t *details = json_object_get(body, "details");

	(void)state;
	assert_int_equal(json_array_size(details), 2);
	assert_string_equal(text(json_array_get(details, 1), "provided_value"), "99999");
	assert_non_null(strstr(text(body, "message"), "5 things"));
	json_decref(body);

	err_set(&plain, ERR_NOT_FOUND, NULL, "there is nothing at /x");
	body = render(&plain, 1, 0);
	assert_true(json_is_object(json_object_get(body, "details")));
	assert_int_equal(json_object_size(json_object_get(body, "details")), 0);
	json_decref(body);
}

static void test_status(void **state)
{
	const struct err both[] = { missing("a"), invalid("b", "c") };
	const struct err late[] = { missing("a"), missing("b") };
	struct err other = { 0 };

	(void)state;
	assert_int_equal(errors_status(both, 2), 422);
	assert_int_equal(errors_status(late, 2), 400);
	assert_int_equal(errors_status(&both[1], 1), 422);
	err_set(&other, ERR_PRECONDITION_FAILED, NULL, "x");
	assert_int_equal(errors_status(&other, 1), 412);
}

/* What was given is cut by struct err wherever 95 bytes end, which may be inside a character. */
static void test_cut_utf8_stays_json(void **state)
{
	char value[200] = "";
	json_t *body;
	struct err e;

	(void)state;
	for (size_t i = 0; i + 3 < sizeof value; i += 3)
		strcat(value, "\xe2\x82\xac");
	e = invalid("name", value);
	body = render(&e, 1, 0);
	assert_int_equal(strlen(text(json_object_get(body, "details"), "provided_value")) % 3, 0);
	json_decref(body);
	e = invalid("name", "\"quotes\" and \\ and \x01");
	json_decref(render(&e, 1, 0));
}

static void test_every_code_has_phrase_and_page(void **state)
{
	static const enum err_code codes[] = {
#define X(name, wire, api, http, retry) ERR_##name,
		ERR_CODES(X)
#undef X
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct buf page;

		buf_init(&page, 1 << 16);
		assert_string_not_equal(errors_phrase(err_http(codes[i])), "Status");
		assert_int_equal(errors_page(&page, err_api(codes[i])), 0);
		assert_non_null(strstr(buf_cstr(&page), err_api(codes[i])));
		buf_free(&page);
	}
}

static void test_no_page_for_unknown_codes(void **state)
{
	struct buf page;

	(void)state;
	buf_init(&page, 1 << 16);
	assert_int_equal(errors_page(&page, "<script>"), -1);
	assert_int_equal(page.len, 0);
	buf_free(&page);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope_of_one_field),
		cmocka_unit_test(test_details_of_several_and_of_none),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_cut_utf8_stays_json),
		cmocka_unit_test(test_every_code_has_phrase_and_page),
		cmocka_unit_test(test_no_page_for_unknown_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
