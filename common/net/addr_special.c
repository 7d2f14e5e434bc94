/*
 * Which addresses are closed to dialling unless granted: what IANA's special-purpose registries (RFC 6890) call not
 * globally reachable, and addresses where a cloud answers with credentials. Documentation ranges are left out: nothing
 * answers there.
 */
#include "common/net/addr.h"
#include "common/net/cidr.h"

#include <string.h>

static const struct cidr addr_special[] = {
	{ 4, 8, { 0 } },                          /* this network, unspecified */
	{ 4, 8, { 10 } },                         /* private, RFC 1918 */
	{ 4, 10, { 100, 64 } },                   /* shared address space (CGNAT), RFC 6598; metadata of one cloud */
	{ 4, 8, { 127 } },                        /* loopback */
	{ 4, 32, { 168, 63, 129, 16 } },          /* metadata of one cloud, on a public address */
	{ 4, 16, { 169, 254 } },                  /* link-local, RFC 3927; metadata of most clouds */
	{ 4, 12, { 172, 16 } },                   /* private */
	{ 4, 24, { 192, 0, 0 } },                 /* IETF protocol assignments */
	{ 4, 16, { 192, 168 } },                  /* private */
	{ 4, 15, { 198, 18 } },                   /* benchmarking, RFC 2544 */
	{ 4, 4, { 224 } },                        /* multicast */
	{ 4, 4, { 240 } },                        /* reserved, broadcast */
	{ 6, 96, { 0 } },                         /* unspecified, loopback, IPv4-compatible */
	{ 6, 48, { 0, 0x64, 0xff, 0x9b, 0, 1 } }, /* NAT64 of the local network, RFC 8215 */
	{ 6, 64, { 0x01 } },                      /* discard-only, RFC 6666 */
	{ 6, 32, { 0x20, 0x01 } },                /* Teredo: carries an IPv4 address */
	{ 6, 7, { 0xfc } },                       /* unique-local, RFC 4193; metadata of one cloud */
	{ 6, 10, { 0xfe, 0x80 } },                /* link-local */
	{ 6, 10, { 0xfe, 0xc0 } },                /* site-local, RFC 3879 */
	{ 6, 8, { 0xff } },                       /* multicast */
};

/* Ranges that lead to the IPv4 address inside them, and where in the address it stands. */
static const struct {
	struct cidr range;
	size_t at;
} addr_carriers[] = {
	{ { 6, 96, { 0, 0x64, 0xff, 0x9b } }, 12 }, /* NAT64, RFC 6052 */
	{ { 6, 16, { 0x20, 0x02 } }, 2 },           /* 6to4, RFC 3056 */
};

bool addr_is_special(const struct addr *a)
{
	struct sockaddr_in inner = { .sin_family = AF_INET };
	struct addr v4;

	if (a->len == 0 || cidr_match_any(addr_special, ARRAY_LEN(addr_special), a))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(addr_carriers); i++) {
		if (!cidr_match(&addr_carriers[i].range, a))
			continue;
		memcpy(&inner.sin_addr, a->v6.sin6_addr.s6_addr + addr_carriers[i].at, 4);
		addr_from_sockaddr(&v4, (const struct sockaddr *)&inner, sizeof inner);
		return cidr_match_any(addr_special, ARRAY_LEN(addr_special), &v4);
	}
	return false;
}

static bool inside_special(const struct cidr *c)
{
	for (size_t i = 0; i < ARRAY_LEN(addr_special); i++)
		if (cidr_covers(&addr_special[i], c))
			return true;
	return false;
}

bool cidr_is_special(const struct cidr *c)
{
	for (size_t i = 0; i < ARRAY_LEN(addr_carriers); i++) {
		const size_t at = addr_carriers[i].at;
		struct cidr inner = { .family = 4 };

		if (c->bits < at * 8 || !cidr_covers(&addr_carriers[i].range, c))
			continue;
		inner.bits = (uint8_t)MIN(c->bits - at * 8, 32);
		memcpy(inner.ip, c->ip + at, 4);
		return inside_special(&inner);
	}
	return inside_special(c);
}
