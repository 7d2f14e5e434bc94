/*
 * visit_socket - where one mapping is listened on: a socket for each of its ports.
 *
 * Owner: the visit. Thread: the worker's.
 */
#ifndef PORTWAY_CLIENT_AGENT_VISIT_VISIT_SOCKET_H
#define PORTWAY_CLIENT_AGENT_VISIT_VISIT_SOCKET_H

#include "common/base/macros.h"
#include "common/uv/io.h"
#include "common/uv/worker.h"

#include <stdbool.h>
#include <stdint.h>

#define VISIT_BIND "127.0.0.1" /* unless the mapping names another address */

struct err;
struct visit;

struct visit_socket {
	struct io io;
	struct visit *visit;
	uint16_t port;
	struct timer pause; /* after the kernel had no descriptor left */
	struct task again;
};

struct visit_sockets {
	struct task grave;
	unsigned n;
	struct visit_socket at[];
};

/* All of them or none. ERR_PERMISSION: the agent's own settings do not let it. */
int visit_sockets_open(struct visit *v, struct err *e) MUST_CHECK;
void visit_sockets_close(struct visit *v);
bool visit_sockets_are_allowed(const struct visit *v);

#endif
