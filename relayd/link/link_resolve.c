#include "relayd/link/link_resolve.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_MAX 64 /* addresses of one name */

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Resolvers give the addresses in another order each time: sorted, each turn has its own. */
static size_t sort_all(const struct addrinfo *list, uint16_t port, char all[RESOLVE_MAX][ADDR_STRLEN])
{
	struct addr one;
	size_t n = 0, kept = 0;

	for (const struct addrinfo *it = list; it != NULL && n < RESOLVE_MAX; it = it->ai_next) {
		addr_from_sockaddr(&one, it->ai_addr, it->ai_addrlen);
		addr_set_port(&one, port);
		addr_print(&one, all[n++]);
	}
	qsort(all, n, sizeof all[0], compare);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !str_eq(all[kept - 1], all[i]))
			memmove(all[kept++], all[i], sizeof all[0]);
	return kept;
}

int link_resolve(const char *target, unsigned turn, char dst[ADDR_STRLEN], struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	char host[256], all[RESOLVE_MAX][ADDR_STRLEN];
	struct addrinfo *list = NULL;
	uint16_t port;
	size_t n;
	int rc;

	if (addr_split_host(target, host, sizeof host, &port) != 0)
		return err_set(e, ERR_VALIDATION, "controld", "controld: '%s' is not host:port", target);
	if ((rc = getaddrinfo(host, NULL, &hints, &list)) != 0)
		return err_set(e, ERR_UNAVAILABLE, "controld", "controld: '%s': %s", host, gai_strerror(rc));
	n = sort_all(list, port, all);
	freeaddrinfo(list);
	if (n == 0)
		return err_set(e, ERR_UNAVAILABLE, "controld", "controld: '%s' has no address", host);
	return str_copy(dst, ADDR_STRLEN, all[turn % n]);
}
