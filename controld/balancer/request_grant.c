#include "controld/balancer/request_grant.h"

#include "common/base/str.h"
#include "controld/balancer/tenant_month.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/placement.h"

#include <string.h>

#define FORGET_MS INT64_C(3600000) /* a relay that was not heard of for so long holds nothing any more */

enum { SQL_LIMIT, SQL_REACHES, SQL_HELD, SQL_SAVE, SQL_FORGET, SQL_ERASE };
static const char *const sql[] = {
	[SQL_LIMIT] =
		"SELECT max_requests_per_month, created_ms FROM tenants WHERE id = ?1 AND max_requests_per_month > 0",
	[SQL_REACHES] =
		"SELECT 1 FROM lb_routes r WHERE r.tenant_id = ?1 AND " PLACEMENT_REACHES("r.id", "?2") " LIMIT 1",
	[SQL_HELD] = "SELECT coalesce(sum(CASE WHEN held > settled THEN held - settled ELSE 0 END), 0) FROM "
		     "request_grants WHERE tenant_id = ?1 AND NOT (node_id = ?2 AND boot = ?3)",
	[SQL_SAVE] = "INSERT INTO request_grants (tenant_id, node_id, boot, held, settled, updated_ms) VALUES (?1, ?2, "
		     "?3, ?4, ?5, ?6) ON CONFLICT (tenant_id, node_id, boot) DO UPDATE SET held = excluded.held, "
		     "settled = excluded.settled, updated_ms = excluded.updated_ms",
	[SQL_FORGET] = "DELETE FROM request_grants WHERE tenant_id = ?1 AND updated_ms < ?2",
	[SQL_ERASE] = "DELETE FROM request_grants WHERE tenant_id = ?1",
};
const struct sql_table request_grant_sql = { "request_grant", sql, ARRAY_LEN(sql) };

struct account {
	int64_t limit, created_ms, held_elsewhere;
	struct tenant_month month;
};

static int read_limit(struct db *tx, const struct request_ask *ask, struct account *a, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_LIMIT], e, bind_s(ask->item->account)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		a->limit = query_int(q, 0);
		a->created_ms = query_int(q, 1);
	}
	query_end(q);
	if (rc != 1)
		return rc;
	if (db_query(tx, &q, sql[SQL_REACHES], e, bind_s(ask->item->account), bind_s(ask->node_id)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

static int read_held(struct db *tx, const struct request_ask *ask, struct account *a, struct err *e)
{
	const char *id = ask->item->account;
	struct query *q;
	int rc;

	if (db_exec(tx, sql[SQL_FORGET], e, bind_s(id), bind_i(ask->now_ms - FORGET_MS)) < 0 ||
		db_query(tx, &q, sql[SQL_HELD], e, bind_s(id), bind_s(ask->node_id), bind_s(ask->boot)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		a->held_elsewhere = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* Until somebody has written down where the month began, it has begun with nothing used. */
static int64_t used(const struct account *a)
{
	return a->month.begun || a->created_ms >= a->month.start_ms ? MAX(a->month.requests, 0) : 0;
}

static int64_t slice(int64_t left)
{
	return left <= 0 ? 0 : MIN(left, MAX(MIN(left / 8, REQUEST_SLICE_MAX), REQUEST_SLICE_MIN));
}

int request_grant(struct db *tx, const struct request_ask *ask, struct grant_item *out, struct err *e)
{
	const struct spend_item *s = ask->item;
	const int64_t held = (int64_t)s->held, settled = MIN((int64_t)s->settled, held);
	struct account a = { .limit = 0 };
	int64_t left, more;
	const int rc = read_limit(tx, ask, &a, e);

	if (rc != 1)
		return rc;
	if (tenant_month_read(tx, s->account, ask->now_ms, &a.month, e) != 0 || read_held(tx, ask, &a, e) != 0)
		return -1;
	left = a.limit - used(&a) - a.held_elsewhere - (held - settled);
	more = s->wants ? slice(left) : 0;
	*out = (struct grant_item){
		.limit = (uint64_t)(held + more), .used_up = s->wants && more == 0, .resets_ms = a.month.end_ms
	};
	str_copy(out->account, sizeof out->account, s->account);
	return db_exec(tx, sql[SQL_SAVE], e, bind_s(s->account), bind_s(ask->node_id), bind_s(ask->boot),
		       bind_i(held + more), bind_i(settled), bind_i(ask->now_ms)) < 0
	               ? -1
	               : 1;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit;
	(void)position;
	*n = 0;
	return o->tenant && db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id)) < 0 ? -1 : 0;
}

const struct erasure request_grant_erasure = { "request_grant", "request_grants", erase };
