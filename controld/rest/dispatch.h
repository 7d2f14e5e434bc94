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

#include <stddef.h>

struct dispatch;
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
/* Drops the answers that nobody took. The connections are gone before. */
void dispatch_free(struct dispatch *d);

#endif
