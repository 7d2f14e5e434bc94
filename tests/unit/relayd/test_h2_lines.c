/* h2_lines: fields of HTTP/2 as lines of HTTP/1.1, and lines as fields. */
#include "relayd/http/h2_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http_span span(const char *s, size_t n)
{
	return (struct http_span){ s, n };
}

static void test_words_and_lines(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		bool word, line;
	} cases[] = {
		{ "", 0, false, true },
		{ "a", 1, true, true },
		{ "x-\xff\x01!", 5, true, true },
		{ "a b", 3, false, true },
		{ "a\t", 2, false, true },
		{ "a\r", 2, false, false },
		{ "\nb", 2, false, false },
		{ "a\0b", 3, false, false },
		{ "a \0b", 4, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(h2_lines_is_word(span(cases[i].text, cases[i].n)), cases[i].word);
		assert_int_equal(h2_lines_is_line(span(cases[i].text, cases[i].n)), cases[i].line);
	}
}

static void test_put(void **state)
{
	static char long_value[9000];
	struct blocks bs = { .ready = NULL };
	struct block *b = NULL;

	(void)state;
	memset(long_value, 'v', sizeof long_value);
	assert_int_equal(h2_lines_put(&bs, &b, span("a", 1), span("", 0)), 0);
	assert_int_equal(h2_lines_put(&bs, &b, span("name", 4), span("x y", 3)), 0);
	assert_int_equal(h2_lines_span(b).n, strlen("a: \r\nname: x y\r\n"));
	assert_memory_equal(h2_lines_span(b).p, "a: \r\nname: x y\r\n", h2_lines_span(b).n);
	assert_int_equal(h2_lines_put(&bs, &b, span("l", 1), span(long_value, sizeof long_value)), 0);
	assert_int_equal(block_waiting(b), 16 + 5 + sizeof long_value);
	assert_memory_equal(h2_lines_span(b).p, "a: \r\nname: x y\r\nl: vvv", 22);
	assert_memory_equal(h2_lines_span(b).p + block_waiting(b) - 3, "v\r\n", 3);
	block_put(&bs, b);
	blocks_fini(&bs);
}

/* The number of fields, which lie in a copy without a byte to spare. */
static size_t fields(nghttp2_nv *nv, size_t max, const char *text)
{
	static uint8_t *kept;
	const size_t n = strlen(text);

	free(kept);
	kept = n > 0 ? malloc(n) : NULL;
	if (n == 0)
		return h2_lines_fields(nv, max, kept, 0);
	assert_non_null(kept);
	memcpy(kept, text, n);
	return h2_lines_fields(nv, max, kept, n);
}

static void assert_field(const nghttp2_nv *nv, const char *name, const char *value, uint8_t flags)
{
	assert_int_equal(nv->namelen, strlen(name));
	assert_memory_equal(nv->name, name, nv->namelen);
	assert_int_equal(nv->valuelen, strlen(value));
	assert_memory_equal(nv->value, value, nv->valuelen);
	assert_int_equal(nv->flags, flags);
}

static void test_fields(void **state)
{
	nghttp2_nv nv[8];

	(void)state;
	assert_int_equal(fields(nv, 8,
				 "Content-Type:  a/b; c=d\r\nconnection: x\r\nKeep-Alive: 1\r\nproxy-connection: y\r\n"
				 "transfer-encoding: chunked\r\nupgrade: z\r\nX-Request-ID: 1-2\r\ntraceparent: 00\r\n"
				 "x-empty:\r\nx: a:b\r\n\r\nbehind: it\r\n"),
		5);
	assert_field(&nv[0], "content-type", "a/b; c=d", NGHTTP2_NV_FLAG_NONE);
	assert_field(&nv[1], "x-request-id", "1-2", NGHTTP2_NV_FLAG_NO_INDEX);
	assert_field(&nv[2], "traceparent", "00", NGHTTP2_NV_FLAG_NO_INDEX);
	assert_field(&nv[3], "x-empty", "", NGHTTP2_NV_FLAG_NONE);
	assert_field(&nv[4], "x", "a:b", NGHTTP2_NV_FLAG_NONE);
	assert_int_equal(fields(nv, 8, ""), 0);
	assert_int_equal(fields(nv, 8, "\r\n"), 0);
	assert_int_equal(fields(nv, 2, "a: 1\r\nb: 2\r\nc: 3\r\n\r\n"), 2);
	assert_int_equal(fields(nv, 8, "a: 1\r\nb: 2"), 1);
	assert_int_equal(fields(nv, 8, "a: 1\r\nb: 2\r"), 1);
	assert_int_equal(fields(nv, 8, "a: 1\r\nnone\r\nc: 3\r\n\r\n"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_and_lines),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
