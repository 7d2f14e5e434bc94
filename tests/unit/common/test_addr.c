/* addr: parsing and printing, special ranges, host names. */
#include "common/base/str.h"
#include "common/net/addr.h"

#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *s;
		const char *want; /* as printed; NULL: refused */
	} cases[] = {
		{ "127.0.0.1:80", "127.0.0.1:80" },
		{ "0.0.0.0:0", "0.0.0.0:0" },
		{ "255.255.255.255:65535", "255.255.255.255:65535" },
		{ "[::1]:80", "[::1]:80" },
		{ "[2001:DB8:0:0::1]:443", "[2001:db8::1]:443" },
		{ "[::ffff:192.0.2.1]:9", "192.0.2.1:9" },
		{ "[::ffff:c000:201]:9", "192.0.2.1:9" },
		{ "[fe80::1%1]:80", "[fe80::1%1]:80" },
		{ "[fe80::1%lo]:80", "[fe80::1%1]:80" },
		{ "", NULL },
		{ ":80", NULL },
		{ "127.0.0.1", NULL },
		{ "127.0.0.1:", NULL },
		{ "127.0.0.1:65536", NULL },
		{ "127.0.0.1:-1", NULL },
		{ "127.0.0.1:80 ", NULL },
		{ " 127.0.0.1:80", NULL },
		{ "127.0.0.1:http", NULL },
		{ "127.1:80", NULL },
		{ "127.0.0.01:80", NULL },
		{ "0x7f.0.0.1:80", NULL },
		{ "256.0.0.1:80", NULL },
		{ "localhost:80", NULL },
		{ "::1:80", NULL },
		{ "[::1]", NULL },
		{ "[::1]80", NULL },
		{ "[::1:80", NULL },
		{ "[127.0.0.1]:80", NULL },
		{ "[]:80", NULL },
		{ "[::1%lo]:80", NULL }, /* only link-local addresses have a scope */
		{ "[fe80::1%]:80", NULL },
		{ "[fe80::1%0]:80", NULL },
		{ "[fe80::1%no-such-if]:80", NULL },
		{ "[fe80::1%4294967296]:80", NULL },
		{ "[1:2:3:4:5:6:7:8:9]:80", NULL },
		{ "[11111111111111111111111111111111111111111111111111111111111111111111111111111111111111::]:1",
			NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[ADDR_STRLEN];
		struct addr a, again;

		if ((addr_parse(&a, cases[i].s) == 0) != (cases[i].want != NULL))
			fail_msg("'%s': wrong answer", cases[i].s);
		if (cases[i].want == NULL) {
			assert_int_equal(a.len, 0);
			continue;
		}
		addr_print(&a, text);
		assert_string_equal(text, cases[i].want);
		assert_int_equal(addr_parse(&again, text), 0);
		assert_true(addr_equal(&a, &again));
	}
}

static void test_parse_ip(void **state)
{
	char text[ADDR_STRLEN];
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse_ip(&a, "::1", 80), 0);
	assert_int_equal(a.sa.sa_family, AF_INET6);
	assert_int_equal(addr_port(&a), 80);
	addr_print_ip(&a, text);
	assert_string_equal(text, "::1");
	addr_set_port(&a, 81);
	assert_int_equal(addr_port(&a), 81);
	assert_int_equal(addr_parse_ip(&a, "::ffff:10.0.0.1", 80), 0);
	assert_int_equal(a.sa.sa_family, AF_INET);
	assert_int_equal(addr_parse_ip(&a, "[::1]", 80), -1);
	assert_int_equal(addr_parse_ip(&a, "", 80), -1);
	addr_print(&a, text);
	assert_string_equal(text, "-");
	assert_int_equal(addr_port(&a), 0);
	addr_set_port(&a, 5);
	assert_int_equal(addr_port(&a), 0);
}

static void test_from_sockaddr(void **state)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
	const struct sockaddr other = { .sa_family = AF_UNIX };
	struct addr a, b;

	(void)state;
	memcpy(v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	addr_from_sockaddr(&a, (const struct sockaddr *)&v6, sizeof v6);
	assert_int_equal(addr_parse(&b, "10.0.0.1:7"), 0);
	assert_true(addr_equal(&a, &b));
	assert_int_equal(a.len, sizeof(struct sockaddr_in));
	addr_from_sockaddr(&a, (const struct sockaddr *)&v6, sizeof v6 - 1);
	assert_int_equal(a.len, 0);
	addr_from_sockaddr(&a, &other, sizeof other);
	assert_int_equal(a.len, 0);
	addr_from_sockaddr(&a, NULL, 0);
	assert_int_equal(a.len, 0);
}

static void test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool ip, both;
	} cases[] = {
		{ "1.2.3.4:5", "1.2.3.4:5", true, true },
		{ "1.2.3.4:5", "1.2.3.4:6", true, false },
		{ "1.2.3.4:5", "1.2.3.5:5", false, false },
		{ "1.2.3.4:5", "[::ffff:1.2.3.4]:5", true, true },
		{ "1.2.3.4:5", "[::102:304]:5", false, false },
		{ "[::1]:5", "[::1]:5", true, true },
		{ "[fe80::1%1]:5", "[fe80::1%2]:5", false, false },
	};
	struct addr none = { .len = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a, b;

		assert_int_equal(addr_parse(&a, cases[i].a), 0);
		assert_int_equal(addr_parse(&b, cases[i].b), 0);
		assert_int_equal(addr_equal_ip(&a, &b), cases[i].ip);
		assert_int_equal(addr_equal(&a, &b), cases[i].both);
		assert_false(addr_equal_ip(&a, &none));
	}
	assert_true(addr_equal(&none, &none));
}

