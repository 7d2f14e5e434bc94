/*
 * upstream - one target of a pool: what was configured, and what all workers know about it.
 *
 * Owner:  the pool's object; workers borrow it as long as they hold the pool.
 * Thread: what is configured is changed by the control thread (upstream_reconfigure()), while workers still choose by tables of
 *         before. What is known is atomics, each right by itself and read as it comes: a choice made
 *         on a value that has just changed is a little worse, never wrong. The atomics begin a
 *         cache line, so that two targets do not disturb each other: aligned_alloc(), not malloc().
 */
#ifndef PORTWAY_RELAYD_LB_UPSTREAM_H
#define PORTWAY_RELAYD_LB_UPSTREAM_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UPSTREAM_WEIGHT_MAX 1000

struct upstream_conf {
	uint64_t key; /* says which one it is in cookies and tables of hashes; the same on every relay and for ever */
	uint32_t weight;        /* 0: drains. At most UPSTREAM_WEIGHT_MAX */
	uint32_t max_in_flight; /* 0: no limit */
	uint64_t slow_start_ns; /* after it has come up; 0: none */
	uint8_t tier;           /* 0: nearest region; more: further away */
	bool backup;            /* for when no other is up */
};

struct upstream {
	struct upstream_conf conf;
	/* atomics */
	uint32_t in_flight __attribute__((aligned(64)));
	uint32_t down;          /* bits: UPSTREAM_* */
	uint64_t up_since_ns;   /* slow start counts from here; 0: long ago */
	uint64_t latency_ns;    /* peak-sensitive mean, 0: not known yet */
	uint64_t latency_at_ns; /* when it was updated */
	uint32_t failed_in_row;
	uint32_t ejections;         /* how often in a row: the next one is longer */
	uint32_t answers, failures; /* since the last look at success rates */
	uint64_t ejected_until_ns;
};

#define UPSTREAM_UNHEALTHY 1u /* active checks say so */
#define UPSTREAM_EJECTED   2u /* its answers say so */

void upstream_init(struct upstream *u, const struct upstream_conf *conf);
/* All but the key; sets and pools that it is in are made anew afterwards. */
void upstream_reconfigure(struct upstream *u, const struct upstream_conf *conf);

/* For workers. */
static inline uint32_t upstream_configured_weight(const struct upstream *u)
{
	return __atomic_load_n(&u->conf.weight, __ATOMIC_RELAXED);
}
static inline uint32_t upstream_max_in_flight(const struct upstream *u)
{
	return __atomic_load_n(&u->conf.max_in_flight, __ATOMIC_RELAXED);
}
static inline uint64_t upstream_slow_start_ns(const struct upstream *u)
{
	return __atomic_load_n(&u->conf.slow_start_ns, __ATOMIC_RELAXED);
}

static inline uint32_t upstream_in_flight(const struct upstream *u)
{
	return __atomic_load_n(&u->in_flight, __ATOMIC_RELAXED);
}

static inline bool upstream_is_up(const struct upstream *u)
{
	return __atomic_load_n(&u->down, __ATOMIC_RELAXED) == 0;
}

/* Takes one of its places; false if all are taken. */
bool upstream_acquire(struct upstream *u) MUST_CHECK;
void upstream_release(struct upstream *u);
/* Sets or clears a reason to be down. True if it went up or down by that; it starts slowly when it comes up. */
bool upstream_set_down(struct upstream *u, uint32_t reason, bool down, uint64_t now_ns);

/*
 * Weight now, times 256: grows from a tenth to all of it within the slow start. What it is multiplied with stays below
 * 2^64: in-flight counts are 32 bits.
 */
uint64_t upstream_weight(const struct upstream *u, uint64_t now_ns);
/*
 * A latency was seen. Rises at once, falls with time (10 s to a third): a target that has become slow is left alone at
 * once, and one that has become fast is tried again carefully.
 */
void upstream_observe(struct upstream *u, uint64_t latency_ns, uint64_t now_ns);
/* What is expected of it now; 0 if nothing was ever seen. */
uint64_t upstream_latency(const struct upstream *u, uint64_t now_ns);

#endif
