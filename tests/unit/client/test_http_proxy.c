/* http_proxy: where it is, what passes by it, what is asked of it, what it answers. */
#define _GNU_SOURCE
#include "client/agent/relay/http_proxy.h"

#include "common/base/buf.h"
#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_written(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
		const char *basic; /* host NULL: refused */
	} cases[] = {
		{ "off", "", 0, "" },
		{ "http://proxy.lan:3128", "proxy.lan", 3128, "" },
		{ "http://proxy.lan:3128/", "proxy.lan", 3128, "" },
		{ "192.0.2.1:80", "192.0.2.1", 80, "" },
		{ "http://[::1]:80", "::1", 80, "" },
		{ "http://a:b@p:1", "p", 1, "YTpi" },
		{ "http://Aladdin:open%20sesame@p:1", "p", 1, "QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "http://u:p%40ss@p:1", "p", 1, "dTpwQHNz" },
		{ "http://u:%4@p:1", NULL, 0, NULL },
		{ "http://u:%00@p:1", NULL, 0, NULL },
		{ "http://proxy.lan", NULL, 0, NULL },
		{ "https://proxy.lan:1", NULL, 0, NULL },
		{ "http://:80", NULL, 0, NULL },
	};

	(void)state;
	unsetenv("https_proxy");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_proxy p;
		struct err e;
		int r = http_proxy_parse(&p, cases[i].text, &e);

		if ((r == 0) != (cases[i].host != NULL))
			fail_msg("'%s'", cases[i].text);
		if (r != 0)
			continue;
		assert_string_equal(p.host, cases[i].host);
		assert_int_equal(p.port, cases[i].port);
		assert_string_equal(p.basic, cases[i].basic);
	}
}

static void test_environment(void **state)
{
	static const struct {
		const char *no_proxy, *host;
		bool by;
	} cases[] = {
		{ NULL, "relay.example", false },
		{ NULL, "localhost", true },
		{ NULL, "127.0.0.1", true },
		{ NULL, "::1", true },
		{ "*", "relay.example", true },
		{ "example", "relay.example", true },
		{ ".example, other", "relay.example", true },
		{ "relay.example", "relay.example", true },
		{ "lay.example", "relay.example", false },
		{ "x.relay.example", "relay.example", false },
	};
	struct http_proxy p;

	(void)state;
	setenv("https_proxy", "http://proxy.lan:3128", 1);
	assert_int_equal(http_proxy_parse(&p, "", NULL), 0);
	unsetenv("https_proxy");
	assert_string_equal(p.host, "proxy.lan");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (http_proxy_passes_by(&p, cases[i].host, cases[i].no_proxy) != cases[i].by)
			fail_msg("%s with no_proxy %s", cases[i].host, cases[i].no_proxy);
	assert_int_equal(http_proxy_parse(&p, "proxy.lan:3128", NULL), 0);
	assert_false(http_proxy_passes_by(&p, "localhost", "*")); /* it was asked for */
	assert_int_equal(http_proxy_parse(&p, "", NULL), 0);
	assert_true(http_proxy_passes_by(&p, "relay.example", NULL));
}

static void test_request(void **state)
{
	struct http_proxy p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(http_proxy_parse(&p, "http://a:b@p:1", NULL), 0);
	http_proxy_request(&p, "relay.example", 7500, &b);
	assert_string_equal(buf_cstr(&b), "CONNECT relay.example:7500 HTTP/1.1\r\nHost: relay.example:7500\r\n"
					  "Proxy-Authorization: Basic YTpi\r\n\r\n");
	buf_reset(&b);
	p.basic[0] = '\0';
	http_proxy_request(&p, "2001:db8::1", 7500, &b);
	assert_string_equal(buf_cstr(&b), "CONNECT [2001:db8::1]:7500 HTTP/1.1\r\nHost: [2001:db8::1]:7500\r\n\r\n");
	buf_free(&b);
}

static void test_answers(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "H", 0 },
		{ "HTTP/1.1 200", 0 },
		{ "HTTP/1.1 200 OK\r\n", 0 },
		{ "HTTP/1.1 200 OK\r\n\r\n", 19 },
		{ "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nrest", 47 },
		{ "HTTP/1.1 204\r\n\r\n", 16 },
		{ "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", -1 },
		{ "HTTP/1.1 \r\n\r\n", -1 },
		{ "SSH-2.0-x\r\n", -1 },
		{ "\r\n\r\n", -1 },
	};
	static uint8_t endless[HTTP_PROXY_ANSWER_MAX] = "HTTP/1.1 200 OK\r\n";
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (http_proxy_answer((const uint8_t *)cases[i].text, strlen(cases[i].text), &e) != cases[i].want)
			fail_msg("'%s'", cases[i].text);
	assert_int_equal(http_proxy_answer(endless, sizeof endless, &e), -1);
	assert_int_equal(http_proxy_answer((const uint8_t *)"HTTP/1.1 403 No\r\n\r\n", 19, &e), -1);
	assert_string_equal(e.msg, "the proxy refuses: HTTP/1.1 403 No");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
