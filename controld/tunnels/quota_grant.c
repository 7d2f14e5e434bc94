#include "controld/tunnels/quota_grant.h"

#include "common/base/str.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/placement.h"

#include <string.h>

#define FORGET_MS INT64_C(3600000)

enum { SQL_QUOTA, SQL_REACHES, SQL_HELD, SQL_SAVE, SQL_FORGET, SQL_ERASE_USER, SQL_ERASE_TENANT };
static const char *const sql[] = {
	[SQL_QUOTA] = "SELECT q.monthly_bytes, q.base_bytes, q.end_ms, coalesce(t.bytes_in + t.bytes_out, 0) FROM "
		      "user_quotas q LEFT JOIN traffic t ON t.scope = 'user' AND t.id = q.user_id AND t.tenant_id = "
		      "q.tenant_id WHERE q.user_id = ?1",
	[SQL_REACHES] = "SELECT 1 FROM mappings m WHERE m.user_id = ?1 AND " PLACEMENT_REACHES("m.id", "?2") " LIMIT 1",
	[SQL_HELD] = "SELECT coalesce(sum(CASE WHEN held > settled THEN held - settled ELSE 0 END), 0) FROM "
		     "quota_grants WHERE user_id = ?1 AND NOT (node_id = ?2 AND boot = ?3)",
	[SQL_SAVE] = "INSERT INTO quota_grants (tenant_id, user_id, node_id, boot, held, settled, updated_ms) SELECT "
		     "tenant_id, user_id, ?2, ?3, CAST(?4 AS BIGINT), CAST(?5 AS BIGINT), CAST(?6 AS BIGINT) FROM "
		     "user_quotas WHERE user_id = ?1 ON CONFLICT (user_id, node_id, boot) DO UPDATE SET held = "
		     "excluded.held, settled = excluded.settled, updated_ms = excluded.updated_ms",
	[SQL_ERASE_USER] = "DELETE FROM quota_grants WHERE user_id = ?1",
	[SQL_ERASE_TENANT] = "DELETE FROM quota_grants WHERE tenant_id = ?1",
	[SQL_FORGET] = "DELETE FROM quota_grants WHERE user_id = ?1 AND updated_ms < ?2",
};
const struct sql_table quota_grant_sql = { "quota_grant", sql, ARRAY_LEN(sql) };

/* Who asks. */
struct asker {
	struct db *tx;
	const char *node, *boot;
	int64_t now_ms;
};

struct account {
	int64_t monthly, base, end_ms, total;
	int64_t held_elsewhere;
};

/* 1 and *a, 0: there is no quota (any more), or none of this relay's mappings is the user's. */
static int read_account(const struct asker *by, const char *user, struct account *a, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(by->tx, &q, sql[SQL_QUOTA], e, bind_s(user)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		a->monthly = query_int(q, 0);
		a->base = query_int(q, 1);
		a->end_ms = query_int(q, 2);
		a->total = query_int(q, 3);
	}
	query_end(q);
	if (rc != 1 || a->monthly == 0)
		return MIN(rc, 0);
	if (db_query(by->tx, &q, sql[SQL_REACHES], e, bind_s(user), bind_s(by->node)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

static int read_held(const struct asker *by, const char *user, int64_t *held, struct err *e)
{
	const int64_t since_ms = by->now_ms - FORGET_MS;
	struct query *q;
	int rc;

	if (db_exec(by->tx, sql[SQL_FORGET], e, bind_s(user), bind_i(since_ms)) < 0 ||
		db_query(by->tx, &q, sql[SQL_HELD], e, bind_s(user), bind_s(by->node), bind_s(by->boot)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*held = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* How much more, of what is left. */
static int64_t slice(int64_t left)
{
	return left <= 0 ? 0 : MIN(left, MAX(MIN(left / 8, QUOTA_SLICE_MAX), QUOTA_SLICE_MIN));
}

static int save(const struct asker *by, const char *user, int64_t held, int64_t settled, struct err *e)
{
	return MIN(db_exec(by->tx, sql[SQL_SAVE], e, bind_s(user), bind_s(by->node), bind_s(by->boot), bind_i(held),
			   bind_i(settled), bind_i(by->now_ms)),
		0);
}

static int grant_one(const struct asker *by, const struct spend_item *s, struct grant_item *out, struct err *e)
{
	const int64_t held = (int64_t)s->held, settled = MIN((int64_t)s->settled, held);
	struct account a = { .monthly = 0 };
	int64_t left, more;
	int rc = read_account(by, s->account, &a, e);

	if (rc < 0)
		return -1;
	str_copy(out->account, sizeof out->account, s->account);
	out->limit = s->held;
	if (rc == 0) { /* the mappings will be told; until then it need not wait */
		out->limit += s->wants ? (uint64_t)QUOTA_SLICE_MAX : 0;
		return 0;
	}
	if (read_held(by, s->account, &a.held_elsewhere, e) != 0)
		return -1;
	left = a.monthly - MAX(a.total - a.base, 0) - a.held_elsewhere - (held - settled);
	more = s->wants ? slice(left) : 0;
	out->limit = (uint64_t)(held + more);
	out->used_up = s->wants && more == 0;
	out->resets_ms = MAX(a.end_ms, 0);
	return save(by, s->account, held + more, settled, e);
}

int quota_grant(struct db *tx, const char *node_id, const struct msg_spend *m, int64_t now_ms, struct msg_grant *out,
	struct err *e)
{
	const struct asker by = { tx, node_id, m->boot, now_ms };

	memset(out, 0, sizeof *out);
	for (uint32_t i = 0; i < m->n; i++) {
		if (grant_one(&by, &m->items[i], &out->items[i], e) != 0)
			return -1;
		out->n++;
	}
	return 0;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit, (void)position;
	*n = 0;
	return MIN(db_exec(tx, sql[o->tenant ? SQL_ERASE_TENANT : SQL_ERASE_USER], e, bind_s(o->id)), 0);
}

const struct erasure quota_grant_erasure = { "quota_grant", "quota_grants", erase };
