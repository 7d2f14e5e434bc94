/*
 * rate - how often a panel may be asked: what it allows in a window, shared by all who ask it, and what it says itself.
 *
 * A panel counts in fixed windows whose beginnings nobody knows, and it counts a request somewhere between its sending and
 * its answer. So a request holds its token from its sending until one window after its answer: then no window of the
 * panel's, wherever it begins, sees more than the limit, however long requests are on their way.
 *
 * Owner:  who made it. Thread: any (one lock inside); time is passed in.
 */
#ifndef PORTWAY_CONTROLD_PANEL_RATE_H
#define PORTWAY_CONTROLD_PANEL_RATE_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;
struct rate;

#define RATE_LIMIT_MAX 100000

/* limit 0: no limit of our own; the panel's word still counts. */
int rate_new(struct rate **out, unsigned limit, uint64_t window_ms, struct err *e) MUST_CHECK;
void rate_free(struct rate *r);
/* Another limit from now on; what was sent stays counted. */
void rate_set(struct rate *r, unsigned limit, uint64_t window_ms);

/* 0: a request is to be sent now, and rate_done() to follow; else after so many milliseconds it is worth to ask again. */
uint64_t rate_take(struct rate *r, uint64_t now_ms);
/* A request was answered, or will not be. */
void rate_done(struct rate *r, uint64_t now_ms);
/* What an answer said: of how many in a window (0: nothing), how many are left (-1: nothing). */
void rate_heard(struct rate *r, uint64_t now_ms, unsigned limit, int64_t left);
/* Nothing is sent for so long: 429. */
void rate_hold(struct rate *r, uint64_t now_ms, uint64_t ms);

struct rate_state {
	unsigned limit;    /* in force: ours or the panel's, whichever is less */
	unsigned used;     /* of it, now */
	uint64_t held_ms;  /* still */
	uint64_t requests; /* since it was made */
};
void rate_state(struct rate *r, uint64_t now_ms, struct rate_state *out);

#endif
