/*
 * quota_grant - slices of users' quotas, given to relays: the row of the table, its SQL, and how much each may have.
 *
 * What is left of a quota is what was not used less what relays hold and have not settled. Of that a relay gets an eighth, so that
 * little lies idle elsewhere when it comes to an end. A relay that was not heard of for an hour holds nothing any more: it may
 * pass what it had, and no more, so a quota is exceeded by that at most.
 *
 * Thread: any; changes inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_QUOTA_GRANT_H
#define PORTWAY_CONTROLD_TUNNELS_QUOTA_GRANT_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/spend.h"

#define QUOTA_SLICE_MAX (INT64_C(16) << 20) /* that a relay is given at once, */
#define QUOTA_SLICE_MIN (INT64_C(64) << 10) /* and the least, but for the last one */

int quota_grant(struct db *tx, const char *node_id, const struct msg_spend *m, int64_t now_ms, struct msg_grant *out,
	struct err *e) MUST_CHECK;

extern const struct sql_table quota_grant_sql;
struct erasure;
extern const struct erasure quota_grant_erasure;

#endif
