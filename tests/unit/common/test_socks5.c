/* SOCKS5 messages, byte by byte: never more is asked for than the message has, and what is wrong is told at once. */
#include "common/net/socks5.h"

#include "common/net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *label;
	enum socks5_msg what;
	const char *bytes;
	int n; /* of the whole message; -1: it is none */
	size_t size;
} cases[] = {
#define MSG(s) s, sizeof(s) - 1, sizeof(s) - 1
#define BAD(s) s, -1, sizeof(s) - 1
	{ "one method", SOCKS5_GREETING, MSG("\5\1\0") },
	{ "three methods", SOCKS5_GREETING, MSG("\5\3\0\1\2") },
	{ "no method", SOCKS5_GREETING, BAD("\5\0") },
	{ "SOCKS4", SOCKS5_GREETING, BAD("\4\1\0\120\1\2\3\4\0") },
	{ "HTTP", SOCKS5_GREETING, BAD("GET / HTTP/1.1\r\n") },
	{ "login", SOCKS5_LOGIN, MSG("\1\2me\3pwd") },
	{ "login of nobody", SOCKS5_LOGIN, MSG("\1\0\0") },
	{ "login of another version", SOCKS5_LOGIN, BAD("\5\2me\3pwd") },
	{ "IPv4", SOCKS5_REQUEST, MSG("\5\1\0\1\x7f\0\0\1\0\120") },
	{ "IPv6", SOCKS5_REQUEST, MSG("\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\120") },
	{ "name", SOCKS5_REQUEST, MSG("\5\1\0\3\1a\0\120") },
	{ "empty name", SOCKS5_REQUEST, BAD("\5\1\0\3\0\0\120") },
	{ "kind of address", SOCKS5_REQUEST, BAD("\5\1\0\2\1\2\3") },
	{ "reserved", SOCKS5_REQUEST, BAD("\5\1\1\1\x7f\0\0\1\0\120") },
};

static void test_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const uint8_t *p = (const uint8_t *)cases[i].bytes;
		size_t n = 0;
		int need;

		for (;;) {
			need = socks5_need(cases[i].what, p, n);
			if (need < 0 || (size_t)need == n)
				break;
			if ((size_t)need < n || (size_t)need > cases[i].size + 3)
				fail_msg("%s: %d at %zu", cases[i].label, need, n);
			n++;
		}
		if (need != cases[i].n)
			fail_msg("%s: %d", cases[i].label, need);
	}
}

static void test_requests(void **state)
{
	static const struct {
		const char *bytes, *host;
		uint16_t port;
	} good[] = {
		{ "\5\1\0\1\x7f\0\0\1\0\120", "127.0.0.1", 80 },
		{ "\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\1", "::1", 257 },
		{ "\5\1\0\3\4a.bc\0\26", "a.bc", 22 },
	};
	struct socks5_request r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(socks5_request(&r, (const uint8_t *)good[i].bytes), 0);
		assert_string_equal(r.host, good[i].host);
		assert_int_equal(r.port, good[i].port);
	}
	assert_int_equal(socks5_request(&r, (const uint8_t *)"\5\1\0\3\3a/b\0\26"), -1);
	assert_int_equal(socks5_request(&r, (const uint8_t *)"\5\1\0\3\3a\0b\0\26"), -1);
}

static void test_login(void **state)
{
	char user[256], password[256];
	uint8_t longest[SOCKS5_MSG_MAX] = { 1, 255 };

	(void)state;
	memset(longest + 2, 'u', 255);
	longest[257] = 255;
	memset(longest + 258, 'p', 255);
	assert_int_equal(socks5_need(SOCKS5_LOGIN, longest, sizeof longest), sizeof longest);
	assert_int_equal(socks5_login(longest, user, password), 0);
	assert_int_equal(strlen(user) + strlen(password), 510);
	assert_int_equal(socks5_login((const uint8_t *)"\1\2me\3pwd", user, password), 0);
	assert_string_equal(user, "me");
	assert_string_equal(password, "pwd");
	assert_int_equal(socks5_login((const uint8_t *)"\1\0\3pwd", user, password), -1);
	assert_int_equal(socks5_login((const uint8_t *)"\1\2m\0\3pwd", user, password), -1);
	assert_true(socks5_offers((const uint8_t *)"\5\2\0\2", SOCKS5_PASSWORD));
	assert_false(socks5_offers((const uint8_t *)"\5\1\0\2", SOCKS5_PASSWORD));
}

static void test_replies(void **state)
{
	uint8_t out[SOCKS5_REPLY_MAX];
	struct addr a;

	(void)state;
	assert_int_equal(socks5_reply(out, SOCKS5_REFUSED, NULL), 10);
	assert_memory_equal(out, "\5\5\0\1\0\0\0\0\0\0", 10);
	assert_int_equal(addr_parse_ip(&a, "127.0.0.2", 258), 0);
	assert_int_equal(socks5_reply(out, SOCKS5_DONE, &a), 10);
	assert_memory_equal(out, "\5\0\0\1\x7f\0\0\2\1\2", 10);
	assert_int_equal(addr_parse_ip(&a, "::1", 258), 0);
	assert_int_equal(socks5_reply(out, SOCKS5_DONE, &a), 22);
	assert_memory_equal(out, "\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\2", 22);
}

static void test_datagrams(void **state)
{
	static const struct {
		const char *label, *bytes;
		size_t n;
		int head; /* -1: it is none */
		const char *host;
	} all[] = {
#define D(s) s, sizeof(s) - 1
		{ "IPv4", D("\0\0\0\1\x7f\0\0\1\0\65query"), 10, "127.0.0.1" },
		{ "empty", D("\0\0\0\1\x7f\0\0\1\0\65"), 10, "127.0.0.1" },
		{ "IPv6", D("\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\65q"), 22, "::1" },
		{ "name", D("\0\0\0\3\4a.bc\0\65q"), 11, "a.bc" },
		{ "a fragment", D("\0\0\1\1\x7f\0\0\1\0\65query"), -1, NULL },
		{ "the last fragment", D("\0\0\x81\1\x7f\0\0\1\0\65query"), -1, NULL },
		{ "reserved", D("\0\1\0\1\x7f\0\0\1\0\65query"), -1, NULL },
		{ "no port", D("\0\0\0\1\x7f\0\0\1\0\0query"), -1, NULL },
		{ "cut", D("\0\0\0\1\x7f\0\0\1\0"), -1, NULL },
		{ "a cut name", D("\0\0\0\3\5a.bc\0\65"), -1, NULL },
		{ "no name", D("\0\0\0\3\3a/b\0\65"), -1, NULL },
		{ "no name at all", D("\0\0\0\3\0\0\65"), -1, NULL },
		{ "kind of address", D("\0\0\0\2\x7f\0\0\1\0\65"), -1, NULL },
		{ "nothing", D(""), -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char host[SOCKS5_HOST_SIZE];
		uint16_t port;
		int head = socks5_datagram(host, &port, (const uint8_t *)all[i].bytes, all[i].n);

		if (head != all[i].head)
			fail_msg("%s: %d", all[i].label, head);
		if (head < 0)
			continue;
		assert_string_equal(host, all[i].host);
		assert_int_equal(port, 53);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_datagrams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
