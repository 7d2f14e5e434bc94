/* What a tenant's routes do: metrics, logs, usage, status. For the tenant itself, and for system administrators. */
#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/balancer/room.h"
#include "controld/balancer/tenant_month.h"
#include "controld/balancer/tenant_rate.h"
#include "controld/identity/audit.h"
#include "controld/identity/tenant.h"

#include <stdlib.h>
#include <string.h>

#define TOP_MAX     10
#define LOGS_MAX    1000 /* rows looked at for one answer when a level is wanted */
#define CURSOR_SIZE 24   /* a number of 64 bits as text */

enum { SQL_TOP, SQL_COUNTS };
static const char *const sql[] = {
	[SQL_TOP] =
		"SELECT r.host, r.path_prefix, r.id, " TRAFFIC_COLUMNS " FROM lb_routes r JOIN traffic t ON t.scope = "
		"'mapping' AND t.tenant_id = r.tenant_id AND t.id = r.id WHERE r.tenant_id = ?1 ORDER BY t.opened + "
		"t.bytes_in DESC LIMIT 200",
	[SQL_COUNTS] =
		"SELECT (SELECT count(*) FROM lb_pools WHERE tenant_id = ?1), (SELECT count(*) FROM lb_routes WHERE "
		"tenant_id = ?1), (SELECT count(*) FROM mappings WHERE tenant_id = ?1)",
};
const struct sql_table tenant_api_sql = { "tenant_api", sql, ARRAY_LEN(sql) };

/* The tenant of the path, if it is the caller's or he sees all. */
static int find_tenant(struct db *db, const struct request *rq, struct tenant *t, struct err *e)
{
	const struct identity *who = request_identity(rq);

	return tenant_get(db, who->system_admin ? "" : who->tenant_id, request_param(rq, "id"), t, e);
}

static json_t *real(double v)
{
	return json_real(v);
}

/* ---- metrics ------------------------------------------------------------------------------------------------------- */

struct top {
	char host[HOST_NAME_SIZE], path[LB_ROUTE_PATH_SIZE], id[PROTO_ID_SIZE];
	int64_t requests, answer_us, answers;
};

static int by_requests(const void *a, const void *b)
{
	const struct top *x = a, *y = b;

	return x->requests < y->requests ? 1 : x->requests > y->requests ? -1 : 0;
}

static void load_top(struct top *t, struct query *q)
{
	struct traffic traffic;

	traffic_load(&traffic, q, 3);
	(void)str_copy(t->host, sizeof t->host, query_text(q, 0));
	(void)str_copy(t->path, sizeof t->path, query_text(q, 1));
	(void)str_copy(t->id, sizeof t->id, query_text(q, 2));
	t->requests = traffic_value(&traffic, "requests");
	t->answer_us = traffic_value(&traffic, "answer_us");
	t->answers = traffic_value(&traffic, "answers_2xx") + traffic_value(&traffic, "answers_3xx") +
	             traffic_value(&traffic, "answers_4xx") + traffic_value(&traffic, "answers_5xx");
}

static json_t *top_json(struct top *all, size_t n)
{
	json_t *list = json_array();

	qsort(all, n, sizeof all[0], by_requests);
	for (size_t i = 0; i < n && i < TOP_MAX && all[i].requests > 0; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:I, s:o}", "path", all[i].path, "host", all[i].host, "route",
				      all[i].id, "requests", (json_int_t)all[i].requests, "avg_response_time",
				      real(all[i].answers > 0 ? (double)all[i].answer_us / 1000 / (double)all[i].answers
							      : 0)));
	return list;
}

/* The routes that are asked most, as nobody but they is counted one by one. */
static int read_top(struct db *db, const char *tenant_id, json_t **out, struct err *e)
{
	struct top *all = calloc(200, sizeof *all);
	struct query *q;
	size_t n = 0;
	int rc = -1;

	if (all == NULL)
		return err_set(e, ERR_NOMEM, NULL, "metrics: out of memory");
	if (db_query(db, &q, sql[SQL_TOP], e, bind_s(tenant_id)) == 0) {
		while ((rc = query_next(q, e)) == 1)
			load_top(&all[n++], q);
		query_end(q);
	}
	if (rc == 0)
		*out = top_json(all, n);
	free(all);
	return rc;
}

