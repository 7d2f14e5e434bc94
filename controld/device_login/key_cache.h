/*
 * key_cache - the keys that a service signs with, kept for an hour, and fetched at once when a token names another one: at most
 * once in KEY_CACHE_AGAIN_MS, however many such tokens come. When fetching fails the last good set stays.
 *
 * Owner: whoever made it. Thread: any; one fetches, the others wait for him.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_KEY_CACHE_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_KEY_CACHE_H

#include "common/base/macros.h"
#include "controld/device_login/jwks.h"

#include <stdint.h>

struct err;
struct key_cache;

#define KEY_CACHE_FRESH_MS (60 * 60 * 1000)
#define KEY_CACHE_AGAIN_MS 30000

struct key_cache_conf {
	int (*fetch)(void *self, struct jwks *out, struct err *e); /* may wait; has a time-out of its own */
	void *self;
	uint64_t (*now_ms)(void); /* monotonic */
};

int key_cache_new(struct key_cache **out, const struct key_cache_conf *conf, struct err *e) MUST_CHECK;
void key_cache_free(struct key_cache *c);
/* Another service: nothing that was fetched counts. */
void key_cache_forget(struct key_cache *c);
/* A token checked against the set: as jwks_check(). ERR_UNAVAILABLE when there is no set and none can be fetched. */
int key_cache_check(struct key_cache *c, const char *token, int64_t now_s, json_t **claims, struct err *e) MUST_CHECK;

struct key_cache_stats {
	uint64_t hits, fetches, failures, unknown; /* unknown: tokens of a key that the set has not */
};
void key_cache_stats(struct key_cache *c, struct key_cache_stats *out);

#endif
