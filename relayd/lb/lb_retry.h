/*
 * lb_retry - a budget for retries: a share of the requests, and a few a second besides. When a pool fails as a whole, retries
 * end after the budget instead of doubling the load on it.
 *
 * Owner: a worker, for a pool. Thread: its worker.
 */
#ifndef PORTWAY_RELAYD_LB_LB_RETRY_H
#define PORTWAY_RELAYD_LB_LB_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct lb_retry {
	uint32_t percent;    /* of requests that may be tried again */
	uint32_t per_second; /* besides */
	uint64_t held;       /* hundredths of a retry */
	uint64_t last_ns;
};

#define LB_RETRY_SECONDS 10 /* what is not used is kept for so long, at the rate of per_second or of 100 requests */

static inline uint64_t lb_retry_most(const struct lb_retry *r)
{
	return LB_RETRY_SECONDS * ((uint64_t)r->per_second * 100 + (uint64_t)r->percent * 100);
}

static inline void lb_retry_init(struct lb_retry *r, uint32_t percent, uint32_t per_second, uint64_t now_ns)
{
	*r = (struct lb_retry){
		.percent = percent, .per_second = per_second, .held = (uint64_t)per_second * 100, .last_ns = now_ns
	};
}

/* A request was sent for the first time. */
static inline void lb_retry_request(struct lb_retry *r)
{
	const uint64_t most = lb_retry_most(r);

	r->held = r->held + r->percent < most ? r->held + r->percent : most;
}

/* Whether one may be sent again; that is taken from the budget. */
static inline bool lb_retry_take(struct lb_retry *r, uint64_t now_ns)
{
	const uint64_t most = lb_retry_most(r), passed = now_ns > r->last_ns ? now_ns - r->last_ns : 0;
	const uint64_t ms = passed / 1000000 < LB_RETRY_SECONDS * 1000 ? passed / 1000000 : LB_RETRY_SECONDS * 1000;

	if (ms > 0 && r->per_second > 0) {
		r->held += ms * r->per_second / 10;
		r->last_ns = now_ns;
	}
	r->held = r->held < most ? r->held : most;
	if (r->held < 100)
		return false;
	r->held -= 100;
	return true;
}

#endif
