/*
 * lb_route_claim - which requests a route takes, as rows: one for each of its host names and schemes, so that no two routes match the
 * very same, and that a tenant's hosts are its own.
 *
 * Thread: inside a logged transaction.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_ROUTE_CLAIM_H
#define PORTWAY_CONTROLD_BALANCER_LB_ROUTE_CLAIM_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/balancer/lb_route.h"
#include "controld/identity/identity.h"
#include "controld/store/store.h"
#include "controld/tunnels/host_name_right.h"

/* Who claims, by which rule, where: domain is that of the route's group. */
struct lb_claimant {
	const struct identity *who;
	enum host_names_by by;
	const char *domain;
};

/* before: as it was, NULL: a new route. ERR_HOST_TAKEN, ERR_ALREADY_EXISTS, ERR_FORBIDDEN. */
int lb_route_claim(struct db *tx, const struct lb_claimant *c, const struct lb_route *r, const struct lb_route *before,
	struct err *e) MUST_CHECK;
int lb_route_release(struct db *tx, const struct lb_route *r, struct err *e) MUST_CHECK;

extern const struct sql_table lb_route_claim_sql;

#endif
