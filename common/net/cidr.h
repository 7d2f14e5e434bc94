/*
 * cidr - address ranges (RFC 4632): parse, print, match a list.
 */
#ifndef PORTWAY_NET_CIDR_H
#define PORTWAY_NET_CIDR_H

#include "common/base/macros.h"
#include "common/net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cidr {
	uint8_t family; /* 4 or 6 */
	uint8_t bits;   /* prefix length */
	uint8_t ip[16]; /* network order, host bits zero; IPv4 in the first four */
};
#define CIDR_STRLEN 56

/* "10.0.0.0/8", "2001:db8::/32", a bare address is /32 or /128. Host bits set is an error, as a likely typing slip. */
int cidr_parse(struct cidr *c, const char *s) MUST_CHECK;
/* Family, prefix length and host bits are as above; for ranges that came over the wire. */
bool cidr_is_valid(const struct cidr *c);
void cidr_print(const struct cidr *c, char dst[CIDR_STRLEN]);
bool cidr_match(const struct cidr *c, const struct addr *a);
/* Any of n matches; n == 0 answers false. */
bool cidr_match_any(const struct cidr *list, size_t n, const struct addr *a);
/* Every address of narrow is in wide. */
bool cidr_covers(const struct cidr *wide, const struct cidr *narrow);
/* Every address of it is special (addr_is_special): a grant that means private space, and nothing else. */
bool cidr_is_special(const struct cidr *c);

#endif
