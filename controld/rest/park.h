/*
 * park - an answer that waits for something without holding a thread.
 *
 * A handler that wants to wait calls reply_park() and returns 0. When park_wake(key) is called or the time is over, the
 * finish function runs on a worker of the row's lane, with the same request, and replies (or parks again).
 * A wake between the handler's check and the parking is not lost: the handler takes a ticket first.
 *
 * Thread: reply_park on the worker, park_wake any.
 */
#ifndef PORTWAY_CONTROLD_REST_PARK_H
#define PORTWAY_CONTROLD_REST_PARK_H

#include "common/base/err.h"

#include <stdint.h>

struct parks;
struct reply;
struct request;

typedef int (*park_fn)(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e);

/* A number that rises with every wake of this key; take it before looking at the condition. */
uint64_t park_ticket(struct parks *p, const char *key);
/* state is passed to finish and released with free_state (may be NULL) in every case. If the key was woken since
 * `ticket`, finish runs at once. deadline: milliseconds from now. */
void reply_park(struct reply *rp, const char *key, uint64_t ticket, uint64_t wait_ms, park_fn finish, void *state,
	void (*free_state)(void *));
void park_wake(struct parks *p, const char *key);

#endif
