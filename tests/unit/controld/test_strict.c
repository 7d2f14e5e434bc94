#include "controld/rest/strict.h"

#include "common/base/err.h"
#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct strict_limits limits = { .head_max = 512, .body_max = 64, .lines_max = 8 };

#define HOST    "Host: a\r\n"
#define TEXT(s) (s), sizeof(s) - 1

/* want: STRICT_DONE with all bytes used but `rest`, STRICT_MORE, or STRICT_BAD with this code. */
static const struct {
	const char *what;
	const char *bytes;
	size_t n;
	enum strict_verdict want;
	enum err_code code;
	size_t rest;
} cases[] = {
	{ "get", TEXT("GET / HTTP/1.1\r\n" HOST "\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "every method", TEXT("PATCH /a HTTP/1.1\r\n" HOST "\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "options of all", TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "query", TEXT("GET /a?b=%20&c=/? HTTP/1.1\r\n" HOST "\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "empty value", TEXT("GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "blanks around a value", TEXT("GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "latin-1 value", TEXT("GET / HTTP/1.1\r\n" HOST "X: \xe9\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "host with port", TEXT("GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "host of IPv6", TEXT("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "1.0 without host", TEXT("GET / HTTP/1.0\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "body", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"), STRICT_DONE, ERR_NONE, 0 },
	{ "empty body", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), STRICT_DONE, ERR_NONE, 0 },
	{ "body with the next request behind", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcGET /"),
		STRICT_DONE, ERR_NONE, 5 },
	{ "chunks",
		TEXT("POST / HTTP/1.1\r\n" HOST
		     "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
		STRICT_DONE, ERR_NONE, 0 },
	{ "chunked in capitals", TEXT("POST / HTTP/1.1\r\n" HOST "TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\nx"),
		STRICT_DONE, ERR_NONE, 1 },
	{ "unfinished line", TEXT("GET / HTTP/1.1\r\nHos"), STRICT_MORE, ERR_NONE, 0 },
	{ "unfinished body", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab"), STRICT_MORE, ERR_NONE, 0 },
	{ "nothing", TEXT(""), STRICT_MORE, ERR_NONE, 0 },

	{ "empty line first", TEXT("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "unknown method", TEXT("BREW / HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_METHOD_NOT_ALLOWED, 0 },
	{ "no method", TEXT(" / HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_METHOD_NOT_ALLOWED, 0 },
	{ "lower case method", TEXT("get / HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_METHOD_NOT_ALLOWED, 0 },
	{ "TLS hello", TEXT("\x16\x03\x01\x02\x00"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "absolute form", TEXT("GET http://a/ HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "authority form", TEXT("GET //a/b HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "fragment", TEXT("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "two blanks", TEXT("GET  / HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "NUL in the target", TEXT("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "raw UTF-8 in the target", TEXT("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "HTTP/2", TEXT("GET / HTTP/2.0\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "HTTP/1.2", TEXT("GET / HTTP/1.2\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "HTTP/1.10", TEXT("GET / HTTP/1.10\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "no version", TEXT("GET /\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "bare LF after the request line", TEXT("GET / HTTP/1.1\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "bare LF after a header", TEXT("GET / HTTP/1.1\r\nHost: a\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "bare LF at the end", TEXT("GET / HTTP/1.1\r\n" HOST "\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "CR without LF", TEXT("GET / HTTP/1.1\r\nX: a\rb\r\n" HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "blank before the colon", TEXT("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "folded header", TEXT("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "no colon", TEXT("GET / HTTP/1.1\r\nHost\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "empty name", TEXT("GET / HTTP/1.1\r\n: a\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "NUL in a value", TEXT("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "no host", TEXT("GET / HTTP/1.1\r\nX: a\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "empty host", TEXT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "two hosts", TEXT("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "1.0 with two hosts", TEXT("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "host with a path", TEXT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "host with a user", TEXT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "two lengths", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "the same length twice", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\ncontent-length: 1\r\n\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "list of lengths", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "plus length", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST,
		0 },
	{ "negative length", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST,
		0 },
	{ "hexadecimal length", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "huge length", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "length over the limit", TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 65\r\n\r\n"), STRICT_BAD,
		ERR_TOO_LARGE, 0 },
	{ "length and chunks",
		TEXT("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "chunks and length",
		TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "gzip, chunked", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "chunked twice",
		TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "disguised chunked",
		TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
		     "chunked\r\n\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "chunks in 1.0", TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST,
		0 },
	{ "chunk extension", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "chunk size with 0x", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x1\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "no chunk size", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "chunk size that wraps",
		TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\n"), STRICT_BAD,
		ERR_BAD_REQUEST, 0 },
	{ "chunk longer than it says", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "chunks over the limit", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n41\r\n"),
		STRICT_BAD, ERR_TOO_LARGE, 0 },
	{ "trailer", TEXT("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
	{ "unknown expectation", TEXT("POST / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n"), STRICT_BAD, ERR_BAD_REQUEST,
		0 },
	{ "too many headers",
		TEXT("GET / HTTP/1.1\r\n" HOST "A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5\r\nA: 6\r\nA: 7\r\nA: 8\r\n\r\n"),
		STRICT_BAD, ERR_BAD_REQUEST, 0 },
};

static bool holds(size_t i, size_t step)
{
	enum strict_verdict v = STRICT_MORE;
	struct strict s;
	size_t at = 0;

	strict_begin(&s, &limits);
	while (at < cases[i].n && v == STRICT_MORE) {
		size_t used;

		v = strict_feed(&s, (const uint8_t *)cases[i].bytes + at, MIN(step, cases[i].n - at), &used);
		at += used;
	}
	if (v != cases[i].want || (v == STRICT_BAD && s.code != cases[i].code) ||
		(v == STRICT_DONE && at != cases[i].n - cases[i].rest) || (v == STRICT_BAD) != (s.reason != NULL)) {
		print_error("%s (%zu bytes at once): verdict %d, code %d (%s), %zu of %zu used\n", cases[i].what, step,
			(int)v, (int)s.code, s.reason != NULL ? s.reason : "-", at, cases[i].n);
		return false;
	}
	return true;
}

static void test_table(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step < 600; step = step * 3 + 1)
			failed += !holds(i, step);
	assert_int_equal(failed, 0);
}

static void test_head_has_a_limit(void **state)
{
	static const char start[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
	struct strict s;
	size_t used, n = sizeof start - 1;

	(void)state;
	strict_begin(&s, &limits);
	assert_int_equal(strict_feed(&s, (const uint8_t *)start, n, &used), STRICT_MORE);
	while (strict_feed(&s, (const uint8_t *)"x", 1, &used) == STRICT_MORE)
		n++;
	assert_int_equal(n, limits.head_max);
	assert_int_equal(s.code, ERR_BAD_REQUEST);
}

static void test_expectation_is_seen_with_the_headers(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
	struct strict s;
	size_t used;

	(void)state;
	strict_begin(&s, &limits);
	assert_int_equal(strict_feed(&s, (const uint8_t *)head, sizeof head - 1, &used), STRICT_MORE);
	assert_true(s.head_done && s.expect);
	assert_int_equal(strict_feed(&s, (const uint8_t *)"ab", 2, &used), STRICT_DONE);
}

static void test_hosts(void **state)
{
	static const struct {
		const char *host;
		bool ok;
	} hosts[] = {
		{ "example.com", true },
		{ "example.com:8080", true },
		{ "127.0.0.1", true },
		{ "[2001:db8::1]", true },
		{ "[2001:db8::1]:443", true },
		{ "localhost:", true },
		{ "", false },
		{ ":80", false },
		{ "a:b", false },
		{ "a:80:80", false },
		{ "a:99999", false },
		{ "2001:db8::1", false },
		{ "[127.0.0.1]", false },
		{ "[::1", false },
		{ "[::1]x", false },
		{ "a b", false },
		{ "a\"b", false },
		{ "-a", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strict_host_ok(hosts[i].host) != hosts[i].ok)
			fail_msg("host '%s' should be %s", hosts[i].host, hosts[i].ok ? "accepted" : "refused");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_head_has_a_limit),
		cmocka_unit_test(test_expectation_is_seen_with_the_headers),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
