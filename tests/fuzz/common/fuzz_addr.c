/* Addresses, host names and ranges from people: what is accepted prints to something that means the same. */
#include "common/net/addr.h"
#include "common/net/cidr.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_addr(const char *s)
{
	char text[ADDR_STRLEN];
	struct addr a, again;

	if (addr_parse(&a, s) == 0) {
		addr_print(&a, text);
		FUZZ_CHECK(addr_parse(&again, text) == 0);
		FUZZ_CHECK(addr_equal(&a, &again));
		addr_is_special(&a);
	}
	if (addr_parse_ip(&a, s, 1) == 0) {
		addr_print_ip(&a, text);
		FUZZ_CHECK(addr_parse_ip(&again, text, 1) == 0);
		FUZZ_CHECK(addr_equal(&a, &again));
		FUZZ_CHECK(addr_is_host(s));
	}
}

static void fuzz_host(const char *s)
{
	char host[256];
	uint16_t port;

	if (addr_split_host(s, host, sizeof host, &port) == 0)
		FUZZ_CHECK(addr_is_host(host));
	if (addr_is_host(s))
		FUZZ_CHECK(strlen(s) < 256);
}

static void fuzz_cidr(const char *s)
{
	char text[CIDR_STRLEN];
	struct cidr c, again;

	if (cidr_parse(&c, s) != 0)
		return;
	FUZZ_CHECK(cidr_is_valid(&c));
	cidr_print(&c, text);
	FUZZ_CHECK(cidr_parse(&again, text) == 0);
	FUZZ_CHECK(memcmp(&c, &again, sizeof c) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size);

	if (s == NULL)
		return 0;
	fuzz_addr(s);
	fuzz_host(s);
	fuzz_cidr(s);
	free(s);
	return 0;
}
