/*
 * tenant_month - what a tenant's routes and mappings passed in this month: its totals, less what they were when the month began.
 *
 * Months are UTC's. A row says what a total was then; who came since began with nothing.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_TENANT_MONTH_H
#define PORTWAY_CONTROLD_BALANCER_TENANT_MONTH_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"
#include "controld/tunnels/traffic.h"

#include <stdbool.h>
#include <stdint.h>

struct tenant_month {
	int64_t start_ms, end_ms;
	bool begun; /* it was written down what the totals were; else what follows is of all time */
	int64_t requests, bytes_in, bytes_out;
	struct traffic total; /* of all time */
};

int tenant_month_read(
	struct db *db, const char *tenant_id, int64_t now_ms, struct tenant_month *out, struct err *e) MUST_CHECK;
/* Writes down what the totals are, of everybody whose month has no beginning yet: about every minute. */
int tenant_month_begin(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table tenant_month_sql;
extern const struct erasure tenant_month_erasure;

#endif
