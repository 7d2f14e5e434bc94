#include "relayd/admin/request.h"

#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

static const struct {
	const char *what, *text;
	unsigned want;
	const char *path;
} cases[] = {
	{ "plain", "GET /metrics HTTP/1.1\r\n" HOST "\r\n", 200, "/metrics" },
	{ "query is cut", "GET /metrics?x=1 HTTP/1.1\r\n" HOST "\r\n", 200, "/metrics" },
	{ "head", "HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, "/" },
	{ "1.0 needs no host", "GET / HTTP/1.0\r\n\r\n", 200, "/" },
	{ "what follows is ignored", "GET / HTTP/1.0\r\n\r\nGET", 200, "/" },
	{ "length of nothing", "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 200, "/" },
	{ "tab before the value", "GET / HTTP/1.1\r\nHost:\ta\r\n\r\n", 200, "/" },
	{ "no end yet", "GET / HTTP/1.1\r\n" HOST, 0, NULL },
	{ "nothing yet", "", 0, NULL },
	{ "no host", "GET / HTTP/1.1\r\n\r\n", 400, NULL },
	{ "two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, NULL },
	{ "a body", "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n", 400, NULL },
	{ "an odd length", "GET / HTTP/1.1\r\n" HOST "Content-Length: +0\r\n\r\n", 400, NULL },
	{ "chunks", "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400, NULL },
	{ "blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, NULL },
	{ "folded line", "GET / HTTP/1.1\r\n" HOST " b\r\n\r\n", 400, NULL },
	{ "no colon", "GET / HTTP/1.1\r\n" HOST "what\r\n\r\n", 400, NULL },
	{ "bare line feed", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, NULL },
	{ "control character", "GET / HTTP/1.1\r\nHost: \x01\r\n\r\n", 400, NULL },
	{ "two blanks", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400, NULL },
	{ "not a path", "GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL },
	{ "no version", "GET /\r\n" HOST "\r\n", 400, NULL },
	{ "empty line first", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, NULL },
	{ "another protocol", "GET / HTTPS/1.1\r\n" HOST "\r\n", 400, NULL },
	{ "another version", "GET / HTTP/2.0\r\n" HOST "\r\n", 505, NULL },
	{ "another method", "POST /metrics HTTP/1.1\r\n" HOST "\r\n", 405, NULL },
	{ "method in small letters", "get / HTTP/1.1\r\n" HOST "\r\n", 405, NULL },
};

static void heads(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		char *exact = malloc(n + 1); /* so that reading beyond the end is seen */
		struct request r;
		unsigned got;

		memcpy(exact, cases[i].text, n);
		got = request_parse(&r, exact, n);
		free(exact);
		if (got != cases[i].want || (got == 200 && strcmp(r.path, cases[i].path) != 0)) {
			print_error("%s: %u, want %u\n", cases[i].what, got, cases[i].want);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

static void long_heads(void **state)
{
	char text[REQUEST_HEAD_MAX + 200];
	struct request r;

	(void)state;
	memset(text, 'a', sizeof text);
	memcpy(text, "GET /", 5);
	assert_int_equal(request_parse(&r, text, REQUEST_HEAD_MAX - 1), 0);
	assert_int_equal(request_parse(&r, text, REQUEST_HEAD_MAX), 431);
	memcpy(text + 5 + REQUEST_PATH_MAX, " HTTP/1.0\r\n\r\n", 13);
	assert_int_equal(request_parse(&r, text, 5 + REQUEST_PATH_MAX + 13), 431);
	memcpy(text + sizeof text - 4, "\r\n\r\n", 4);
	memcpy(text, "GET / HTTP/1.0\r\nx: ", 19);
	memset(text + 19, 'a', sizeof text - 23);
	assert_int_equal(request_parse(&r, text, sizeof text), 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(heads), cmocka_unit_test(long_heads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
