/*
 * allowance - how many bytes may pass in all, live: whoever moves bytes takes them first and gives back what did not pass.
 *
 *   done <= taken <= limit          but for a limit that was lowered meanwhile
 *
 * Owner:  what grants it. Thread: any (atomic); the limit is set by one.
 */
#ifndef PORTWAY_NET_ALLOWANCE_H
#define PORTWAY_NET_ALLOWANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct allowance {
	uint64_t limit;                      /* may be taken; grows */
	uint64_t taken;                      /* of it */
	uint64_t done;                       /* passed, and counted elsewhere before it is here */
	uint64_t low;                        /* more taken than this is told once */
	bool over;                           /* there will be no more: who waits for it need not */
	void (*on_low)(struct allowance *a); /* on the thread that takes */
};

void allowance_init(struct allowance *a, void (*on_low)(struct allowance *a));
/* How many of `want` may pass now; 0: none, or not yet. */
size_t allowance_take(struct allowance *a, size_t want);
void allowance_give(struct allowance *a, size_t n);
/* n (or, wrapped, less) of what was taken has passed. */
void allowance_count(struct allowance *a, uint64_t n);
/* What passes whole or not at all: if there is anything left it may, and may go beyond the limit by its size. */
bool allowance_spend(struct allowance *a, size_t n);
/* From now on; more taken than `low` is told (again). */
void allowance_set(struct allowance *a, uint64_t limit, uint64_t low);
void allowance_end(struct allowance *a, bool over);

static inline bool allowance_is_over(const struct allowance *a)
{
	return __atomic_load_n(&a->over, __ATOMIC_RELAXED);
}
static inline bool allowance_is_spent(const struct allowance *a)
{
	return __atomic_load_n(&a->taken, __ATOMIC_RELAXED) >= __atomic_load_n(&a->limit, __ATOMIC_RELAXED);
}
static inline uint64_t allowance_done(const struct allowance *a)
{
	return __atomic_load_n(&a->done, __ATOMIC_ACQUIRE);
}

#endif
