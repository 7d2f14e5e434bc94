/*
 * rest_metrics - what the HTTP server counts. One registry of its own, printed by /metrics beside the others.
 *
 * Thread: loop, but for what metrics.h makes safe anyway.
 */
#ifndef PORTWAY_CONTROLD_REST_REST_METRICS_H
#define PORTWAY_CONTROLD_REST_REST_METRICS_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct metrics;
struct pool_stats;
struct rest_metrics;
struct router_entry;

int rest_metrics_new(struct rest_metrics **out, struct err *e) MUST_CHECK;
void rest_metrics_free(struct rest_metrics *m);
struct metrics *rest_metrics_registry(struct rest_metrics *m);

/* One answered request; entry NULL: no route took it. */
void rest_metrics_request(
	struct rest_metrics *m, const struct router_entry *entry, const char *method, int status, uint64_t duration_ns);
void rest_metrics_in_flight(struct rest_metrics *m, int by);
void rest_metrics_conns(struct rest_metrics *m, size_t now);
void rest_metrics_conn_refused(struct rest_metrics *m, const char *reason);
/* requests: "rate", "row_rate", "plan", "queue", "malformed", "scope", "long_answers" */
void rest_metrics_refused(struct rest_metrics *m, const char *reason);
void rest_metrics_cut(struct rest_metrics *m);                /* an answer that could not be finished */
void rest_metrics_long(struct rest_metrics *m, unsigned now); /* answers that are made piece by piece */
void rest_metrics_lane(struct rest_metrics *m, const char *lane, const struct pool_stats *stats);
void rest_metrics_parked(struct rest_metrics *m, size_t now, uint64_t full);
void rest_metrics_lag(struct rest_metrics *m, uint64_t lag_us);
/* Once a second, for http_requests_per_second. */
void rest_metrics_second(struct rest_metrics *m);

#endif
