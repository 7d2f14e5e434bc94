/*
 * lb_set - targets among which one algorithm chooses, with the tables that it needs; and what an algorithm is.
 *
 * Owner:  a pool; immutable after lb_set_init(), shared by the workers. A worker's own part of an algorithm (where a round
 *         stands, which probes it has) is a piece of memory of `worker_size` that only it touches.
 * Thread: any.
 */
#ifndef PORTWAY_RELAYD_LB_LB_SET_H
#define PORTWAY_RELAYD_LB_LB_SET_H

#include "relayd/lb/lb_rand.h"
#include "relayd/lb/upstream.h"

#define LB_TRIED_MAX 4

/* One choice. */
struct lb_ask {
	uint64_t now_ns;
	uint64_t key;         /* hash of the source address, a header, ...; for algorithms that look at it */
	struct lb_rand *rand; /* the worker's */
	bool panic;           /* what is down may be chosen, too */
	uint8_t n_tried;
	const struct upstream *tried[LB_TRIED_MAX]; /* by this request, without success */
};

struct lb_set;

struct lb_algorithm {
	const char *name; /* as the API has it */
	bool uses_key;
	int (*build)(struct lb_set *s);                /* may be NULL; -1: no memory */
	size_t (*worker_size)(const struct lb_set *s); /* may be NULL: none */
	void (*worker_init)(void *own, const struct lb_set *s, struct lb_rand *r);
	/* NULL if it found none: the caller looks at all of them then. */
	struct upstream *(*pick)(const struct lb_set *s, void *own, const struct lb_ask *ask);
};

extern const struct lb_algorithm lb_rotate_round_robin, lb_rotate_weighted, lb_least_connections, lb_two_random,
	lb_two_peak_ewma, lb_hash_ip, lb_hash_consistent, lb_adaptive_ai;
/* NULL for a name that there is not. */
const struct lb_algorithm *lb_algorithm_find(const char *name);

struct lb_set {
	const struct lb_algorithm *algorithm;
	struct upstream **ups; /* those with weight only */
	uint32_t n;
	uint64_t weight; /* of all */
	bool even;       /* all weigh the same */
	/* of a weighted draw in one step (Walker's alias method): take slot i, or its alias if a draw is not below `keep` */
	struct lb_slot {
		uint32_t keep, alias;
	} * slots; /* NULL if even */
	/* of hashing (Maglev): key % table_n -> index */
	uint16_t *table;
	uint32_t table_n;
};

#define LB_SET_MAX 10000 /* targets */

/* Takes those of ups that have weight; borrows them. 0, or -1 for no memory. */
int lb_set_init(struct lb_set *s, const struct lb_algorithm *a, struct upstream *const *ups, uint32_t n) MUST_CHECK;
void lb_set_fini(struct lb_set *s); /* also of a zeroed or half-built one */
/* By weight, without regard to anything else. s->n > 0. */
struct upstream *lb_set_draw(const struct lb_set *s, struct lb_rand *r);
/* The first that can be had from a random place on. */
struct upstream *lb_set_any(const struct lb_set *s, const struct lb_ask *ask);
/* Up, with a free place, and not tried before. */
bool lb_usable(const struct upstream *u, const struct lb_ask *ask);

#endif
