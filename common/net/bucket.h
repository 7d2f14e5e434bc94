/*
 * bucket - a token bucket with time passed in (no clock of its own).
 */
#ifndef PORTWAY_NET_BUCKET_H
#define PORTWAY_NET_BUCKET_H

#include <stdint.h>

struct bucket {
	uint64_t rate;    /* tokens per second; 0: no limit */
	uint64_t burst;   /* most tokens held */
	uint64_t tokens;  /* held now, in units of 1e-9 token is not needed: whole tokens */
	uint64_t rem;     /* fraction carried over, in token-nanoseconds */
	uint64_t last_ns; /* of the last refill */
};

void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns);
/* Changes the rate and keeps what is held (cut to the new burst). */
void bucket_set(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns);
/* Takes up to `want`, at least `min` or nothing; answers how many. */
uint64_t bucket_take(struct bucket *b, uint64_t want, uint64_t min, uint64_t now_ns);
void bucket_give(struct bucket *b, uint64_t n);
/* Nanoseconds until n tokens are there (0: now). */
uint64_t bucket_wait_ns(struct bucket *b, uint64_t n, uint64_t now_ns);

#endif
