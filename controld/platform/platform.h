/*
 * platform - what system administrators set for all tenants: settings (some of them secret) and repositories.
 *
 * Values are read from the database when they are wanted, so what one controld changes holds on all of them at once.
 *
 * Owner:  app. Thread: any.
 * Ends:   platform_free(), after the server and those who ask.
 */
#ifndef PORTWAY_CONTROLD_PLATFORM_PLATFORM_H
#define PORTWAY_CONTROLD_PLATFORM_PLATFORM_H

#include "common/base/macros.h"
#include "controld/platform/setting.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct outbound;
struct platform;

struct platform_conf {
	struct store *store;
	struct outbound *outbound; /* says which URLs are open */
	/* What the settings file and the environment say, by key: texts are borrowed, NULL counts as "". */
	const char *text[SETTING_KEYS_N];
	int64_t number[SETTING_KEYS_N];
};

int platform_new(struct platform **out, const struct platform_conf *conf, struct err *e) MUST_CHECK;
void platform_free(struct platform *p);

/* The value in force, "" for none; a secret is in the clear: to be wiped. ERR_TOO_LARGE when it does not fit. */
int platform_text(struct platform *p, enum setting_key k, char *dst, size_t size, struct err *e) MUST_CHECK;
/* Of a number; of a bool 0 or 1. */
int platform_number(struct platform *p, enum setting_key k, int64_t *out, struct err *e) MUST_CHECK;

/* For routes of others that show or change some of them: {"success": true, "data": {...}} of these n keys. */
int platform_reply(struct platform *p, const enum setting_key *keys, size_t n, const char *message, struct reply *rp,
	struct err *e) MUST_CHECK;
/* Takes over the members of the request's body, all of which are such keys. */
int platform_change(struct platform *p, struct request *rq, struct err *e) MUST_CHECK;

struct route_table platform_routes(struct platform *p);

extern const struct sql_table *const platform_sql[];
extern const size_t platform_sql_n;

#endif