static void test_special(void **state)
{
	static const char *const special[] = {
		"0.0.0.0",
		"0.1.2.3",
		"10.255.0.1",
		"100.64.0.1",
		"100.127.255.255",
		"100.100.100.200",
		"127.0.0.1",
		"127.255.255.255",
		"168.63.129.16",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.192",
		"192.168.1.1",
		"198.18.0.1",
		"198.19.255.255",
		"224.0.0.1",
		"239.1.1.1",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"::ffff:127.0.0.1",
		"::127.0.0.1",
		"64:ff9b::10.0.0.1",
		"64:ff9b::7f00:1",
		"64:ff9b:1::1",
		"100::1",
		"2001:0:1::1",
		"2002:7f00:1::",
		"2002:a00:1::1",
		"fc00::1",
		"fd00:ec2::254",
		"fe80::1",
		"fec0::1",
		"ff02::1",
	};
	static const char *const open[] = {
		"1.1.1.1",
		"9.255.255.255",
		"11.0.0.0",
		"100.63.255.255",
		"100.128.0.0",
		"126.255.255.255",
		"128.0.0.1",
		"168.63.129.17",
		"169.253.255.255",
		"169.255.0.0",
		"172.15.255.255",
		"172.32.0.0",
		"192.167.255.255",
		"192.169.0.0",
		"198.17.255.255",
		"198.20.0.0",
		"223.255.255.255",
		"2606:4700::1111",
		"64:ff9b::8.8.8.8",
		"2002:808:808::1",
		"2001:1::1",
		"fbff::1",
		"::ffff:8.8.8.8",
	};
	struct addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(special); i++) {
		assert_int_equal(addr_parse_ip(&a, special[i], 1), 0);
		if (!addr_is_special(&a))
			fail_msg("%s is open", special[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(open); i++) {
		assert_int_equal(addr_parse_ip(&a, open[i], 1), 0);
		if (addr_is_special(&a))
			fail_msg("%s is closed", open[i]);
	}
	assert_true(addr_is_special(&(struct addr){ .len = 0 }));
}

static void test_host(void **state)
{
	static const char *const good[] = {
		"localhost", "a", "example.com", "xn--bcher-kva.example", "3com.com", "a-b.c", "127.0.0.1", "::1",
		"EXAMPLE.com", "1.2.3.4.example", "0x.org",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 63 */
	};
	static const char *const bad[] = {
		"", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "a_b", "a b", "a/b", "a:80", "[::1]",
		"b\xc3\xbc\x63her.example", "127.1", "2130706433", "0x7f000001", "1.2.3.4.5", "1.2.3.256", "a.0x7f",
		"a.1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 64 */
	};
	char name[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!addr_is_host(good[i]))
			fail_msg("%s refused", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (addr_is_host(bad[i]))
			fail_msg("%s accepted", bad[i]);
	for (size_t n = 251; n < 256; n++) { /* labels of one letter, 253 bytes at most */
		for (size_t i = 0; i < n; i++)
			name[i] = i % 2 == 0 ? 'a' : '.';
		name[n - 1] = 'a';
		name[n] = '\0';
		assert_int_equal(addr_is_host(name), n <= 253);
	}
}

static void test_split_host(void **state)
{
	static const struct {
		const char *s, *host;
		int port; /* -1: refused */
	} cases[] = {
		{ "example.com:80", "example.com", 80 },
		{ "127.0.0.1:1", "127.0.0.1", 1 },
		{ "[2001:db8::1]:65535", "2001:db8::1", 65535 },
		{ "example.com", "", -1 },
		{ "example.com:", "", -1 },
		{ "example.com:80x", "", -1 },
		{ ":80", "", -1 },
		{ "::1:80", "", -1 },
		{ "[example.com]:80", "", -1 },
		{ "a:b:80", "", -1 },
		{ "http://a:80", "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char host[64];
		uint16_t port = 0;

		if (addr_split_host(cases[i].s, host, sizeof host, &port) != (cases[i].port < 0 ? -1 : 0))
			fail_msg("%s: wrong answer", cases[i].s);
		if (cases[i].port < 0)
			continue;
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
	}
	assert_int_equal(addr_split_host("example.com:80", (char[11]){ 0 }, 11, &(uint16_t){ 0 }), -1);
}

static void test_site(void **state)
{
	static const struct {
		const char *ip, *site;
	} cases[] = {
		{ "192.0.2.77", "192.0.2.77" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::" },
		{ "2001:db8:1:2::6", "2001:db8:1:2::" },
		{ "2001:db8:1:3::6", "2001:db8:1:3::" },
		{ "::ffff:192.0.2.77", "192.0.2.77" },
	};
	char text[ADDR_STRLEN];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(addr_parse_ip(&a, cases[i].ip, 1), 0);
		addr_print_site(&a, text);
		assert_string_equal(text, cases[i].site);
	}
	a.len = 0;
	addr_print_site(&a, text);
	assert_string_equal(text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_ip),
		cmocka_unit_test(test_from_sockaddr),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_site),
		cmocka_unit_test(test_special),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_split_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
