#include "controld/tunnels/quota.h"

#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/mapping_change.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_MS INT64_C(60000)

#define FROM_QUOTAS                                                                                                \
	"SELECT q.user_id, q.tenant_id, q.monthly_bytes, q.reset_day, q.time_zone, q.zone_min, q.base_bytes, "     \
	"q.start_ms, "                                                                                             \
	"q.end_ms, "                                                                                               \
	"q.exceeded, q.version, q.updated_ms, coalesce(t.bytes_in + t.bytes_out, 0) FROM user_quotas q LEFT JOIN " \
	"traffic t ON t.scope = 'user' AND t.id = q.user_id AND t.tenant_id = q.tenant_id "

enum { SQL_GET, SQL_DUE, SQL_PUT, SQL_TOTAL, SQL_ERASE_USER, SQL_ERASE_TENANT };
static const char *const sql[] = {
	[SQL_GET] = FROM_QUOTAS "WHERE q.user_id = ?2 AND q.tenant_id = ?1",
	[SQL_DUE] =
		FROM_QUOTAS "WHERE q.end_ms <= ?1 OR (q.exceeded = 0 AND q.monthly_bytes > 0 AND coalesce(t.bytes_in + "
			    "t.bytes_out, 0) - q.base_bytes >= q.monthly_bytes) LIMIT 1",
	[SQL_PUT] =
		"INSERT INTO user_quotas (user_id, tenant_id, monthly_bytes, reset_day, zone_min, base_bytes, "
		"start_ms, end_ms, exceeded, version, updated_ms, time_zone) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
		"?9, "
		"?10, ?11, ?12) ON CONFLICT (user_id) DO UPDATE SET tenant_id = excluded.tenant_id, monthly_bytes = "
		"excluded.monthly_bytes, reset_day = excluded.reset_day, zone_min = excluded.zone_min, base_bytes = "
		"excluded.base_bytes, start_ms = excluded.start_ms, end_ms = excluded.end_ms, exceeded = "
		"excluded.exceeded, version = excluded.version, updated_ms = excluded.updated_ms, time_zone = "
		"excluded.time_zone",
	[SQL_TOTAL] =
		("SELECT coalesce(sum(bytes_in + bytes_out), 0) FROM traffic WHERE scope = 'user' AND id = ?2 AND "
		 "tenant_id = ?1"),
	[SQL_ERASE_USER] = "DELETE FROM user_quotas WHERE user_id = ?1",
	[SQL_ERASE_TENANT] = "DELETE FROM user_quotas WHERE tenant_id = ?1",
};
const struct sql_table quota_sql = { "quota", sql, ARRAY_LEN(sql) };

/* ---- months ------------------------------------------------------------------------------------------------------- */

/* Midnight of the reset day in the month `months` after that of *c; z is NULL where only the offset is known. */
static int64_t reset_ms(const struct quota *q, const struct zone *z, const struct civil *c, int64_t months)
{
	const int64_t month = c->year * 12 + c->month - 1 + months;
	struct civil at = { .year = month / 12, .month = (int)(month % 12) + 1 };

	at.day = MIN((int)q->reset_day, civil_month_days(at.year, at.month));
	return z != NULL ? zone_utc(z, &at) : civil_ms(&at) - q->zone_min * MINUTE_MS;
}

void quota_month(struct quota *q, int64_t now_ms)
{
	struct zone *z = NULL;
	struct civil now;
	struct err e;
	int64_t this_month;

	if (zone_open(&z, q->time_zone, &e) == 0)
		q->zone_min = zone_offset_ms(z, now_ms) / MINUTE_MS;
	else
		log_warn("quota_zone_unknown", log_s("user", q->user_id), log_s("zone", q->time_zone), log_err(&e));
	civil_of(&now, now_ms + q->zone_min * MINUTE_MS);
	this_month = reset_ms(q, z, &now, 0);
	q->start_ms = this_month <= now_ms ? this_month : reset_ms(q, z, &now, -1);
	q->end_ms = this_month <= now_ms ? reset_ms(q, z, &now, 1) : this_month;
	zone_free(z);
}

