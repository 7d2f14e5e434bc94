#include "controld/rest/peer.h"

#include "common/base/err.h"
#include "controld/rest/headers.h"

#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *what, *proxies, *connected, *forwarded, *want;
} cases[] = {
	{ "nobody in front", "", "192.0.2.1", NULL, "192.0.2.1" },
	{ "forged header", "", "192.0.2.1", "10.0.0.1", "192.0.2.1" },
	{ "not from a proxy", "10.0.0.0/8", "192.0.2.1", "198.51.100.1", "192.0.2.1" },
	{ "from a proxy", "10.0.0.0/8", "10.0.0.1", "198.51.100.1", "198.51.100.1" },
	{ "proxy without header", "10.0.0.0/8", "10.0.0.1", NULL, "10.0.0.1" },
	{ "two proxies", "10.0.0.0/8", "10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1" },
	{ "client forged the left part", "10.0.0.0/8", "10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1" },
	{ "all are proxies", "10.0.0.0/8", "10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3" },
	{ "rubbish stops the walk", "10.0.0.0/8", "10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1" },
	{ "rubbish further left", "10.0.0.0/8", "10.0.0.1", "rubbish, 10.0.0.2", "10.0.0.2" },
	{ "empty", "10.0.0.0/8", "10.0.0.1", "", "10.0.0.1" },
	{ "commas", "10.0.0.0/8", "10.0.0.1", ",,,", "10.0.0.1" },
	{ "blanks", "10.0.0.0/8", "10.0.0.1", "   198.51.100.1   ", "198.51.100.1" },
	{ "IPv6", "::1/128, 10.0.0.0/8", "::1", "2001:db8::7", "2001:db8::7" },
	{ "longer than any address", "10.0.0.0/8", "10.0.0.1",
		"1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111",
		"10.0.0.1" },
};

static struct addr client_of(const char *list, const char *connected, const char *const *lines)
{
	struct peer_proxies proxies;
	struct evkeyvalq headers;
	struct addr from, client;
	struct err e;

	assert_int_equal(peer_proxies_parse(&proxies, list, &e), 0);
	assert_int_equal(addr_parse_ip(&from, connected, 4711), 0);
	headers_init(&headers);
	for (; *lines != NULL; lines++) {
		assert_int_equal(headers_add_block(&headers, "X-Other", "9.9.9.9"), 0);
		assert_int_equal(headers_add_block(&headers, "x-forwarded-for", *lines), 0);
	}
	client = peer_client(&proxies, &from, &headers);
	evhttp_clear_headers(&headers);
	return client;
}

static void test_table(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const lines[] = { cases[i].forwarded, NULL };
		struct addr client = client_of(cases[i].proxies, cases[i].connected, lines);
		char text[ADDR_STRLEN];

		addr_print_ip(&client, text);
		if (strcmp(text, cases[i].want) == 0)
			continue;
		print_error("%s: %s, want %s\n", cases[i].what, text, cases[i].want);
		failed++;
	}
	assert_int_equal(failed, 0);
}

/* A proxy that does not join adds a line of its own: what it saw stands in the last one. */
static void test_lines(void **state)
{
	static const struct {
		const char *what, *lines[4], *want;
	} stories[] = {
		{ "none", { NULL }, "10.0.0.1" },
		{ "one", { "198.51.100.1" }, "198.51.100.1" },
		{ "a forged one before", { "1.2.3.4", "198.51.100.1" }, "198.51.100.1" },
		{ "forged ones before two proxies", { "1.2.3.4", "5.6.7.8, 198.51.100.1", "10.0.0.2" },
			"198.51.100.1" },
		{ "rubbish hides what is before it", { "1.2.3.4", "rubbish" }, "10.0.0.1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
		struct addr client = client_of("10.0.0.0/8", "10.0.0.1", stories[i].lines);
		char text[ADDR_STRLEN];

		addr_print_ip(&client, text);
		if (strcmp(text, stories[i].want) != 0)
			fail_msg("%s: %s, want %s", stories[i].what, text, stories[i].want);
	}
}

static void test_list_is_checked(void **state)
{
	struct peer_proxies proxies;
	struct err e;

	(void)state;
	assert_int_equal(peer_proxies_parse(&proxies, NULL, &e), 0);
	assert_int_equal(peer_proxies_parse(&proxies, " 10.0.0.0/8 , ::1/128 ,", &e), 0);
	assert_int_equal(proxies.n, 2);
	assert_int_equal(peer_proxies_parse(&proxies, "10.0.0.0/8, proxy.example", &e), -1);
	assert_non_null(strstr(e.msg, "proxy.example"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_list_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
