/*
 * dispatch - the life of a request between its connection and its handler.
 *
 *   loop:   route it, look at its address's rate, choose a lane
 *   worker: who asks -> may he -> his rate -> body and schema -> Idempotency-Key -> handler -> rendered answer
 *   loop:   count, log, send
 *
 * Rows of LANE_LOOP do the middle part on the loop thread. A handler that parks its answer leaves the worker; the call
 * comes back to a worker of its lane when it is woken.
 *
 * Owner: the server. Thread: dispatch_request() loop.
 */
#ifndef PORTWAY_CONTROLD_REST_DISPATCH_H
#define PORTWAY_CONTROLD_REST_DISPATCH_H

#include "common/base/macros.h"
#include "controld/rest/conns.h"
#include "controld/rest/server.h"

#include <stdbool.h>
#include <stddef.h>

struct dispatch;
struct pool;
struct rest_metrics;
struct router;

/* All borrowed. */
struct dispatch_parts {
	const struct server_conf *conf;
	struct loop *loop;
	struct store *store;
	const struct authenticator *auth;
	struct rest_metrics *metrics;
	struct router *router;
};

int dispatch_new(struct dispatch **out, const struct dispatch_parts *parts, struct err *e) MUST_CHECK;
void dispatch_set_plans(struct dispatch *d, const struct rate_plans *plans);
struct parks *dispatch_parks(struct dispatch *d);
/* conns_fn: arg is the dispatch. */
void dispatch_request(void *arg, struct conn *c, struct conn_input *in);
/* Numbers for /metrics that are read when it is asked for. */
void dispatch_collect(struct dispatch *d);
/* What is parked is finished now; nothing parks any more. */
void dispatch_drain(struct dispatch *d);
/* Waits for the workers; no handler runs any more. Waking parks is still allowed. */
void dispatch_finish(struct dispatch *d);
/* For produce.c: one more answer is made in pieces, if there is room; one less; where that is done. */
bool dispatch_may_produce(struct dispatch *d);
void dispatch_produced(struct dispatch *d);
struct loop *dispatch_loop(struct dispatch *d);
struct pool *dispatch_lane(struct dispatch *d, enum lane lane);
struct rest_metrics *dispatch_metrics(struct dispatch *d);
const struct router *dispatch_router(const struct dispatch *d); /* for request.c */
/* Drops the answers that nobody took. The connections are gone before. */
void dispatch_free(struct dispatch *d);

#endif
