#include "controld/balancer/tenant_month.h"

#include "common/base/str.h"

#include <stdlib.h>
#include <time.h>

enum { SQL_GET, SQL_MISSING, SQL_INSERT, SQL_OLD, SQL_ERASE };
static const char *const sql[] = {
	[SQL_GET] = "SELECT requests, bytes_in, bytes_out FROM tenant_months WHERE tenant_id = ?1 AND start_ms = ?2",
	[SQL_MISSING] =
		"SELECT n.id, n.created_ms FROM tenants n WHERE NOT EXISTS (SELECT 1 FROM tenant_months m WHERE "
		"m.tenant_id = n.id AND m.start_ms = ?1) LIMIT 1000",
	[SQL_INSERT] =
		"INSERT INTO tenant_months (tenant_id, start_ms, requests, bytes_in, bytes_out) VALUES (?1, ?2, ?3, "
		"?4, ?5) ON CONFLICT (tenant_id, start_ms) DO NOTHING",
	[SQL_OLD] = "DELETE FROM tenant_months WHERE start_ms < ?1",
	[SQL_ERASE] = "DELETE FROM tenant_months WHERE tenant_id = ?1",
};
const struct sql_table tenant_month_sql = { "tenant_month", sql, ARRAY_LEN(sql) };

#define YEAR_MS (INT64_C(400) * 24 * 3600 * 1000)

/* The first millisecond of the month that now_ms lies in, or of one after it. */
static int64_t month_start(int64_t now_ms, int later)
{
	const time_t now_s = (time_t)(now_ms / 1000);
	struct tm t;

	gmtime_r(&now_s, &t);
	t.tm_mday = 1;
	t.tm_hour = t.tm_min = t.tm_sec = 0;
	t.tm_mon += later;
	return (int64_t)timegm(&t) * 1000;
}

int tenant_month_read(struct db *db, const char *tenant_id, int64_t now_ms, struct tenant_month *out, struct err *e)
{
	struct query *q;
	int rc;

	*out = (struct tenant_month){ .start_ms = month_start(now_ms, 0), .end_ms = month_start(now_ms, 1) };
	if (traffic_get(db, TRAFFIC_TENANT, tenant_id, tenant_id, &out->total, e) < 0)
		return -1;
	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_i(out->start_ms)) != 0)
		return -1;
	rc = query_next(q, e);
	out->begun = rc == 1;
	out->requests = traffic_value(&out->total, "requests") - (rc == 1 ? query_int(q, 0) : 0);
	out->bytes_in = traffic_value(&out->total, "bytes_in") - (rc == 1 ? query_int(q, 1) : 0);
	out->bytes_out = traffic_value(&out->total, "bytes_out") - (rc == 1 ? query_int(q, 2) : 0);
	query_end(q);
	return rc < 0 ? -1 : 0;
}

struct beginner {
	char id[PROTO_ID_SIZE];
	int64_t created_ms;
};

static int begin_one(struct db *tx, const struct beginner *b, int64_t start_ms, struct err *e)
{
	struct traffic total = { .active = 0 };

	if (b->created_ms < start_ms && traffic_get(tx, TRAFFIC_TENANT, b->id, b->id, &total, e) < 0)
		return -1;
	return db_exec(tx, sql[SQL_INSERT], e, bind_s(b->id), bind_i(start_ms),
		       bind_i(traffic_value(&total, "requests")), bind_i(traffic_value(&total, "bytes_in")),
		       bind_i(traffic_value(&total, "bytes_out"))) < 0
	               ? -1
	               : 0;
}

static int find_missing(struct db *tx, int64_t start_ms, struct beginner *b, int *n, struct err *e)
{
	struct query *q;
	int rc;

	*n = 0;
	if (db_query(tx, &q, sql[SQL_MISSING], e, bind_i(start_ms)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		(void)str_copy(b[*n].id, sizeof b[*n].id, query_text(q, 0));
		b[(*n)++].created_ms = query_int(q, 1);
	}
	query_end(q);
	return rc;
}

int tenant_month_begin(struct db *tx, int64_t now_ms, struct err *e)
{
	const int64_t start_ms = month_start(now_ms, 0);
	struct beginner *all = calloc(1000, sizeof *all);
	int n = 0, rc;

	if (all == NULL)
		return err_set(e, ERR_NOMEM, NULL, "months of tenants: out of memory");
	rc = find_missing(tx, start_ms, all, &n, e);
	for (int i = 0; i < n && rc == 0; i++)
		rc = begin_one(tx, &all[i], start_ms, e);
	free(all);
	if (rc != 0 || n == 0)
		return rc;
	return db_exec(tx, sql[SQL_OLD], e, bind_i(start_ms - YEAR_MS)) < 0 ? -1 : 0;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit;
	(void)position;
	*n = 0;
	return o->tenant && db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id)) < 0 ? -1 : 0;
}

const struct erasure tenant_month_erasure = { "tenant_month", "tenant_months", erase };
