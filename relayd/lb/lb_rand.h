/*
 * lb_rand - a seeded generator for choices that need not be secret (xorshift64*; one multiplication a number).
 *
 * Owner: a worker. The same seed makes the same choices: simulations and tests rest on that.
 */
#ifndef PORTWAY_RELAYD_LB_LB_RAND_H
#define PORTWAY_RELAYD_LB_LB_RAND_H

#include <stdint.h>

struct lb_rand {
	uint64_t state; /* never 0 */
};

static inline void lb_rand_init(struct lb_rand *r, uint64_t seed)
{
	r->state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static inline uint64_t lb_rand_next(struct lb_rand *r)
{
	uint64_t x = r->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	r->state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* In [0, n), by multiplication: no division, and no bias that a choice could feel. */
static inline uint32_t lb_rand_below(struct lb_rand *r, uint32_t n)
{
	return (uint32_t)((lb_rand_next(r) >> 32) * n >> 32);
}

#endif
