/*
 * notify - tells those of changes who asked for it: webhooks, from the change log.
 *
 * One thread reads the log and queues, in one transaction with its offset, a delivery for each webhook that wants the
 * change. It hands queues that are due to senders: one at a queue, so a webhook gets what happened in the order in which
 * it did, each at least once. What fails is tried again, later each time; after too many times the webhook is paused, and
 * what waits for it stays.
 *
 * Owner:  app. Thread: any.
 * Ends:   notify_stop() before outbound goes; calls that are under way are told to stop.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_NOTIFY_H
#define PORTWAY_CONTROLD_NOTIFY_NOTIFY_H

#include "common/base/macros.h"
#include "controld/rest/route.h"
#include "controld/store/reseal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct erasure;
struct metrics;
struct notify;
struct outbound;
struct sql_table;
struct store;

struct notify_conf {
	struct store *store;
	struct outbound *outbound;
	bool shared;         /* other controlds may be on the database */
	unsigned senders;    /* webhooks served at once */
	uint64_t timeout_ms; /* of one call */
	uint64_t retry_ms;   /* after the first failure; doubled up to retry_max_ms */
	uint64_t retry_max_ms;
	uint64_t attempts;    /* failures in a row that pause a webhook */
	uint64_t waiting_max; /* of one webhook; more are dropped */
	uint64_t keep_ms;     /* deliveries that have ended */
};

int notify_new(struct notify **out, const struct notify_conf *conf, struct err *e) MUST_CHECK;
int notify_start(struct notify *n, struct err *e) MUST_CHECK;
void notify_stop(struct notify *n); /* takes NULL; any number of times */
void notify_free(struct notify *n);

/* For the janitor: what is too old of the log of deliveries. */
int notify_clean(struct notify *n, int64_t now_ms, struct err *e) MUST_CHECK;
#define NOTIFY_ROUTES 3
/* The i-th table of routes. */
struct route_table notify_routes(struct notify *n, size_t i);
struct metrics *notify_metrics(struct notify *n);

extern const struct sql_table *const notify_sql[];
extern const size_t notify_sql_n;
extern const struct erasure *const notify_erasures[];
extern const size_t notify_erasures_n;
extern const struct sealed_column webhook_sealed[];
extern const size_t webhook_sealed_n;

#endif
