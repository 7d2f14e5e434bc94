#include "controld/rest/body.h"

#include "common/base/err.h"
#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define JSON_TYPE "application/json"

static const struct {
	const char *what, *type, *text;
	enum err_code code; /* ERR_NONE: accepted */
} cases[] = {
	{ "object", JSON_TYPE, "{\"a\":1}", ERR_NONE },
	{ "absent is empty", NULL, "", ERR_NONE },
	{ "charset", "application/json; charset=utf-8", "{}", ERR_NONE },
	{ "capitals", "Application/JSON", "{}", ERR_NONE },
	{ "suffix", "application/merge-patch+json", "{}", ERR_NONE },
	{ "no type", NULL, "{}", ERR_UNSUPPORTED_MEDIA },
	{ "form", "application/x-www-form-urlencoded", "a=1", ERR_UNSUPPORTED_MEDIA },
	{ "almost", "application/jsonp", "{}", ERR_UNSUPPORTED_MEDIA },
	{ "suffix alone", "application/+json", "{}", ERR_UNSUPPORTED_MEDIA },
	{ "not JSON", JSON_TYPE, "{", ERR_BAD_REQUEST },
	{ "array", JSON_TYPE, "[]", ERR_BAD_REQUEST },
	{ "string", JSON_TYPE, "\"a\"", ERR_BAD_REQUEST },
	{ "null", JSON_TYPE, "null", ERR_BAD_REQUEST },
	{ "behind the object", JSON_TYPE, "{} {}", ERR_BAD_REQUEST },
	{ "doubled key", JSON_TYPE, "{\"a\":1,\"a\":2}", ERR_BAD_REQUEST },
	{ "doubled key by escape", JSON_TYPE, "{\"a\":1,\"\\u0061\":2}", ERR_BAD_REQUEST },
	{ "doubled key inside", JSON_TYPE, "{\"x\":[{\"a\":1,\"a\":2}]}", ERR_BAD_REQUEST },
	{ "escaped NUL", JSON_TYPE, "{\"a\":\"\\u0000\"}", ERR_BAD_REQUEST },
	{ "NUL in a key", JSON_TYPE, "{\"a\\u0000b\":1}", ERR_BAD_REQUEST },
	{ "not UTF-8", JSON_TYPE, "{\"a\":\"\xff\"}", ERR_BAD_REQUEST },
	{ "lone surrogate", JSON_TYPE, "{\"a\":\"\\ud800\"}", ERR_BAD_REQUEST },
	{ "too large an int", JSON_TYPE, "{\"a\":9223372036854775808}", ERR_BAD_REQUEST },
	{ "too large a real", JSON_TYPE, "{\"a\":1e999}", ERR_BAD_REQUEST },
	{ "NaN", JSON_TYPE, "{\"a\":NaN}", ERR_BAD_REQUEST },
	{ "comment", JSON_TYPE, "{/**/}", ERR_BAD_REQUEST },
	{ "trailing comma", JSON_TYPE, "{\"a\":1,}", ERR_BAD_REQUEST },
	{ "brackets in a string", JSON_TYPE, "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"{{{{\"}",
		ERR_NONE },
};

static enum err_code parse(const char *type, const char *encoding, const void *data, size_t n)
{
	const struct body_source src = {
		.content_type = type,
		.content_encoding = encoding,
		.data = data,
		.n = n,
		.inflated_max = 10000,
	};
	json_t *body = NULL;
	struct err e;

	err_clear(&e);
	if (body_parse(&body, &src, &e) != 0) {
		assert_null(body);
		assert_true(e.msg[0] != '\0');
		return e.code;
	}
	assert_true(json_is_object(body));
	json_decref(body);
	return ERR_NONE;
}

static void test_table(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const enum err_code code = parse(cases[i].type, NULL, cases[i].text, strlen(cases[i].text));

		if (code == cases[i].code)
			continue;
		print_error("%s: %s, want %s\n", cases[i].what, err_name(code), err_name(cases[i].code));
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void test_depth(void **state)
{
	char text[4096];

	(void)state;
	for (unsigned depth = 1; depth < 1000; depth += depth == BODY_DEPTH_MAX - 1 ? 1 : 7) {
		const enum err_code want = depth + 1 > BODY_DEPTH_MAX ? ERR_BAD_REQUEST : ERR_NONE;
		size_t n = 0;

		memcpy(text, "{\"a\":", 5);
		n = 5;
		memset(text + n, '[', depth);
		memset(text + n + depth, ']', depth);
		n += 2 * (size_t)depth;
		text[n++] = '}';
		assert_int_equal(parse(JSON_TYPE, NULL, text, n), want);
	}
}

/* A list of so many values, the list and the object around it among them. */
static enum err_code parse_values(size_t values, const char *one, const char *after)
{
	const size_t n = strlen(one), size = values * n + strlen(after) + 32;
	struct body_source src = { .content_type = JSON_TYPE, .inflated_max = size };
	char *text = malloc(size);
	json_t *body = NULL;
	struct err e;

	assert_non_null(text);
	err_clear(&e);
	memcpy(text, "{\"a\":[", 6);
	src.n = 6;
	for (size_t i = 2; i < values; i++, src.n += n)
		memcpy(text + src.n, one, n);
	src.n--; /* the last comma */
	memcpy(text + src.n, after, strlen(after));
	src.n += strlen(after);
	src.data = (const uint8_t *)text;
	if (body_parse(&body, &src, &e) != 0)
		assert_non_null(strstr(e.msg, "50000 values"));
	json_decref(body);
	free(text);
	return e.code;
}

/* Each takes far more memory than bytes: they are counted before the parser has them. */
static void test_values(void **state)
{
	(void)state;
	assert_int_equal(parse_values(BODY_VALUES_MAX, "1,", "]}"), ERR_NONE);
	assert_int_equal(parse_values(BODY_VALUES_MAX + 2, "1,", "]}"), ERR_BAD_REQUEST);
	assert_int_equal(parse_values(BODY_VALUES_MAX / 2, "[],", "]}"), ERR_NONE);
	assert_int_equal(parse_values(BODY_VALUES_MAX, "[],", "]}"), ERR_BAD_REQUEST);
	assert_int_equal(parse_values(BODY_VALUES_MAX, "{},", "]}"), ERR_BAD_REQUEST);
	assert_int_equal(
		parse_values(300000, "[],", ""), ERR_BAD_REQUEST); /* the parser does not see what is wrong behind */
	assert_int_equal(
		parse_values(1000, "\",,,,,,,,,,,,,,,,,,,,,,,,,[[[[[[[[[[[[[[[[[[[[[[[[[[[\",", "]}"), ERR_NONE);
}

static size_t gzip(uint8_t *dst, size_t size, const char *text, size_t n)
{
	z_stream z = {
		.next_in = (uint8_t *)(uintptr_t)text, .avail_in = (uInt)n, .next_out = dst, .avail_out = (uInt)size
	};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return size - z.avail_out;
}

static void test_gzip(void **state)
{
	uint8_t packed[4096];
	char bomb[20000];
	size_t n = gzip(packed, sizeof packed, "{\"a\":1}", 7);

	(void)state;
	assert_int_equal(parse(JSON_TYPE, "gzip", packed, n), ERR_NONE);
	assert_int_equal(parse(JSON_TYPE, "identity", "{}", 2), ERR_NONE);
	assert_int_equal(parse(JSON_TYPE, "br", "{}", 2), ERR_UNSUPPORTED_MEDIA);
	assert_int_equal(parse(JSON_TYPE, "gzip", "{}", 2), ERR_BAD_REQUEST);
	for (size_t cut = 1; cut < n; cut++) /* every shorter part is not a whole stream */
		assert_int_equal(parse(JSON_TYPE, "gzip", packed, cut), ERR_BAD_REQUEST);
	packed[n] = 'x';
	assert_int_equal(parse(JSON_TYPE, "gzip", packed, n + 1), ERR_BAD_REQUEST);
	memset(bomb, ' ', sizeof bomb);
	n = gzip(packed, sizeof packed, bomb, sizeof bomb);
	assert_int_equal(parse(JSON_TYPE, "gzip", packed, n), ERR_TOO_LARGE);
}

/* The limit is on bytes: one less, exactly, one more. */
static void test_gzip_limit_is_exact(void **state)
{
	static const struct {
		size_t n;
		enum err_code code;
	} sizes[] = { { 9999, ERR_NONE }, { 10000, ERR_NONE }, { 10001, ERR_TOO_LARGE } };
	uint8_t packed[4096];
	char text[10002];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		memset(text, ' ', sizeof text);
		text[0] = '{';
		text[sizes[i].n - 1] = '}';
		assert_int_equal(
			parse(JSON_TYPE, "gzip", packed, gzip(packed, sizeof packed, text, sizes[i].n)), sizes[i].code);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_gzip_limit_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
