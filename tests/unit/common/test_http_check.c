/* http_check: what a server's answer says, whole and byte by byte; verdict: how many results in a row it takes. */
#include "common/base/str.h"
#include "common/http/http_check.h"
#include "common/net/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* after those: */
#include <cmocka.h>

static const struct http_check_status some[] = { { 200, 204 }, { 401, 401 } };

static enum http_check_says ask(
	const struct http_check_conf *conf, const char *answer, size_t step, char why[static 128])
{
	struct http_check c;
	enum http_check_says says = HTTP_CHECK_MORE;
	const size_t n = strlen(answer);

	http_check_init(&c, conf);
	for (size_t at = 0; at < n && says == HTTP_CHECK_MORE; at += step)
		says = http_check_feed(&c, answer + at, MIN(step, n - at));
	if (says == HTTP_CHECK_MORE)
		says = http_check_eof(&c);
	str_copy(why, 128, c.why);
	http_check_fini(&c);
	return says;
}

static void test_answers(void **state)
{
	static const struct {
		const char *what, *method, *text, *answer;
		bool statuses;   /* of `some`; else the usual ones */
		const char *why; /* NULL: it is good */
	} cases[] = {
		{ "200", "GET", "", "HTTP/1.1 200 OK\r\n\r\n", false, NULL },
		{ "its content does not matter", "GET", "", "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nx", false,
			NULL },
		{ "302", "GET", "", "HTTP/1.0 302 x\r\n\r\n", false, NULL },
		{ "404", "GET", "", "HTTP/1.1 404 x\r\n\r\n", false, "status 404" },
		{ "one of those", "GET", "", "HTTP/1.1 401 x\r\n\r\n", true, NULL },
		{ "within", "GET", "", "HTTP/1.1 204 x\r\n\r\n", true, NULL },
		{ "none of those", "GET", "", "HTTP/1.1 205 x\r\n\r\n", true, "status 205" },
		{ "after 103", "GET", "", "HTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 200 x\r\n\r\n", false, NULL },
		{ "HEAD", "HEAD", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, NULL },
		{ "text", "GET", "pong", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npongpong", false, NULL },
		{ "text at its end", "GET", "pong", "HTTP/1.1 200 OK\r\n\r\npopopong", false, NULL },
		{ "text in chunks", "GET", "pong",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxpo\r\n2\r\nng\r\n0\r\n\r\n", false,
			NULL },
		{ "one letter", "GET", "g", "HTTP/1.1 200 OK\r\n\r\npong", false, NULL },
		{ "other text", "GET", "pong", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npon ", false,
			"the expected text is not in the content" },
		{ "other text to the end", "GET", "pong", "HTTP/1.1 200 OK\r\n\r\npon", false,
			"the expected text is not in the content" },
		{ "cut", "GET", "pong", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npon", false,
			"the connection ended within the answer" },
		{ "nothing", "GET", "", "", false, "the connection ended without an answer" },
		{ "half a head", "GET", "", "HTTP/1.1 200 OK\r\n", false, "the connection ended within the answer" },
		{ "no HTTP", "GET", "", "SSH-2.0-OpenSSH_9.2\r\n", false,
			"the answer is not HTTP: the line does not end with an HTTP version" },
		{ "a bad head", "GET", "", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false,
			"the answer is not HTTP: white space stands before a colon" },
	};
	static const size_t steps[] = { SIZE_MAX, 1, 3 };
	char why[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
			const struct http_check_conf conf = { .method = cases[i].method,
				.path = "/",
				.host = "a",
				.agent = "x",
				.statuses = some,
				.n_statuses = cases[i].statuses ? ARRAY_LEN(some) : 0,
				.text = cases[i].text };
			const enum http_check_says says = ask(&conf, cases[i].answer, MIN(steps[s], 1000), why);

			if (says != (cases[i].why == NULL ? HTTP_CHECK_GOOD : HTTP_CHECK_BAD) ||
				(cases[i].why != NULL && strcmp(why, cases[i].why) != 0))
				fail_msg("%s, %zu at once: %d, %s", cases[i].what, steps[s], says, why);
		}
}

static void test_requests(void **state)
{
	struct http_check_conf conf = {
		.method = "GET", .path = "/up?x=1", .host = "::1", .port = 8080, .agent = "me", .text = ""
	};
	struct http_check c;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	http_check_init(&c, &conf);
	http_check_request(&c, &b);
	assert_string_equal(buf_cstr(&b), "GET /up?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: me\r\nAccept: "
					  "*/*\r\nConnection: close\r\n\r\n");
	conf.host = "a.example";
	conf.port = 0;
	buf_reset(&b);
	http_check_request(&c, &b);
	assert_non_null(strstr(buf_cstr(&b), "\r\nHost: a.example\r\n"));
	http_check_fini(&c);
	buf_free(&b);
}

/* A server that never comes to an end is given up. */
static void test_endless(void **state)
{
	const struct http_check_conf conf = { .method = "GET", .path = "/", .host = "a", .agent = "x", .text = "pong" };
	static char line[1000];
	enum http_check_says says = HTTP_CHECK_MORE;
	struct http_check c;
	int n = 0;

	(void)state;
	memset(line, 'x', sizeof line);
	http_check_init(&c, &conf);
	assert_int_equal(http_check_feed(&c, "HTTP/1.1 200 OK\r\n\r\n", 19), HTTP_CHECK_MORE);
	for (; says == HTTP_CHECK_MORE && n < 1000; n++)
		says = http_check_feed(&c, line, sizeof line);
	assert_int_equal(says, HTTP_CHECK_BAD);
	assert_in_range(n, 60, 70);
	http_check_fini(&c);
	http_check_init(&c, &conf);
	for (says = HTTP_CHECK_MORE, n = 0; says == HTTP_CHECK_MORE && n < 1000; n++)
		says = http_check_feed(&c, n == 0 ? "HTTP/1.1 200 OK\r\n" : "A: b\r\n", n == 0 ? 17 : 6);
	assert_int_equal(says, HTTP_CHECK_BAD);
	http_check_fini(&c);
}

static void test_verdict(void **state)
{
	static const struct {
		const char *results; /* + and - */
		const char *turns;   /* u, d: it turned; . it did not. Rise 2, fall 3 */
	} cases[] = {
		{ "+++", "u.." },
		{ "-+-++", "d...u" },
		{ "+--+---", "u.....d" },
		{ "---++--+---", "d...u.....d" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct verdict v = { .turns = 0 };

		for (size_t k = 0; cases[i].results[k] != '\0'; k++) {
			const bool turned = verdict_hear(&v, cases[i].results[k] == '+', 2, 3);
			const char got = !turned ? '.' : v.is == VERDICT_UP ? 'u' : 'd';

			if (got != cases[i].turns[k])
				fail_msg("%s at %zu: %c", cases[i].results, k, got);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
