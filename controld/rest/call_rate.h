/*
 * call_rate - how often a call may come: of one address, of one identity, of a tenant's plan, of a row of the route table.
 *
 * Each gives 0, or -1 with ERR_RATE_LIMITED, Retry-After in the reply and the reason counted.
 *
 * Owner: the dispatch. Thread: address loop; identity and row any worker.
 */
#ifndef PORTWAY_CONTROLD_REST_CALL_RATE_H
#define PORTWAY_CONTROLD_REST_CALL_RATE_H

#include "common/base/macros.h"
#include "controld/rest/server.h"

struct call;
struct err;
struct rate_limit;
struct rest_metrics;

struct call_rates {
	struct rate_limit *all;
	struct rate_plans plans;
	struct rest_metrics *metrics; /* borrowed */
};

/* Of its client's address, whether there is a row for the call or not; rows with ROUTE_LOGIN have a limit of their own beside it. */
int call_rate_address(struct call_rates *r, struct call *c, struct err *e) MUST_CHECK;
/* Of who asks, and of the hour of his tenant's plan. */
int call_rate_identity(struct call_rates *r, struct call *c, struct err *e) MUST_CHECK;
/* What the row says of itself (ROUTE_PER_MINUTE): known callers by who they are, the others by their address. */
int call_rate_row(struct call_rates *r, struct call *c, struct err *e) MUST_CHECK;

#endif
