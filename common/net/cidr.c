#include "common/net/cidr.h"

#include "common/base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static size_t cidr_ip_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

/* The first n bits of a and b are the same. */
static bool cidr_same_bits(const uint8_t *a, const uint8_t *b, size_t n)
{
	const uint8_t mask = (uint8_t)(0xff00 >> (n % 8));

	if (memcmp(a, b, n / 8) != 0)
		return false;
	return mask == 0 || ((a[n / 8] ^ b[n / 8]) & mask) == 0;
}

/* Every bit of ip from n on is zero. */
static bool cidr_host_bits_zero(const uint8_t ip[16], size_t n)
{
	uint8_t network[16] = { 0 };

	memcpy(network, ip, n / 8);
	if (n % 8 != 0)
		network[n / 8] = (uint8_t)(ip[n / 8] & (0xff00 >> (n % 8)));
	return memcmp(network, ip, sizeof network) == 0;
}

bool cidr_is_valid(const struct cidr *c)
{
	return (c->family == 4 || c->family == 6) && c->bits <= cidr_ip_bits(c->family) &&
	       cidr_host_bits_zero(c->ip, c->bits);
}

static void cidr_from_addr(struct cidr *c, const struct addr *a)
{
	if (a->sa.sa_family == AF_INET) {
		c->family = 4;
		memcpy(c->ip, &a->v4.sin_addr, 4);
	} else {
		c->family = 6;
		memcpy(c->ip, &a->v6.sin6_addr, 16);
	}
	c->bits = (uint8_t)cidr_ip_bits(c->family);
}

int cidr_parse(struct cidr *c, const char *s)
{
	const char *slash = strchr(s, '/');
	char ip[ADDR_STRLEN];
	struct addr a;
	uint64_t bits, first;

	memset(c, 0, sizeof *c);
	if (str_fmt(ip, sizeof ip, "%.*s", slash != NULL ? (int)MIN(slash - s, ADDR_STRLEN) : ADDR_STRLEN, s) != 0)
		return -1;
	if (strchr(ip, '%') != NULL || addr_parse_ip(&a, ip, 0) != 0)
		return -1;
	cidr_from_addr(c, &a);
	if (slash != NULL) {
		/* An IPv4-mapped address became IPv4, and its prefix length counts from there. */
		first = c->family == 4 && strchr(ip, ':') != NULL ? 96 : 0;
		if (str_to_u64(slash + 1, first, first + cidr_ip_bits(c->family), &bits) != 0)
			goto fail;
		c->bits = (uint8_t)(bits - first);
	}
	if (cidr_is_valid(c))
		return 0;
fail:
	memset(c, 0, sizeof *c);
	return -1;
}

void cidr_print(const struct cidr *c, char dst[CIDR_STRLEN])
{
	char ip[INET6_ADDRSTRLEN] = "";

	inet_ntop(c->family == 4 ? AF_INET : AF_INET6, c->ip, ip, sizeof ip);
	str_fmt(dst, CIDR_STRLEN, "%s/%u", ip, (unsigned)c->bits);
}

bool cidr_match(const struct cidr *c, const struct addr *a)
{
	if (a->len == 0)
		return false;
	if (a->sa.sa_family == AF_INET)
		return c->family == 4 && cidr_same_bits(c->ip, (const uint8_t *)&a->v4.sin_addr, c->bits);
	return c->family == 6 && cidr_same_bits(c->ip, a->v6.sin6_addr.s6_addr, c->bits);
}

bool cidr_covers(const struct cidr *wide, const struct cidr *narrow)
{
	return wide->family == narrow->family && wide->bits <= narrow->bits &&
	       cidr_same_bits(wide->ip, narrow->ip, wide->bits);
}

bool cidr_match_any(const struct cidr *list, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (cidr_match(&list[i], a))
			return true;
	return false;
}
