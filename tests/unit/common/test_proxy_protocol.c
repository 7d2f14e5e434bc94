/* proxy_protocol: both versions read and written, every cut, what must be refused. */
#include "common/base/macros.h"
#include "common/net/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4  "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb"

static struct addr addr(const char *s)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, s), 0);
	return a;
}

static void assert_addr(const struct addr *a, const char *want)
{
	const struct addr b = addr(want);

	assert_true(addr_equal(a, &b));
}

static void test_v1(void **state)
{
	static const struct {
		const char *line, *src, *dst; /* src "": local; NULL: refused */
	} cases[] = {
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n", "192.0.2.1:1234", "192.0.2.2:80" },
		{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
			"255.255.255.255:65535" },
		{ "PROXY TCP6 2001:db8::1 2001:db8::2 0 80\r\n", "[2001:db8::1]:0", "[2001:db8::2]:80" },
		{ "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 80\r\n", "192.0.2.1:1", "[2001:db8::2]:80" },
		{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
		  "65535\r\n",
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "PROXY UNKNOWN\r\n", "", "" },
		{ "PROXY UNKNOWN ffff::1 whatever 1 2 3\r\n", "", "" },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80 \r\n", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80 9\r\n", NULL, NULL },
		{ "PROXY TCP4  192.0.2.1 192.0.2.2 1234 80\r\n", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 01234 80\r\n", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 -1 80\r\n", NULL, NULL },
		{ "PROXY TCP4 ::1 ::1 1234 80\r\n", NULL, NULL },
		{ "PROXY TCP6 192.0.2.1 192.0.2.2 1234 80\r\n", NULL, NULL },
		{ "PROXY TCP6 fe80::1%lo ::1 1234 80\r\n", NULL, NULL },
		{ "PROXY TCP5 192.0.2.1 192.0.2.2 1234 80\r\n", NULL, NULL },
		{ "PROXY UDP4 192.0.2.1 192.0.2.2 1234 80\r\n", NULL, NULL },
		{ "PROXY \r\n", NULL, NULL },
		{ "PROXY\r\n", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\rX", NULL, NULL },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\n\r\n", NULL, NULL },
		{ "proxy TCP4 192.0.2.1 192.0.2.2 1234 80\r\n", NULL, NULL },
		{ "GET / HTTP/1.1\r\n", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const size_t n = strlen(cases[i].line);
		const uint8_t *p = (const uint8_t *)cases[i].line;
		struct proxy_header h;
		int rc = proxy_parse(&h, p, n);

		if (rc != (cases[i].src != NULL ? (int)n : -1))
			fail_msg("%.*s: %d", (int)n - 2, cases[i].line, rc);
		if (cases[i].src == NULL)
			continue;
		assert_int_equal(h.local, cases[i].src[0] == '\0');
		if (!h.local) {
			assert_addr(&h.src, cases[i].src);
			assert_addr(&h.dst, cases[i].dst);
		}
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(proxy_parse(&h, p, cut), 0);
	}
}

static void test_v1_limits(void **state)
{
	static const char nul[] = "PROXY TCP4 192.0.2.1\0 192.0.2.2 1234 80\r\n";
	uint8_t line[300];
	struct proxy_header h;

	(void)state;
	assert_int_equal(proxy_parse(&h, (const uint8_t *)nul, sizeof nul - 1), -1);
	memset(line, 'x', sizeof line);
	memcpy(line, "PROXY UNKNOWN ", 14);
	for (size_t n = 14; n < 107; n++)
		assert_int_equal(proxy_parse(&h, line, n), 0);
	assert_int_equal(proxy_parse(&h, line, 107), -1); /* no reason to wait for more */
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(proxy_parse(&h, line, sizeof line), 107);
	memcpy(line + 105, "x\r\n", 3);
	assert_int_equal(proxy_parse(&h, line, sizeof line), -1);
}

