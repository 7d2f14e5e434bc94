/*
 * flow - the bytes of one direction of a session, from one socket to the other.
 *
 *   OPEN --the source ended--> ENDING --all delivered, the far side was told--> DONE
 *
 * Small messages are copied through the worker's shared buffer. A flow that has moved FLOW_SPLICE_AFTER in large reads
 * splices: the bytes stay in the kernel, in a pipe that is lent only while bytes are in it. It goes back to copying
 * when they come in small pieces again. Nothing else is held for a flow unless the far side does not take it.
 *
 * Backpressure: nothing is read while the far side does not take more, so the kernel's window closes for the sender. What was read
 * before that is bounded for all flows of a worker, of which an owner has its share (stock.h): beyond it flows look at
 * the bytes where they lie, send them from there, and take out what has gone. A far side that is slow keeps no pipe for long when
 * another flow wants one.
 *
 * Owner: a session. Thread: the worker's.
 */
#ifndef PORTWAY_UV_FLOW_H
#define PORTWAY_UV_FLOW_H

#include "common/base/list.h"
#include "common/net/allowance.h"
#include "common/net/rate.h"
#include "common/uv/side.h"
#include "common/uv/wheel.h"

#define FLOW_SPLICE_AFTER (128 * 1024)
#define FLOW_SHARED       2 /* the clients at both ends */

struct pipe;
struct stock;
struct worker;

enum flow_state { FLOW_OPEN, FLOW_ENDING, FLOW_DONE };

struct flow {
	uint64_t bytes;    /* that the far side's kernel took */
	struct pipe *pipe; /* lent: `held` bytes are in it */
	uint8_t *kept;     /* or here, from kept_at on */
	uint32_t held, kept_at;
	uint32_t large_run; /* bytes that came in large reads, one after the other */
	uint8_t small_run;  /* splices in a row that moved little */
	uint8_t state;      /* enum flow_state */
	bool splicing;
	bool more;             /* what is handed over is followed by more at once */
	struct list throttled; /* in the way's list */
};

/* What flows in one direction share: of a mapping on one worker, say. */
struct flow_way {
	struct worker *worker;
	unsigned which;         /* of the owner's ways */
	uint64_t *const *cells; /* the owner's counters, wherever they are at the moment; */
	size_t cell;            /* this one is ours, and nobody else writes it */
	struct rate *rate;
	struct rate *shared[FLOW_SHARED]; /* of larger things than the owner, which holds them; NULL: none */
	struct rate_slice slice, shared_slice[FLOW_SHARED];
	struct allowance *allowance; /* that bytes are taken from; NULL: none */
	struct list throttled;       /* flows that wait for the rate */
	struct timer refill;
	struct stock *stock; /* the owner's, of both directions */
};

/* How long a throttled flow of this way has to wait. */
uint64_t flow_way_wait_ns(struct flow_way *way);

enum flow_result {
	FLOW_MOVED,     /* inside flow.c: go on */
	FLOW_BLOCKED,   /* until an event of either side */
	FLOW_BUSY,      /* its turn is over, there is more */
	FLOW_THROTTLED, /* nothing may pass now */
	FLOW_ENDED,     /* the source ended and everything is delivered */
	FLOW_BROKEN,    /* a socket failed, or memory */
};

void flow_init(struct flow *f);
/* Gives back what it held; bytes in it are lost. */
void flow_fini(struct flow *f, struct flow_way *way);
/* Moves what can be moved, at most a turn's worth. */
enum flow_result flow_pump(struct flow *f, struct flow_way *way, struct side *from, struct side *to);

#endif
