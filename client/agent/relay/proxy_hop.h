/*
 * proxy_hop - from a connection to an HTTP proxy to one through it: CONNECT is sent, its answer read, the socket handed on.
 *
 * Owner: who started it, until on_done. Thread: the worker's.
 * Ends:  on_done exactly once and never inside proxy_hop_start(), or proxy_hop_cancel() before it. It frees itself.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_PROXY_HOP_H
#define PORTWAY_CLIENT_AGENT_RELAY_PROXY_HOP_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;
struct http_proxy;
struct proxy_hop;
struct worker;

struct proxy_hop_conf {
	const struct http_proxy *proxy; /* borrowed for the call only */
	const char *host;               /* where to, behind the proxy */
	uint16_t port;
	uint64_t timeout_ms;
	void (*on_done)(void *arg, int fd, const struct err *e); /* fd -1: *e says why */
	void *arg;
};

/* Takes fd in any case. NULL: out of memory; on_done is not called. */
struct proxy_hop *proxy_hop_start(struct worker *w, int fd, const struct proxy_hop_conf *conf) MUST_CHECK;
void proxy_hop_cancel(struct proxy_hop *h); /* NULL is fine */

#endif
