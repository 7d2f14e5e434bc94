/* http_target: hosts and their ports. The forms of targets are in test_http_reader. */
#include "common/http/http_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_hosts(void **state)
{
	static const struct {
		const char *text;
		size_t name; /* 0: refused */
		uint16_t port;
	} cases[] = {
		{ "a", 1, 0 },
		{ "A.b-c_d.example.", 16, 0 },
		{ "a:80", 1, 80 },
		{ "a:", 1, 0 },
		{ "a:00080", 1, 80 },
		{ "a:65535", 1, 65535 },
		{ "192.0.2.1:1", 9, 1 },
		{ "[::1]", 5, 0 },
		{ "[2001:db8::192.0.2.1]:8443", 21, 8443 },
		{ "", 0, 0 },
		{ ":80", 0, 0 },
		{ "a:0", 0, 0 },
		{ "a:65536", 0, 0 },
		{ "a:99999999999999999999", 0, 0 },
		{ "a:-1", 0, 0 },
		{ "a:+1", 0, 0 },
		{ "a: 1", 0, 0 },
		{ "a:1:2", 0, 0 },
		{ "::1", 0, 0 },
		{ "a b", 0, 0 },
		{ "a/", 0, 0 },
		{ "a?b", 0, 0 },
		{ "a@b", 0, 0 },
		{ "a,b", 0, 0 },
		{ "a%2eb", 0, 0 },
		{ "a\tb", 0, 0 },
		{ "\xc3\xa4", 0, 0 },
		{ "[]", 0, 0 },
		{ "[", 0, 0 },
		{ "[::1", 0, 0 },
		{ "[::1]x", 0, 0 },
		{ "[::1%lo]", 0, 0 },
		{ "[::g]", 0, 0 },
		{ "[192.0.2.1]", 0, 0 },
		{ "[v1.x]", 0, 0 },
		{ "[1:2:3:4:5:6:7:8:9]", 0, 0 },
		{ "[0000000000000000000000000000000000000000000000000000000000000::1]", 0, 0 },
	};
	struct http_host host;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int rc = http_host_parse(&host, cases[i].text, strlen(cases[i].text));

		if (rc != (cases[i].name > 0 ? 0 : -1))
			fail_msg("%s: %d", cases[i].text, rc);
		if (rc == 0 && (host.name.n != cases[i].name || host.port != cases[i].port))
			fail_msg("%s: %zu bytes, port %u", cases[i].text, host.name.n, host.port);
	}
}

static void test_longest(void **state)
{
	struct http_host host;
	char text[257];

	(void)state;
	memset(text, 'a', sizeof text);
	assert_int_equal(http_host_parse(&host, text, 255), 0);
	assert_int_equal(http_host_parse(&host, text, 256), -1);
}

static void test_same(void **state)
{
	const struct http_span a = { "Example.com", 11 }, b = { "eXample.com", 11 }, c = { "example.co", 10 };

	(void)state;
	assert_true(http_host_same(&a, &b));
	assert_false(http_host_same(&a, &c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
