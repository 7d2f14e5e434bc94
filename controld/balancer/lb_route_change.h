/*
 * lb_route_change - what belongs to every change of a route: its row, its row in the log, the pools that it brings to its group or
 * leaves there, whose traffic it is.
 *
 * Thread: inside a logged transaction. What it matches is claimed before (lb_route_claim.h).
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_ROUTE_CHANGE_H
#define PORTWAY_CONTROLD_BALANCER_LB_ROUTE_CHANGE_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/balancer/lb_route.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"

int lb_route_came(struct db *tx, struct lb_route *r, const struct lb_actor *by, struct err *e) MUST_CHECK;
int lb_route_changed(struct db *tx, const struct lb_route *before, struct lb_route *r, const char *fields,
	const struct lb_actor *by, struct err *e) MUST_CHECK;
/* Also gives up what it matched. Its traffic stays. */
int lb_route_remove(struct db *tx, struct lb_route *r, const struct lb_actor *by, struct err *e) MUST_CHECK;

/* Of a user or tenant that goes: routes first, then pools with their backends. */
extern const struct erasure lb_route_erasure, lb_pool_erasure;

#endif
