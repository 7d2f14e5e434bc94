/*
 * rate_limit - who may ask how often: token buckets and hourly windows by key, in a table with a limit.
 *
 * When the table is full, who was quiet longest is forgotten, which only ever favours him.
 *
 * Owner: dispatch. Thread: any (one lock inside). Time is passed in.
 */
#ifndef PORTWAY_CONTROLD_REST_RATE_LIMIT_H
#define PORTWAY_CONTROLD_REST_RATE_LIMIT_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct rate_limit;

#define RATE_LIMIT_KEY_MAX  64
#define RATE_LIMIT_WINDOW_S 3600

int rate_limit_new(struct rate_limit **out, size_t entries_max, struct err *e) MUST_CHECK;
void rate_limit_free(struct rate_limit *r);

/* Takes one token of key's bucket. 0, or the milliseconds until there is one. rate 0 never refuses. */
uint64_t rate_limit_take(struct rate_limit *r, const char *key, uint64_t rate, uint64_t burst, uint64_t now_ns);

/* The same of a bucket of so many a minute, all of which may be spent at once. */
struct rate_left {
	uint64_t wait_ms; /* 0: the token was there */
	uint64_t remaining;
	uint64_t full_ms; /* until the bucket is full again */
};
void rate_limit_take_of(
	struct rate_limit *r, const char *key, uint64_t per_minute, uint64_t now_ns, struct rate_left *out);

/* Counts one request in key's hour, which starts with its first request. */
struct rate_window {
	uint64_t limit;
	uint64_t remaining;
	int64_t reset_s; /* wall clock, seconds since 1970 */
	bool refused;
};
void rate_limit_count(struct rate_limit *r, const char *key, uint64_t per_hour, int64_t now_s, struct rate_window *out);
size_t rate_limit_entries(struct rate_limit *r);

#endif