int tenant_api_metrics(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	const int64_t now_ms = clock_wall_ms();
	struct tenant_month month;
	struct tenant_rate rate;
	json_t *top = NULL;
	struct tenant t;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = find_tenant(db, rq, &t, e);
	if (rc == 0)
		rc = tenant_month_read(db, t.id, now_ms, &month, e);
	if (rc == 0)
		rc = read_top(db, t.id, &top, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	tenant_rates_get(b->rates, t.id, &month.total, now_ms, &rate);
	reply_json(rp, 200,
		json_pack("{s:o, s:o, s:o, s:{s:o, s:o}, s:o}", "requests_per_second", real(rate.requests_per_second),
			"response_time_avg", real(rate.response_time_ms), "error_rate", real(rate.error_rate),
			"bandwidth_usage", "inbound_mb", real((double)month.bytes_in / 1e6), "outbound_mb",
			real((double)month.bytes_out / 1e6), "top_endpoints", top));
	return 0;
}

/* ---- usage --------------------------------------------------------------------------------------------------------- */

static json_t *time_json(int64_t ms)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(text, ms);
	return json_string(text);
}

int tenant_api_usage(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	struct tenant_month m;
	struct tenant t;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = find_tenant(db, rq, &t, e);
	if (rc == 0)
		rc = tenant_month_read(db, t.id, clock_wall_ms(), &m, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_json(rp, 200,
		json_pack("{s:s, s:o, s:o, s:I, s:o, s:I, s:I, s:I, s:{s:I, s:I}}", "tenant_id", t.id, "period_start",
			time_json(m.start_ms), "period_end", time_json(m.end_ms), "requests_per_month",
			(json_int_t)m.requests, "bandwidth_gb", real((double)(m.bytes_in + m.bytes_out) / 1e9),
			"bytes_in", (json_int_t)m.bytes_in, "bytes_out", (json_int_t)m.bytes_out, "users",
			(json_int_t)t.user_count, "limits", "max_users", (json_int_t)t.max_users,
			"max_requests_per_month", (json_int_t)t.max_requests_per_month));
	return 0;
}

/* ---- status -------------------------------------------------------------------------------------------------------- */

struct counted {
	const struct balancer *b;
	int64_t all, of[3]; /* by enum lb_health */
};

static int on_backend(const struct lb_backend *one, void *arg)
{
	struct counted *c = arg;

	c->all++;
	c->of[lb_health_of(c->b, one)]++;
	return 0;
}

static int read_counts(struct db *db, const char *tenant_id, int64_t n[3], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNTS], e, bind_s(tenant_id)) != 0)
		return -1;
	rc = query_next(q, e);
	for (int i = 0; i < 3; i++)
		n[i] = rc == 1 ? query_int(q, i) : 0;
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int tenant_api_status(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	struct counted c = { .b = b };
	size_t nodes = 0, online = 0;
	struct tenant t;
	int64_t n[3];
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = find_tenant(db, rq, &t, e);
	const struct lb_backend_filter all = { t.id, "", "", "", INT32_MAX };
	if (rc == 0)
		rc = read_counts(db, t.id, n, e);
	if (rc == 0)
		rc = lb_backend_list(db, &all, on_backend, &c, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	if (b->relays.ops->count != NULL)
		b->relays.ops->count(b->relays.self, &nodes, &online);
	reply_json(rp, 200,
		json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}}", "tenant_id",
			t.id, "status", t.status, "plan", t.plan[0] != '\0' ? json_string(t.plan) : json_null(),
			"users", (json_int_t)t.user_count, "pools", (json_int_t)n[0], "routes", (json_int_t)n[1],
			"mappings", (json_int_t)n[2], "backends", "total", (json_int_t)c.all, "healthy",
			(json_int_t)c.of[LB_HEALTH_UP], "unhealthy", (json_int_t)c.of[LB_HEALTH_DOWN], "unknown",
			(json_int_t)c.of[LB_HEALTH_UNKNOWN], "relays", "total", (json_int_t)nodes, "online",
			(json_int_t)online));
	return 0;
}

