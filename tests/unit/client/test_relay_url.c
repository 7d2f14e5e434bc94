#include "client/agent/relay/relay_url.h"

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *text, *host, *path, *authority;
	uint16_t port; /* 0: it is refused */
	bool web, tls;
} cases[] = {
	{ "edge.test:7401", "edge.test", "", "", 7401, false, false },
	{ "[::1]:7401", "::1", "", "", 7401, false, false },
	{ "wss://edge.test", "edge.test", "/", "edge.test", 443, true, true },
	{ "WSS://edge.test/a/b?c=d", "edge.test", "/a/b?c=d", "edge.test", 443, true, true },
	{ "wss://edge.test:8443/", "edge.test", "/", "edge.test:8443", 8443, true, true },
	{ "ws://10.0.0.1/x", "10.0.0.1", "/x", "10.0.0.1", 80, true, false },
	{ "ws://[2001:db8::1]", "2001:db8::1", "/", "[2001:db8::1]", 80, true, false },
	{ "ws://[2001:db8::1]:81?x", "2001:db8::1", "/?x", "[2001:db8::1]:81", 81, true, false },
	{ .text = "edge.test" },
	{ .text = "wss://" },
	{ .text = "wss://:443/" },
	{ .text = "wss://edge.test:0/" },
	{ .text = "wss://edge.test:99999/" },
	{ .text = "wss://edge.test/a b" },
	{ .text = "wss://edge.test/a#b" },
	{ .text = "wss://edge.test/\r\nX: y" },
	{ .text = "https://edge.test/" },
};

static void test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct relay_url u;

		if ((relay_url_parse(&u, cases[i].text) == 0) != (cases[i].port != 0))
			fail_msg("%s", cases[i].text);
		if (cases[i].port == 0)
			continue;
		if (!str_eq(u.host, cases[i].host) || !str_eq(u.path, cases[i].path) || u.port != cases[i].port ||
			!str_eq(u.authority, cases[i].authority) || u.web != cases[i].web || u.tls != cases[i].tls)
			fail_msg("%s: %s %u %s %s", cases[i].text, u.host, u.port, u.path, u.authority);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
