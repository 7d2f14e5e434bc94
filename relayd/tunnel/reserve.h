/*
 * reserve - links of a client that stand ready, each for one connection at a time.
 *
 * An agent is told how many to have ready on each worker while some mapping asks for them: by its transport, or because its
 * connections have lately carried much. One that a connection took comes back when that has ended, unless there are enough.
 *
 * Owner: the seat embeds it. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_RESERVE_H
#define PORTWAY_RELAYD_TUNNEL_RESERVE_H

#include "common/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct agent_link;
struct agent_table;
struct object;
struct seat;

struct reserve {
	struct list ready;  /* struct agent_link, by in_seat */
	unsigned mappings;  /* whose transport asks for it */
	uint64_t needed_ns; /* the last time that a connection would have one; 0: never */
	uint16_t told;      /* to the agents: so many for each */
};

void reserve_init(struct reserve *r);
/* A mapping comes or goes. */
void reserve_mapping(struct agent_table *t, const struct object *mapping, bool comes);
/* The number that agents should have is told to those who know another one. */
void reserve_settle(struct agent_table *t, struct seat *s);
/* To one that has just come. */
void reserve_tell(const struct seat *s, struct agent_link *a);

/* A link of this agent, out of the reserve; NULL: none is ready, and agents are told to have some. */
struct agent_link *reserve_take(struct agent_table *t, struct seat *s, uint32_t agent);
/* It is ready (again), or one too many. */
void reserve_put(struct seat *s, struct agent_link *a);
/* One that was taken, and the connection could not be opened on it: it is ready. Of any other link nothing happens. */
void reserve_recover(struct agent_link *a);

#endif