/* ---- logs ----------------------------------------------------------------------------------------------------------- */

/* What an event means to who looks after things: somebody could not come in, something does not work. */
static const char *level_of(const json_t *row)
{
	const char *op = json_string_value(json_object_get(row, "op"));
	const json_t *object = json_object_get(row, "object");

	if (str_eq(op, "health_changed"))
		return str_eq(json_string_value(json_object_get(object, "current_status")), "unhealthy") ? "error"
		                                                                                         : "info";
	if (str_eq(op, "login_failed") || str_eq(op, "token_reuse"))
		return "warn";
	return "info";
}

static json_t *log_line(const json_t *row)
{
	const char *kind = json_string_value(json_object_get(row, "kind"));
	const char *op = json_string_value(json_object_get(row, "op"));
	const char *subject = json_string_value(json_object_get(row, "subject"));

	return json_pack("{s:O, s:s, s:o, s:o, s:O, s:O, s:O, s:O}", "timestamp", json_object_get(row, "time"), "level",
		level_of(row), "event", json_sprintf("%s.%s", kind, op), "message",
		json_sprintf("%s %s: %s", kind, subject, op), "actor", json_object_get(row, "actor"), "subject",
		json_object_get(row, "subject"), "request_id", json_object_get(row, "request_id"), "fields",
		json_object_get(row, "fields"));
}

/* Of rows that are `most` or fewer those of the level, until there are page->limit lines. Text of the row to go on behind, when
 * there may be more, into cursor; else it stays "". */
static json_t *log_lines(
	const json_t *rows, unsigned most, const char *level, unsigned limit, char cursor[static CURSOR_SIZE])
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < json_array_size(rows) && json_array_size(list) < limit; i++) {
		const json_t *row = json_array_get(rows, i);

		if (level[0] == '\0' || str_eq(level_of(row), level))
			json_array_append_new(list, log_line(row));
	}
	cursor[0] = '\0';
	if (i > 0 && (i < json_array_size(rows) || i == most))
		(void)str_fmt(cursor, CURSOR_SIZE, "%lld",
			(long long)json_integer_value(json_object_get(json_array_get(rows, i - 1), "seq")));
	return list;
}

static int read_logs(struct balancer *b, struct request *rq, struct audit_filter f, json_t *rows, struct err *e)
{
	struct tenant t;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = find_tenant(db, rq, &t, e);
	f.tenant_id = t.id;
	if (rc == 0)
		rc = audit_list(db, &f, rows, e);
	store_read_end(db);
	return rc;
}

int tenant_api_logs(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *level = lb_query(rq, "level");
	struct audit_filter f = { .kind = "", .op = "", .subject = "", .actor = "", .until_ms = INT64_MAX };
	char cursor[CURSOR_SIZE];
	json_t *rows, *lines;
	struct page page;

	if (request_page(rq, &page, e) != 0 || audit_cursor(&page, &f.before_seq, e) != 0)
		return -1;
	f.limit = level[0] != '\0' ? LOGS_MAX : page.limit;
	rows = json_array();
	if (read_logs(feature, rq, f, rows, e) != 0) {
		json_decref(rows);
		return -1;
	}
	lines = log_lines(rows, f.limit, level, page.limit, cursor);
	reply_json(rp, 200, json_pack("{s:o, s:s?}", "logs", lines, "next_cursor", cursor[0] != '\0' ? cursor : NULL));
	json_decref(rows);
	return 0;
}

/* ---- schemas ---------------------------------------------------------------------------------------------------------- */

static const char *const levels[] = { "info", "warn", "error", NULL };
static const struct schema_field logs_query_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "the newest; default 50" },
	{ .name = "level",
		.type = SCHEMA_STRING,
		.choices = levels,
		.help = "error: a backend is down; warn: a login failed; info: all else; a page looks at 1000 "
			"entries" },
	{ .name = "cursor", .type = SCHEMA_STRING, .help = "next_cursor of the page before" },
};
const struct schema tenant_logs_query = { NULL, logs_query_fields, ARRAY_LEN(logs_query_fields), false };
