/* http_writer: what is forwarded, what is left out, what cannot be written. */
#include "common/http/http_reader.h"
#include "common/http/http_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct http_span span(const char *s)
{
	return (struct http_span){ s, strlen(s) };
}

static void read_request(struct http_head *h, const char *bytes)
{
	struct http_reader r;
	struct http_piece piece;

	http_reader_init_request(&r, &http_limits_default);
	assert_int_equal(http_reader_next(&r, h, (const uint8_t *)bytes, strlen(bytes), &piece), HTTP_HEAD_IN);
}

static void assert_written(struct http_writer *w, const char *want)
{
	assert_int_equal(http_writer_done(w), (int)strlen(want));
	assert_memory_equal(w->p, want, strlen(want));
}

static void test_request(void **state)
{
	struct http_head h;
	struct http_writer w;
	uint8_t out[512];
	bool until_close;

	(void)state;
	read_request(&h, "POST http://a.b:8?q HTTP/1.1\r\nHost: a.b:8\r\nVia:1.1 x\r\nAccept:*/*  \r\nX-Secret: "
			 "1\r\nConnection: x-secret, "
			 "host, close\r\nTE: trailers\r\nB: \tc\r\ncontent-length: 007\r\n\r\n1234567");
	http_writer_init(&w, out, sizeof out);
	http_writer_request(&w, http_head_part(&h, h.method_at), http_head_path(&h), http_head_part(&h, h.query));
	http_writer_fields(&w, &h, HTTP_SET(VIA));
	http_writer_framing(&w, &h, false, &until_close);
	assert_false(until_close);
	assert_written(&w, "POST /?q HTTP/1.1\r\nHost: a.b:8\r\nAccept:*/*  \r\nB: \tc\r\nContent-Length: 7\r\n\r\n");
}

static void test_status(void **state)
{
	struct http_writer w;
	uint8_t out[512];

	(void)state;
	http_writer_init(&w, out, sizeof out);
	http_writer_status(&w, 431, NULL);
	http_writer_field_u64(&w, "Content-Length", UINT64_MAX);
	http_writer_field_u64(&w, "Age", 0);
	assert_written(&w, "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: "
			   "18446744073709551615\r\nAge: 0\r\n\r\n");
	http_writer_init(&w, out, sizeof out);
	http_writer_status(&w, 299, NULL);
	assert_written(&w, "HTTP/1.1 299 \r\n\r\n");
}

/* How the length of a response is said again, to a neighbour that speaks 1.1 or 1.0. */
static void test_framing(void **state)
{
	static const struct {
		const char *bytes, *to11, *to10;
		bool head;
	} cases[] = {
		{ "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n",
			false },
		{ "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "\r\n",
			false },
		{ "HTTP/1.1 200\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "\r\n", false },
		{ "HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n", "\r\n", "\r\n", false },
		{ "HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n",
			false },
		{ "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n",
			true },
		{ "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n\r\n",
			false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *bytes = cases[i].bytes;
		struct http_reader r;
		struct http_head h;
		struct http_piece piece;
		struct http_writer w;
		uint8_t out[100];
		bool until_close;

		http_reader_init_response(&r, &http_limits_default);
		http_reader_ask(&r, &(struct http_asked){ .head = cases[i].head });
		assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)bytes, strlen(bytes), &piece), HTTP_HEAD_IN);
		http_writer_init(&w, out, sizeof out);
		http_writer_framing(&w, &h, false, &until_close);
		assert_false(until_close);
		assert_written(&w, cases[i].to11);
		http_writer_init(&w, out, sizeof out);
		http_writer_framing(&w, &h, true, &until_close);
		assert_int_equal(until_close, h.body == HTTP_CHUNKED || h.body == HTTP_UNTIL_CLOSE);
		assert_written(&w, cases[i].to10);
	}
}

/* A trailer section without the field that may not be there, whose line stands between two that may. */
static void test_trailers(void **state)
{
	static const char bytes[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "0\r\nA: 1 \r\nHost: b\r\nB: 2\r\n\r\n";
	struct http_reader r;
	struct http_head h;
	struct http_piece piece;
	struct http_writer w;
	uint8_t out[100];
	size_t at;

	(void)state;
	http_reader_init_request(&r, &http_limits_default);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)bytes, sizeof bytes - 1, &piece), HTTP_HEAD_IN);
	at = piece.used;
	assert_int_equal(
		http_reader_next(&r, &h, (const uint8_t *)bytes + at, sizeof bytes - 1 - at, &piece), HTTP_TRAILERS);
	http_writer_init(&w, out, sizeof out);
	http_writer_fields(&w, &h, 0);
	assert_written(&w, "A: 1 \r\nB: 2\r\n\r\n");
}

