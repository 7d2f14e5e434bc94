/*
 * request_rate - how many requests a second a route takes, of all or of each key (a source address, a field's value).
 *
 * A key has one number, the time at which it will have used up nothing (GCRA): a request moves it by 1/rate, and is refused if
 * that is more than the burst ahead of now. The table is of a fixed size; in a full set the key that is furthest back
 * loses its place, which is a fresh burst for it and never a refusal.
 *
 * Owner:  references: the route's filters of this and of the next configuration, so that a change of a route gives nobody a new
 *         burst. Thread: any, without a lock. Two keys with one 64-bit hash share a limit.
 */
#ifndef PORTWAY_RELAYD_FILTER_REQUEST_RATE_H
#define PORTWAY_RELAYD_FILTER_REQUEST_RATE_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct request_rate;

/* keyed: there are many keys; else one for all. NULL: no memory. */
struct request_rate *request_rate_new(bool keyed) MUST_CHECK;
struct request_rate *request_rate_ref(struct request_rate *r);
void request_rate_unref(struct request_rate *r); /* NULL is fine */
bool request_rate_is_keyed(const struct request_rate *r);
/*
 * One request. 0: it may pass; else nanoseconds until one of that key may. burst: how many may come at once, at least 1.
 */
uint64_t request_rate_take(struct request_rate *r, uint64_t key, uint32_t per_second, uint32_t burst, uint64_t now_ns);

#endif
