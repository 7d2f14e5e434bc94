/*
 * produce - an answer that is made piece by piece: however long it is, one piece of it is in memory.
 *
 *	worker: next() makes a piece --> loop: written --> the client's kernel took it --> worker: next() ... --> the end
 *
 * ops->next() is a plain blocking function on a worker of the slow lane, which is free for others between two pieces. A
 * client that does not take a piece within http.write_timeout is cut off. An answer that cannot be finished is cut off as
 * well, without the end that its encoding has: who reads it sees that it is not whole.
 *
 * Owner:  the server, once reply_produce() gave 0; ops->free() is then called once, by whichever thread is last.
 * Thread: any worker.
 */
#ifndef PORTWAY_CONTROLD_REST_PRODUCE_H
#define PORTWAY_CONTROLD_REST_PRODUCE_H

#include "common/base/macros.h"

#include <stdbool.h>

struct buf;
struct err;
struct reply;

#define PRODUCE_PIECE     (256 * 1024)  /* bytes that a piece should have, about */
#define PRODUCE_PIECE_MAX (1024 * 1024) /* bytes; a longer one is an error */
#define PRODUCE_MAX       16            /* answers that are made like that at once; more are refused with 503 */

struct produce_ops {
	/* Appends the next piece to out, which is empty. *more: there is another one behind it, perhaps. -1: cut it off. */
	int (*next)(void *state, struct buf *out, bool *more, struct err *e);
	void (*free)(void *state);
};

/* 0: the handler returns 0, too, and state is ours. -1: ERR_OVERLOADED, ERR_NOMEM; it stays the caller's. */
int reply_produce(struct reply *rp, const char *content_type, const struct produce_ops *ops, void *state,
	struct err *e) MUST_CHECK;

#endif
