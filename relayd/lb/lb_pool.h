/*
 * lb_pool - the targets of a pool in tiers, and one choice among them.
 *
 * Tier 0 is the nearest region, the next ones are further away, backups come last. A tier takes as much of the traffic as its
 * share of targets that are up allows, times the headroom: with 140 %, a region sends nobody away until less than 72 % of
 * it is up. Backups take traffic when nobody else is up at all. When less than panic_percent of all weight is up, health
 * is no longer believed: everybody with weight gets requests (panic is told, it is no accident).
 *
 * Owner:  the pool's object in a snapshot; borrows the upstreams. lb_worker is one worker's part.
 * Thread: lb_pool_refresh() by the control thread after any change of health; lb_worker_*() by its worker. No locks.
 */
#ifndef PORTWAY_RELAYD_LB_LB_POOL_H
#define PORTWAY_RELAYD_LB_LB_POOL_H

#include "relayd/lb/lb_set.h"

#define LB_TIERS_MAX 8 /* regions, and one of backups */

struct lb_pool_conf {
	const struct lb_algorithm *algorithm;
	uint32_t headroom_percent; /* 100 or more */
	uint32_t panic_percent;    /* 0: never */
};

struct lb_pool {
	struct lb_pool_conf conf;
	struct lb_set tiers[LB_TIERS_MAX];
	unsigned n_tiers;
	bool backups;             /* the last tier is of backups */
	struct upstream **by_key; /* all, sorted */
	size_t n_by_key;
	/* atomics, by lb_pool_refresh() */
	uint32_t upto[LB_TIERS_MAX]; /* of 65536: a draw below it goes to this tier or one before it */
	bool panic;
};

struct lb_worker {
	struct lb_rand rand;
	const struct lb_pool *pool;
	void *own[LB_TIERS_MAX];
};

enum lb_verdict {
	LB_CHOSEN,
	LB_FULL, /* somebody is up, but has no free place: wait, or 503 */
	LB_NONE, /* nobody is up: 503 */
};

/* Sorts ups into tiers by what their conf says (regions above LB_TIERS_MAX - 2 count as the furthest). */
int lb_pool_init(
	struct lb_pool *p, const struct lb_pool_conf *conf, struct upstream *const *ups, uint32_t n) MUST_CHECK;
void lb_pool_fini(struct lb_pool *p);
/* Shares anew. True if panic began or ended by that. */
bool lb_pool_refresh(struct lb_pool *p);
bool lb_pool_panics(const struct lb_pool *p);

int lb_worker_init(struct lb_worker *w, const struct lb_pool *p, uint64_t seed) MUST_CHECK;
void lb_worker_fini(struct lb_worker *w);
/*
 * One choice; *out has a place taken (upstream_release() gives it back). Of *ask the caller fills now_ns, key and tried.
 */
enum lb_verdict lb_worker_pick(struct lb_worker *w, struct lb_ask *ask, struct upstream **out) MUST_CHECK;
/* The one that a cookie names, if it can be had, with a place taken; for sticky sessions. */
bool lb_worker_take(struct lb_worker *w, struct lb_ask *ask, uint64_t key, struct upstream **out) MUST_CHECK;
/* For adaptive_ai (lb_adaptive.h), of the tier that takes most; NULL with other algorithms. */
struct upstream *lb_worker_probe(struct lb_worker *w, uint64_t now_ns);
void lb_worker_probed(struct lb_worker *w, struct upstream *u, uint64_t latency_ns, uint32_t others, uint64_t now_ns);
void lb_worker_waits(struct lb_worker *w, struct upstream *u, uint64_t waited_ns, uint64_t now_ns);
void lb_worker_lost(struct lb_worker *w, struct upstream *u);

#endif
