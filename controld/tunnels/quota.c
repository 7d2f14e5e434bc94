#include "controld/tunnels/quota.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/mapping_change.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS    INT64_C(86400000)
#define MINUTE_MS INT64_C(60000)

#define FROM_QUOTAS                                                                                                \
	"SELECT q.user_id, q.tenant_id, q.monthly_bytes, q.reset_day, q.zone_min, q.base_bytes, q.start_ms, "      \
	"q.end_ms, "                                                                                               \
	"q.exceeded, q.version, q.updated_ms, coalesce(t.bytes_in + t.bytes_out, 0) FROM user_quotas q LEFT JOIN " \
	"traffic t ON t.scope = 'user' AND t.id = q.user_id AND t.tenant_id = q.tenant_id "

enum { SQL_GET, SQL_DUE, SQL_PUT, SQL_TOTAL, SQL_ERASE_USER, SQL_ERASE_TENANT };
static const char *const sql[] = {
	[SQL_GET] = FROM_QUOTAS "WHERE q.user_id = ?2 AND q.tenant_id = ?1",
	[SQL_DUE] =
		FROM_QUOTAS "WHERE q.end_ms <= ?1 OR (q.exceeded = 0 AND q.monthly_bytes > 0 AND coalesce(t.bytes_in + "
			    "t.bytes_out, 0) - q.base_bytes >= q.monthly_bytes) LIMIT 1",
	[SQL_PUT] = "INSERT INTO user_quotas (user_id, tenant_id, monthly_bytes, reset_day, zone_min, base_bytes, "
		    "start_ms, "
		    "end_ms, exceeded, version, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON "
		    "CONFLICT "
		    "(user_id) DO UPDATE SET tenant_id = excluded.tenant_id, monthly_bytes = excluded.monthly_bytes, "
		    "reset_day = excluded.reset_day, zone_min = excluded.zone_min, base_bytes = excluded.base_bytes, "
		    "start_ms = excluded.start_ms, end_ms = excluded.end_ms, exceeded = excluded.exceeded, version = "
		    "excluded.version, updated_ms = excluded.updated_ms",
	[SQL_TOTAL] =
		("SELECT coalesce(sum(bytes_in + bytes_out), 0) FROM traffic WHERE scope = 'user' AND id = ?2 AND "
		 "tenant_id = ?1"),
	[SQL_ERASE_USER] = "DELETE FROM user_quotas WHERE user_id = ?1",
	[SQL_ERASE_TENANT] = "DELETE FROM user_quotas WHERE tenant_id = ?1",
};
const struct sql_table quota_sql = { "quota", sql, ARRAY_LEN(sql) };

/* ---- months ------------------------------------------------------------------------------------------------------- */

/* Days since 1970-01-01 of a date of the Gregorian calendar (H. Hinnant's days_from_civil). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
	int64_t era, of_era, of_year;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	of_era = y - era * 400;
	of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
	int64_t era, of_era, year, of_year, month;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	of_era = days - era * 146097;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	month = (5 * of_year + 2) / 153;
	*d = of_year - (153 * month + 2) / 5 + 1;
	*m = month < 10 ? month + 3 : month - 9;
	*y = year + era * 400 + (*m <= 2);
}

/* Midnight of the reset day, `months` after year and month. */
static int64_t reset_ms(const struct quota *q, int64_t y, int64_t m, int64_t months)
{
	m += months;
	if (m < 1)
		return reset_ms(q, y - 1, m + 12, 0);
	if (m > 12)
		return reset_ms(q, y + 1, m - 12, 0);
	return days_of(y, m, q->reset_day) * DAY_MS - q->zone_min * MINUTE_MS;
}

void quota_month(struct quota *q, int64_t now_ms)
{
	const int64_t local_ms = now_ms + q->zone_min * MINUTE_MS;
	int64_t y, m, d;

	date_of((local_ms >= 0 ? local_ms : local_ms - DAY_MS + 1) / DAY_MS, &y, &m, &d);
	q->start_ms = reset_ms(q, y, m, d >= q->reset_day ? 0 : -1);
	q->end_ms = reset_ms(q, y, m, d >= q->reset_day ? 1 : 0);
}

int64_t quota_used(const struct quota *q)
{
	return MAX(q->total_bytes - q->base_bytes, 0);
}

static int two_digits(const char *s, int64_t max, int64_t *out)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return -1;
	*out = (s[0] - '0') * 10 + (s[1] - '0');
	return *out <= max ? 0 : -1;
}

int quota_zone_parse(const char *s, int64_t *zone_min)
{
	int64_t hours, minutes;

	if (str_eq(s, "UTC") || str_eq(s, "Z")) {
		*zone_min = 0;
		return 0;
	}
	if (strlen(s) != 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':' || two_digits(s + 1, 14, &hours) != 0 ||
		two_digits(s + 4, 59, &minutes) != 0)
		return -1;
	*zone_min = (hours * 60 + minutes) * (s[0] == '-' ? -1 : 1);
	return 0;
}

void quota_zone_print(char dst[QUOTA_ZONE_SIZE], int64_t zone_min)
{
	const unsigned off = (unsigned)(zone_min < 0 ? -zone_min : zone_min);

	if (off == 0)
		str_copy(dst, QUOTA_ZONE_SIZE, "UTC");
	else
		str_fmt(dst, QUOTA_ZONE_SIZE, "%c%02u:%02u", zone_min < 0 ? '-' : '+', off / 60 % 100, off % 60);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void load(struct quota *q, struct query *from)
{
	memset(q, 0, sizeof *q);
	str_copy(q->user_id, sizeof q->user_id, query_text(from, 0));
	str_copy(q->tenant_id, sizeof q->tenant_id, query_text(from, 1));
	q->monthly_bytes = query_int(from, 2);
	q->reset_day = query_int(from, 3);
	q->zone_min = query_int(from, 4);
	q->base_bytes = query_int(from, 5);
	q->start_ms = query_int(from, 6);
	q->end_ms = query_int(from, 7);
	q->exceeded = query_int(from, 8) != 0;
	q->version = query_int(from, 9);
	q->updated_ms = query_int(from, 10);
	q->total_bytes = query_int(from, 11);
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
	*out = (struct quota){ .reset_day = 1 };
	str_copy(out->tenant_id, sizeof out->tenant_id, tenant_id);
	str_copy(out->user_id, sizeof out->user_id, user_id);
	return read_total(db, out, e);
}

int quota_put(struct db *tx, const struct quota *q, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_PUT], e, bind_s(q->user_id), bind_s(q->tenant_id), bind_i(q->monthly_bytes),
			   bind_i(q->reset_day), bind_i(q->zone_min), bind_i(q->base_bytes), bind_i(q->start_ms),
			   bind_i(q->end_ms), bind_i(q->exceeded), bind_i(q->version), bind_i(q->updated_ms)),
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
