/*
 * lb_queue - requests of one worker that wait for a place at a target: first come, first served, each with an end.
 *
 * Owner: a worker, for a pool; who waits embeds struct lb_waiter. Time is an argument; the worker's timer wheel calls
 * lb_queue_expired().
 */
#ifndef PORTWAY_RELAYD_LB_LB_QUEUE_H
#define PORTWAY_RELAYD_LB_LB_QUEUE_H

#include "common/base/list.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct lb_waiter {
	struct list node;
	uint64_t until_ns;
};

struct lb_queue {
	struct list waiters; /* as they came; all wait equally long, so the first one's end is the first */
	uint32_t n, max;
	uint64_t timeout_ns;
};

void lb_queue_init(struct lb_queue *q, uint32_t max, uint64_t timeout_ns);
/* False when it is full: 503 at once. */
bool lb_queue_push(struct lb_queue *q, struct lb_waiter *w, uint64_t now_ns) MUST_CHECK;
/* Who is served next, or NULL; one whose time is over is left to lb_queue_expired(). */
struct lb_waiter *lb_queue_pop(struct lb_queue *q, uint64_t now_ns);
/* Who has waited for too long, one by one, or NULL: 503. */
struct lb_waiter *lb_queue_expired(struct lb_queue *q, uint64_t now_ns);
/* The client has gone. */
void lb_queue_remove(struct lb_queue *q, struct lb_waiter *w);
/* When to call lb_queue_expired(); 0: nobody waits. */
uint64_t lb_queue_next_ns(const struct lb_queue *q);

#endif
