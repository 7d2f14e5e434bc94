/*
 * client_gate - what all mappings of one client share on this relay: its rates and how many connections it has.
 *
 * Owner:  references: the agents service, and each lane and session that serves the client.
 * Thread: any (atomic); client_gate_set(): control thread.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_CLIENT_GATE_H
#define PORTWAY_RELAYD_TUNNEL_CLIENT_GATE_H

#include "common/base/macros.h"
#include "common/net/rate.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct client_conf;

struct client_gate {
	char id[PROTO_ID_SIZE];
	struct rate rate[2]; /* to the agent, from the agent */
	uint32_t max;        /* connections; atomic; 0: no limit */
	uint32_t now;        /* atomic */
	unsigned refs;       /* atomic */
};

/* NULL: out of memory. Without limits until they are set. */
struct client_gate *client_gate_new(const char *id);
struct client_gate *client_gate_ref(struct client_gate *g);
void client_gate_unref(struct client_gate *g); /* NULL is fine */
void client_gate_set(struct client_gate *g, const struct client_conf *conf, uint64_t now_ns);
/* One more connection, if it may be. */
bool client_gate_enter(struct client_gate *g) MUST_CHECK;
void client_gate_leave(struct client_gate *g);

#endif