int64_t quota_used(const struct quota *q)
{
	return MAX(q->total_bytes - q->base_bytes, 0);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void load(struct quota *q, struct query *from)
{
	memset(q, 0, sizeof *q);
	str_copy(q->user_id, sizeof q->user_id, query_text(from, 0));
	str_copy(q->tenant_id, sizeof q->tenant_id, query_text(from, 1));
	q->monthly_bytes = query_int(from, 2);
	q->reset_day = query_int(from, 3);
	str_copy(q->time_zone, sizeof q->time_zone, query_text(from, 4));
	q->zone_min = query_int(from, 5);
	q->base_bytes = query_int(from, 6);
	q->start_ms = query_int(from, 7);
	q->end_ms = query_int(from, 8);
	q->exceeded = query_int(from, 9) != 0;
	q->version = query_int(from, 10);
	q->updated_ms = query_int(from, 11);
	q->total_bytes = query_int(from, 12);
}

static int read_total(struct db *db, struct quota *q, struct err *e)
{
	struct query *from;
	int rc;

	if (db_query(db, &from, sql[SQL_TOTAL], e, bind_s(q->tenant_id), bind_s(q->user_id)) != 0)
		return -1;
	rc = query_next(from, e);
	if (rc == 1)
		q->total_bytes = query_int(from, 0);
	query_end(from);
	return MIN(rc, 0);
}

int quota_get(struct db *db, const char *tenant_id, const char *user_id, struct quota *out, struct err *e)
{
	struct query *from;
	int rc;

	if (db_query(db, &from, sql[SQL_GET], e, bind_s(tenant_id), bind_s(user_id)) != 0)
		return -1;
	rc = query_next(from, e);
	if (rc == 1)
		load(out, from);
	query_end(from);
	if (rc != 0)
		return rc;
	*out = (struct quota){ .reset_day = 1, .time_zone = "UTC" };
	str_copy(out->tenant_id, sizeof out->tenant_id, tenant_id);
	str_copy(out->user_id, sizeof out->user_id, user_id);
	rc = read_total(db, out, e);
	out->base_bytes = out->total_bytes;
	return rc;
}

int quota_put(struct db *tx, const struct quota *q, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_PUT], e, bind_s(q->user_id), bind_s(q->tenant_id), bind_i(q->monthly_bytes),
			   bind_i(q->reset_day), bind_i(q->zone_min), bind_i(q->base_bytes), bind_i(q->start_ms),
			   bind_i(q->end_ms), bind_i(q->exceeded), bind_i(q->version), bind_i(q->updated_ms),
			   bind_s(q->time_zone)),
		0);
}

int quota_log(struct db *tx, const struct quota *q, const char *op, const struct mapping_actor *by, struct err *e)
{
	struct buf object;
	int rc;

	buf_init(&object, 1024);
	jsonw_object(&object, NULL);
	jsonw_str(&object, "user_id", q->user_id);
	jsonw_int(&object, "monthly_bytes", q->monthly_bytes);
	jsonw_int(&object, "used_bytes", quota_used(q));
	jsonw_time(&object, "resets_at", q->end_ms);
	jsonw_end_object(&object);
	const struct change c = { .time_ms = by->now_ms,
		.tenant = q->tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "quota",
		.op = op,
		.subject = q->user_id,
		.fields = "",
		.object = buf_cstr(&object) };
	rc = changes_append(tx, &c, NULL, e);
	buf_free(&object);
	return rc;
}

/* ---- what follows ------------------------------------------------------------------------------------------------- */

/* 1 and *q, 0 when none is due. */
static int find_due(struct db *db, int64_t now_ms, struct quota *q, struct err *e)
{
	struct query *from;
	int rc;

	if (db_query(db, &from, sql[SQL_DUE], e, bind_i(now_ms)) != 0)
		return -1;
	rc = query_next(from, e);
	if (rc == 1)
		load(q, from);
	query_end(from);
	return rc;
}

int quota_due(struct db *db, int64_t now_ms, bool *any, struct err *e)
{
	struct quota q;
	int rc = find_due(db, now_ms, &q, e);

	*any = rc == 1;
	return MIN(rc, 0);
}

/* A month that ended with mappings off is news to the relays; one that ended quietly is not. */
static int follow_one(struct db *tx, struct quota *q, int64_t now_ms, struct err *e)
{
	const struct mapping_actor by = { "system", "", now_ms };
	const char *op = "exceeded";

	q->updated_ms = now_ms;
	if (q->end_ms <= now_ms) {
		op = q->exceeded ? "reset" : NULL;
		q->exceeded = false;
		q->base_bytes = q->total_bytes;
		quota_month(q, now_ms);
	} else {
		q->exceeded = true;
	}
	if (op != NULL && quota_log(tx, q, op, &by, e) != 0)
		return -1;
	return quota_put(tx, q, e);
}

int quota_follow(struct db *tx, unsigned limit, int64_t now_ms, unsigned *n, struct err *e)
{
	struct quota q;
	int rc = 0;

	for (*n = 0; *n < limit && (rc = find_due(tx, now_ms, &q, e)) == 1; ++*n)
		if (follow_one(tx, &q, now_ms, e) != 0)
			return -1;
	return MIN(rc, 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit, (void)position;
	*n = 0;
	return MIN(db_exec(tx, sql[o->tenant ? SQL_ERASE_TENANT : SQL_ERASE_USER], e, bind_s(o->id)), 0);
}

const struct erasure quota_erasure = { "quota", "user_quotas", erase };
