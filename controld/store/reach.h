/*
 * reach - whether a database at the other end of a network can be reached: who may try to connect, and when again.
 *
 * While it cannot, one connection at a time tries, with a growing pause between two tries; everybody else is told at
 * once, instead of each waiting for a time-out of its own. A database that stopped answering makes all connections of
 * before suspect: they belong to an older epoch and are made anew when they are next used.
 *
 * Owner:  store; the connections borrow it. Thread: any.
 */
#ifndef PORTWAY_CONTROLD_STORE_REACH_H
#define PORTWAY_CONTROLD_STORE_REACH_H

#include "common/base/macros.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

#define REACH_FIRST_MS 100 /* pause after the first failure; then twice as long each time */
#define REACH_LAST_MS  1000

struct reach {
	pthread_mutex_t lock;
	bool known; /* it was reached once; before that whoever opens the store says what is wrong */
	bool down;
	bool trying;
	unsigned epoch;
	uint64_t pause_ms;
	uint64_t next_ms; /* on the monotonic clock */
};

void reach_init(struct reach *r);
void reach_fini(struct reach *r);

/* Before connecting: 0, then reach_tell() must follow; or ERR_UNAVAILABLE at once. */
int reach_ask(struct reach *r, uint64_t now_ms, struct err *e) MUST_CHECK;
/* What came of it: NULL when the database was reached, or why not. Answers the epoch of the new connection. */
unsigned reach_tell(struct reach *r, const char *why, uint64_t now_ms);
/* A connection of this epoch waited for an answer in vain. */
void reach_silent(struct reach *r, unsigned epoch, uint64_t now_ms);
/* What a connection must have been made in to be used. */
unsigned reach_epoch(struct reach *r);

#endif
