/*
 * request_grant - slices of tenants' requests of a month, given to relays as quota_grant.h gives slices of users' bytes: the row of the
 * table, its SQL, and how many each may have.
 *
 * What is left of `max_requests_per_month` is what the tenant's routes have not taken in this month (tenant_month.h), less what relays hold
 * and have not settled. Of that a relay gets an eighth. An account is the tenant's id.
 *
 * Thread: any; inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_REQUEST_GRANT_H
#define PORTWAY_CONTROLD_BALANCER_REQUEST_GRANT_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/spend.h"

#define REQUEST_SLICE_MAX INT64_C(100000) /* that a relay is given at once, */
#define REQUEST_SLICE_MIN INT64_C(100)    /* and the least, but for the last one */

struct request_ask {
	const char *node_id, *boot;
	const struct spend_item *item;
	int64_t now_ms;
};

/* 1 and *out; 0: the account is no tenant that has a limit, or none of its routes is at that relay. */
int request_grant(struct db *tx, const struct request_ask *ask, struct grant_item *out, struct err *e) MUST_CHECK;

extern const struct sql_table request_grant_sql;
struct erasure;
extern const struct erasure request_grant_erasure;

#endif
