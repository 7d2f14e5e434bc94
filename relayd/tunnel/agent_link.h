/*
 * agent_link - one link of an agent, from its handshake to its end.
 *
 *   TLS --> HELLO is checked --> (moves to the worker that has the fewest links of this agent) --> WELCOME: takes streams
 *
 * Owner: the table of the worker that serves it. Thread: that worker's.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_AGENT_LINK_H
#define PORTWAY_RELAYD_TUNNEL_AGENT_LINK_H

#include "common/crypto/key.h"
#include "common/net/addr.h"
#include "relayd/tunnel/agent_table.h"
#include "relayd/tunnel/standing.h"

struct agent_link {
	struct tunnel_link link;
	struct agent_table *table;
	struct seat *seat; /* NULL: takes no streams */
	struct list in_table, in_seat;
	struct addr from;
	struct frame_hello hello;     /* once it is registered */
	uint8_t key[KEY_PUBLIC_SIZE]; /* that its signature was checked with */
	uint64_t again_ns;            /* when it last came with another one; 0: never */
	struct frame_hello *early;    /* what it came with then, of a key that was not known; or NULL */
	uint32_t agent;               /* the same for all links of its instance */
	struct standings standings;
	struct standings shut; /* mappings that lead from its machine, and cannot be listened on there */
	bool greeting;         /* counted in its table's n_greeting */
	bool registered;
	unsigned worker; /* that shall serve it */
	struct task move;
};

/* Takes fd in any case. */
void agent_link_open(struct agent_table *t, int fd, const struct addr *from);
/* Whether its client may still be here, with the key it came with. */
bool agent_link_may_stay(const struct agent_link *a, int64_t wall_ms);
/* Whether it may when what it was early with counts; a key that is good now is its key then. */
bool agent_link_take_early(struct agent_link *a);
/* Says why, for good or not, and closes. */
void agent_link_refuse(struct agent_link *a, uint16_t code, uint32_t retry_ms, const char *reason);
/* The same for a link that nobody needs: quietly. */
void agent_link_dismiss(struct agent_link *a, const char *reason);
/* Tells what its client's config says of links. */
void agent_link_tell_rules(struct agent_link *a);
void agent_link_go_away(struct agent_link *a, uint32_t within_ms);

#endif
