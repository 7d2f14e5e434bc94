#include "controld/fleet/line/source.h"

#include <string.h>

struct source source_of(const struct addr *from)
{
	struct source s = { .key = { 0 } };

	if (from->sa.sa_family == AF_INET6) {
		s.key[0] = 6;
		memcpy(s.key + 1, &from->v6.sin6_addr, 8);
	} else {
		s.key[0] = 4;
		memcpy(s.key + 1, &from->v4.sin_addr, 4);
	}
	return s;
}

bool source_is_here(const struct addr *from)
{
	if (from->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&from->v6.sin6_addr);
	return ntohl(from->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}