static void test_refused(void **state)
{
	static const char *const values[] = { "a\r\nb", "a\nb", "a\rb", "a\x01", "\x7f" };
	static const char *const names[] = { "", "a:", "a b", "a\r", "\xe4" };
	struct http_writer w;
	uint8_t out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		http_writer_init(&w, out, sizeof out);
		http_writer_field_str(&w, "X", values[i]);
		assert_int_equal(http_writer_done(&w), -1);
		http_writer_init(&w, out, sizeof out);
		http_writer_status(&w, 200, values[i]);
		assert_int_equal(http_writer_done(&w), -1);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		http_writer_init(&w, out, sizeof out);
		http_writer_field_str(&w, names[i], "x");
		http_writer_field_str(&w, "fine", "x");
		assert_int_equal(http_writer_done(&w), -1);
	}
	http_writer_init(&w, out, sizeof out);
	http_writer_request(&w, span("GET"), span("a"), span(""));
	assert_int_equal(http_writer_done(&w), -1);
	http_writer_init(&w, out, sizeof out);
	http_writer_request(&w, span("GET"), span("/ HTTP/1.1"), span(""));
	assert_int_equal(http_writer_done(&w), -1);
	http_writer_init(&w, out, sizeof out);
	http_writer_request(&w, span("GET"), span("/"), span("q"));
	assert_int_equal(http_writer_done(&w), -1);
}

/* A value is looked at by sixteen bytes: every byte at every place of every short length. */
static void test_every_byte_of_a_value(void **state)
{
	struct http_writer w;
	uint8_t out[128];
	char value[50];

	(void)state;
	for (size_t n = 1; n < sizeof value; n++)
		for (size_t at = 0; at < n; at++)
			for (unsigned byte = 0; byte < 256; byte++) {
				const bool good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);

				memset(value, 'v', n);
				value[at] = (char)byte;
				http_writer_init(&w, out, sizeof out);
				http_writer_field(&w, "X", (struct http_span){ value, n });
				assert_true((http_writer_done(&w) > 0) == good);
			}
}

static void test_known_names(void **state)
{
	const struct http_span parts[] = { span("a"), span(""), span(", b") };
	struct http_writer w;
	uint8_t out[64];

	(void)state;
	http_writer_init(&w, out, sizeof out);
	http_writer_known(&w, HTTP_NAME_VIA, parts, ARRAY_LEN(parts));
	http_writer_known(&w, HTTP_NAME_X_REAL_IP, NULL, 0);
	assert_written(&w, "via: a, b\r\nx-real-ip: \r\n\r\n");
	http_writer_init(&w, out, sizeof out);
	http_writer_known(&w, HTTP_NAME_VIA, &(struct http_span){ "a\n", 2 }, 1);
	assert_int_equal(http_writer_done(&w), -1);
}

static void test_no_room(void **state)
{
	struct http_writer w;
	uint8_t *out;

	(void)state;
	for (size_t cap = 0; cap < 24; cap++) { /* "HTTP/1.1 200 OK", "A: b" and two more CRLF: 25 */
		out = test_malloc(cap);
		http_writer_init(&w, out, cap);
		http_writer_status(&w, 200, NULL);
		http_writer_field_str(&w, "A", "b");
		assert_int_equal(http_writer_done(&w), -1);
		test_free(out);
	}
}

static void test_chunk_heads(void **state)
{
	static const struct {
		uint64_t n;
		const char *want;
	} cases[] = {
		{ 1, "1\r\n" },
		{ 15, "f\r\n" },
		{ 16, "10\r\n" },
		{ 0x1f40, "1f40\r\n" },
		{ UINT64_MAX, "ffffffffffffffff\r\n" },
	};
	uint8_t out[HTTP_CHUNK_HEAD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(http_writer_chunk_head(out, cases[i].n), strlen(cases[i].want));
		assert_memory_equal(out, cases[i].want, strlen(cases[i].want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_byte_of_a_value),
		cmocka_unit_test(test_known_names),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_chunk_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
