#include "proto/dial_rule.h"

#include "common/net/addr.h"
#include "proto/mapping_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *what;
	bool any;
	const char *grants; /* blank-separated */
	const char *to;
	bool open;
} cases[] = {
	{ "administrators reach everything", true, "", "127.0.0.1", true },
	{ "no grant, public", false, "", "93.184.216.34", false },
	{ "no grant, loopback", false, "", "127.0.0.1", false },
	{ "the Internet is granted", false, "0.0.0.0/0", "93.184.216.34", true },
	{ "the Internet is not our loopback", false, "0.0.0.0/0", "127.0.0.1", false },
	{ "the Internet is not our metadata", false, "0.0.0.0/0", "169.254.169.254", false },
	{ "the Internet is not our network", false, "0.0.0.0/0", "10.1.2.3", false },
	{ "a wide grant over private space", false, "8.0.0.0/5", "10.1.2.3", false },
	{ "a private range is granted", false, "10.1.0.0/16", "10.1.2.3", true },
	{ "its neighbour is not", false, "10.1.0.0/16", "10.2.2.3", false },
	{ "private and public together", false, "0.0.0.0/0 10.0.0.0/8", "10.2.2.3", true },
	{ "one loopback address", false, "127.0.0.1", "127.0.0.1", true },
	{ "IPv6: the Internet is not loopback", false, "::/0", "::1", false },
	{ "IPv6: public", false, "::/0", "2606:4700::1111", true },
	{ "IPv6: unique-local granted", false, "fd00:1::/32", "fd00:1::5", true },
	{ "IPv6: loopback granted", false, "::1", "::1", true },
	{ "IPv4 grant does not open IPv6", false, "0.0.0.0/0", "2606:4700::1111", false },
	{ "mapped IPv4 is IPv4", false, "::/0", "::ffff:127.0.0.1", false },
	{ "NAT64 to private space", false, "::/0", "64:ff9b::10.0.0.1", false },
	{ "NAT64 to private space, granted", false, "64:ff9b::a00:0/104", "64:ff9b::10.0.0.1", true },
	{ "NAT64 to public space", false, "64:ff9b::/96", "64:ff9b::93.184.216.34", true },
};

static uint32_t parse_grants(struct cidr *out, const char *text)
{
	char copy[128], *at = copy, *one;
	uint32_t n = 0;

	strncpy(copy, text, sizeof copy - 1);
	copy[sizeof copy - 1] = '\0';
	while ((one = strsep(&at, " ")) != NULL)
		if (*one != '\0')
			assert_int_equal(cidr_parse(&out[n++], one), 0);
	return n;
}

static void the_rule_of_each_case(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cidr grants[4];
		struct mapping_conf conf = { .dial_any = cases[i].any, .dial_allow.items = grants };
		struct addr to;

		conf.dial_allow.n = parse_grants(grants, cases[i].grants);
		assert_int_equal(addr_parse_ip(&to, cases[i].to, 80), 0);
		if (dial_rule_allows(&conf, &to) != cases[i].open) {
			print_error("%s\n", cases[i].what);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rule_of_each_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
