/*
 * wheel - a hashed timer wheel: many coarse deadlines, O(1) to arm and to disarm, nothing allocated.
 *
 * Owner:  the worker; timers are embedded in what they belong to and disarmed before that is freed.
 * Thread: the worker's.
 * Units:  nanoseconds of the monotonic clock. A timer fires within WHEEL_TICK_NS after it is due; one that is more than
 *         a second away may be a quarter of a second later still, so that thousands of idle connections share a wake-up.
 */
#ifndef PORTWAY_UV_WHEEL_H
#define PORTWAY_UV_WHEEL_H

#include "common/base/list.h"

#include <stdint.h>

#define WHEEL_TICK_SHIFT 24 /* 16.8 ms */
#define WHEEL_TICK_NS    (UINT64_C(1) << WHEEL_TICK_SHIFT)
#define WHEEL_SLOTS      1024 /* 17 s around; later deadlines go round again */

struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
	struct list link;
	timer_fn on_due;
	uint64_t due; /* tick */
};

struct wheel {
	struct list slots[WHEEL_SLOTS];
	uint64_t busy[WHEEL_SLOTS / 64]; /* bit: the slot may hold a timer */
	uint64_t tick;                   /* everything due up to here has fired */
};

void wheel_init(struct wheel *w, uint64_t now_ns);
void timer_init(struct timer *t, timer_fn on_due);
/* Arms or re-arms. */
void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_ns);
void wheel_disarm(struct timer *t);
bool timer_armed(const struct timer *t);
/* Calls what is due; a callback may arm and disarm any timer, its own too. */
void wheel_advance(struct wheel *w, uint64_t now_ns);
/* When to look again; UINT64_MAX: nothing is armed. */
uint64_t wheel_next_ns(const struct wheel *w);

#endif
