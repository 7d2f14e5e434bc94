/*
 * connector - a connected socket to a host: its name is resolved anew, its addresses are tried one after the other, within one
 * deadline for all.
 *
 * Owner: who started it, until on_done. Thread: the worker's.
 * Ends:  on_done exactly once and never inside connector_start(), or connector_cancel() before it. It frees itself.
 */
#ifndef PORTWAY_UV_CONNECTOR_H
#define PORTWAY_UV_CONNECTOR_H

#include "common/base/macros.h"
#include "common/net/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct connector;
struct err;
struct worker;

#define CONNECTOR_ADDRS_MAX 16  /* of one name that are tried */
#define CONNECTOR_HOST_SIZE 256 /* a name and NUL; a longer one is not started */

struct connector_conf {
	const char *host; /* a name or an IP literal; copied */
	uint16_t port;
	int type; /* SOCK_STREAM or SOCK_DGRAM */
	uint64_t timeout_ms;
	unsigned first; /* with which address to begin, so that a second dial does not end at the first one again */
	bool (*may)(const struct addr *to, void *arg); /* asked of each address; NULL: all are fine */
	const char
		*denied; /* what is said of host:port when none was fine: "is not on the list"; NULL: the usual words */
	/* fd: nonblocking, taken over. -1: *e says why (ERR_DENIED_TARGET when no address was fine). */
	void (*on_done)(void *arg, int fd, const struct addr *to, const struct err *e);
	void *arg;
};

/* NULL: out of memory; on_done is not called. */
struct connector *connector_start(struct worker *w, const struct connector_conf *conf) MUST_CHECK;
void connector_cancel(struct connector *d); /* NULL is fine */

#endif