static void test_v2(void **state)
{
	static const struct {
		const char *what;
		const char *bytes;
		size_t n;
		int rc; /* 0 here: as long as it is */
		bool local, dgram;
	} cases[] = {
		{ "TCP4", SIG "\x21\x11\0\x0c" V4, 28, 0, false, false },
		{ "UDP4", SIG "\x21\x12\0\x0c" V4, 28, 0, false, true },
		{ "TCP4 with TLVs", SIG "\x21\x11\0\x13" V4 "\x04\0\1\0\x30\0\0", 35, 0, false, false },
		{ "LOCAL", SIG "\x20\0\0\0", 16, 0, true, false },
		{ "LOCAL with addresses", SIG "\x20\x11\0\x0c" V4, 28, 0, true, false },
		{ "LOCAL with rubbish", SIG "\x20\x11\0\1z", 17, 0, true, false },
		{ "UNSPEC", SIG "\x21\0\0\3abc", 19, 0, true, false },
		{ "INET without transport", SIG "\x21\x10\0\x0c" V4, 28, 0, true, false },
		{ "version 1", SIG "\x11\x11\0\x0c" V4, 28, -1, false, false },
		{ "version 3", SIG "\x31\x11\0\x0c" V4, 28, -1, false, false },
		{ "command 2", SIG "\x22\x11\0\x0c" V4, 28, -1, false, false },
		{ "family 4", SIG "\x21\x41\0\x0c" V4, 28, -1, false, false },
		{ "transport 3", SIG "\x21\x13\0\x0c" V4, 28, -1, false, false },
		{ "too short for IPv4", SIG "\x21\x11\0\x0b" V4, 27, -1, false, false },
		{ "too short for IPv6", SIG "\x21\x21\0\x0c" V4, 28, -1, false, false },
		{ "half a TLV head", SIG "\x21\x11\0\x0e" V4 "\4\0", 30, -1, false, false },
		{ "TLV longer than the header", SIG "\x21\x11\0\x0f" V4 "\4\0\1", 31, -1, false, false },
		{ "longer than allowed", SIG "\x21\x11\x10\x01", 16, -1, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const uint8_t *p = (const uint8_t *)cases[i].bytes;
		struct proxy_header h;
		int rc = proxy_parse(&h, p, cases[i].n);

		if (rc != (cases[i].rc == 0 ? (int)cases[i].n : -1))
			fail_msg("%s: %d", cases[i].what, rc);
		if (rc < 0)
			continue;
		assert_int_equal(h.local, cases[i].local);
		assert_int_equal(h.dgram, cases[i].dgram);
		if (!h.local) {
			assert_addr(&h.src, "1.2.3.4:80");
			assert_addr(&h.dst, "5.6.7.8:443");
		}
		for (size_t cut = 0; cut < cases[i].n; cut++)
			if (proxy_parse(&h, p, cut) != 0)
				fail_msg("%s cut at %zu", cases[i].what, cut);
	}
}

static void test_v2_longest(void **state)
{
	static uint8_t bytes[PROXY_V2_MAX];
	struct proxy_header h;

	(void)state;
	memcpy(bytes, SIG "\x21\x11\x10\x00" V4, 28);
	memcpy(bytes + 28, "\x04\x0f\xf1", 3); /* one TLV over all the rest */
	assert_int_equal(proxy_parse(&h, bytes, sizeof bytes), (int)sizeof bytes);
	assert_int_equal(proxy_parse(&h, bytes, sizeof bytes - 1), 0);
}

static void test_golden_output(void **state)
{
	const struct addr a4 = addr("1.2.3.4:80"), b4 = addr("5.6.7.8:443"), b6 = addr("[2001:db8::1]:443");
	const struct addr none = { .len = 0 };
	uint8_t out[PROXY_OUT_MAX];

	(void)state;
	assert_int_equal(proxy_write_v1(out, &a4, &b4), 35);
	assert_memory_equal(out, "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", 35);
	assert_int_equal(proxy_write_v1(out, &a4, &b6), 46);
	assert_memory_equal(out, "PROXY TCP6 ::ffff:1.2.3.4 2001:db8::1 80 443\r\n", 46);
	assert_int_equal(proxy_write_v1(out, &none, &b4), 15);
	assert_memory_equal(out, "PROXY UNKNOWN\r\n", 15);
	assert_int_equal(proxy_write_v2(out, &a4, &b4, false), 28);
	assert_memory_equal(out, SIG "\x21\x11\0\x0c" V4, 28);
	assert_int_equal(proxy_write_v2(out, &a4, &b4, true), 28);
	assert_memory_equal(out, SIG "\x21\x12\0\x0c" V4, 28);
	assert_int_equal(proxy_write_v2(out, &a4, &none, true), 16);
	assert_memory_equal(out, SIG "\x20\0\0\0", 16);
}

static void test_round_trip(void **state)
{
	static const char *const addrs[] = {
		"1.2.3.4:0",
		"255.255.255.255:65535",
		"[::1]:1",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[1111:2222:3333:4444:5555:6666:7777:8888]:12345",
	};
	uint8_t out[PROXY_OUT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addrs) * ARRAY_LEN(addrs) * 3; i++) {
		const struct addr src = addr(addrs[i % 5]), dst = addr(addrs[i / 5 % 5]);
		const bool v2 = i >= 25, dgram = i >= 50;
		const size_t n = v2 ? proxy_write_v2(out, &src, &dst, dgram) : proxy_write_v1(out, &src, &dst);
		struct proxy_header h;

		assert_true(n <= PROXY_OUT_MAX && (v2 || n <= PROXY_V1_MAX));
		assert_int_equal(proxy_parse(&h, out, n), (int)n);
		assert_true(addr_equal(&h.src, &src));
		assert_true(addr_equal(&h.dst, &dst));
		assert_int_equal(h.dgram, dgram);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v1_limits),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_longest),
		cmocka_unit_test(test_golden_output),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
