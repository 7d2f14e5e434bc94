/*
 * peer - whose request is this, when proxies stand in front: X-Forwarded-For, believed from listed proxies only.
 */
#ifndef PORTWAY_CONTROLD_REST_PEER_H
#define PORTWAY_CONTROLD_REST_PEER_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "common/net/cidr.h"

#include <stddef.h>

struct err;
struct evkeyvalq;

#define PEER_PROXIES_MAX 32

struct peer_proxies {
	size_t n;
	struct cidr cidrs[PEER_PROXIES_MAX];
};

/* CIDRs by comma; NULL or "" for none. */
int peer_proxies_parse(struct peer_proxies *p, const char *list, struct err *e) MUST_CHECK;
/*
 * The client: connected itself, or the last address in X-Forwarded-For that is not one of the proxies. All lines of that name
 * count as one: a proxy may add one of its own behind those of the client. What cannot be parsed ends the walk: the last
 * good address counts.
 */
struct addr peer_client(const struct peer_proxies *p, const struct addr *connected, const struct evkeyvalq *headers);

#endif
