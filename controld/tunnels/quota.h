/*
 * quota - how many bytes a user's mappings may pass in a month: the row of the table, its SQL, and where months begin.
 *
 * What was used is the user's total (traffic.h) less what it was when the month began, so nothing is counted twice. When it
 * is used up the user's mappings are off on every relay, by one logged change, until the next month begins or more is given.
 *
 * Thread: any; changes inside a logged transaction.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_QUOTA_H
#define PORTWAY_CONTROLD_TUNNELS_QUOTA_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/zone.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

#define QUOTA_RESET_DAY_MAX 31 /* a shorter month's last day stands for it */

struct quota {
	char user_id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	int64_t monthly_bytes; /* 0: none */
	int64_t reset_day;     /* of the month, 1 to QUOTA_RESET_DAY_MAX */
	char time_zone[ZONE_NAME_SIZE];
	int64_t zone_min;         /* its minutes east of Greenwich as the month began */
	int64_t base_bytes;       /* the user's total when the month began */
	int64_t start_ms, end_ms; /* of the month */
	bool exceeded;            /* and so the mappings are off */
	int64_t version, updated_ms;
	int64_t total_bytes; /* reading only: the user's total now */
};

/*
 * The month that now_ms lies in: from midnight of the reset day to that of the next one, by the clocks of the zone. A zone that
 * this machine does not know (any more) counts by the offset it had; that is logged.
 */
void quota_month(struct quota *q, int64_t now_ms);
int64_t quota_used(const struct quota *q);

/* 1 and *out; 0 and one without a limit when the user has none. */
int quota_get(struct db *db, const char *tenant_id, const char *user_id, struct quota *out, struct err *e) MUST_CHECK;
int quota_put(struct db *tx, const struct quota *q, struct err *e) MUST_CHECK;

/* Logs what was done to it. */
struct mapping_actor;
int quota_log(
	struct db *tx, const struct quota *q, const char *op, const struct mapping_actor *by, struct err *e) MUST_CHECK;

/* Quotas that are used up or whose month has ended: whether there are any, and what follows from at most `limit`. */
int quota_due(struct db *db, int64_t now_ms, bool *any, struct err *e) MUST_CHECK;
int quota_follow(struct db *tx, unsigned limit, int64_t now_ms, unsigned *n, struct err *e) MUST_CHECK;

extern const struct sql_table quota_sql;
struct erasure;
extern const struct erasure quota_erasure;

#endif
