/*
 * agent_way - the way of a check to a backend that an agent dials: a stream on a link of its client, through one agent after the other.
 *
 * Owner:  a probe embeds it, with the side that becomes the stream. Thread: the worker's.
 * Ends:   agent_way_fini() at any time; the side is closed by its owner.
 */
#ifndef PORTWAY_RELAYD_HEALTH_AGENT_WAY_H
#define PORTWAY_RELAYD_HEALTH_AGENT_WAY_H

#include "common/uv/side.h"
#include "common/uv/worker.h"
#include "relayd/tunnel/agents.h"

struct err;

struct agent_way {
	struct worker *worker;
	struct agents *agents;        /* NULL: this relay takes none */
	const char *client, *backend; /* ids; borrowed, as the host */
	const char *host;
	uint16_t port;
	struct side *side;
	struct mux *link; /* that the side is a stream of */
	struct task task; /* agent_way_find() again: the owner's function */
	struct agents_tried tried;
};

/* Opens the stream on the side, whose function hears of it. 0: it will be heard of, or the task runs; -1 and *e: nobody can be asked. */
int agent_way_find(struct agent_way *y, struct err *e) MUST_CHECK;
/* An event of the side, until it is open. 1: it is; 0: later; -1 and *e. */
int agent_way_hear(struct agent_way *y, uint32_t events, struct err *e) MUST_CHECK;
void agent_way_fini(struct agent_way *y);

/* Of the side, open: how many bytes, 0: the end (or none were given), -1: when an event comes, -2: it is gone. */
ssize_t agent_way_read(struct agent_way *y, void *p, size_t n);
ssize_t agent_way_write(struct agent_way *y, const void *p, size_t n);

#endif
