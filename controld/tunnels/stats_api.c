#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/clients/client_seen.h"
#include "controld/identity/identity.h"
#include "controld/identity/user.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/mapping.h"

#include <stdlib.h>

#define JSON_TYPE       "application/json; charset=utf-8"
#define STATS_BYTES_MAX (8u << 20)

static const char *const time_ranges[] = { "1h", "24h", "7d", "30d", NULL };
static const struct schema_field query_fields[] = {
	{ .name = "time_range", .type = SCHEMA_STRING, .choices = time_ranges, .help = "ending now; default 1h" },
	{ .name = "from",
		.type = SCHEMA_STRING,
		.format = SCHEMA_FORMAT_TIME,
		.help = "RFC 3339; instead of time_range" },
	{ .name = "to", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "RFC 3339; default: now" },
};
const struct schema stats_query = { NULL, query_fields, ARRAY_LEN(query_fields), false };

enum { SQL_USERS };
static const char *const sql[] = {
	[SQL_USERS] = "SELECT count(*) FROM users WHERE status <> 'deleting'",
};
const struct sql_table stats_sql = { "stats", sql, ARRAY_LEN(sql) };

/* ---- the range and its points --------------------------------------------------------------------------------------- */
static int parse_between(
	struct tunnels *t, struct series_range *r, const char *from, const char *to, int64_t now_ms, struct err *e)
{
	int64_t from_ms, to_ms = now_ms + 1;

	if (clock_parse_rfc3339(from, &from_ms) != 0 || (to != NULL && clock_parse_rfc3339(to, &to_ms) != 0))
		return err_set(e, ERR_VALIDATION, "from", "from and to must be times like 2026-11-22T10:00:00Z");
	if (series_range_between(t->series, r, from_ms, to_ms, now_ms) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "from",
		"from: '%s' must be before `to`, in the past, and at most %d hours before it", from,
		SERIES_POINTS_MAX - 1);
	return err_detail(e, "range", from);
}

static int parse_range(struct tunnels *t, const struct request *rq, struct series_range *r, struct err *e)
{
	const char *name = request_query(rq, "time_range");
	const char *from = request_query(rq, "from"), *to = request_query(rq, "to");
	const int64_t now_ms = clock_wall_ms();

	if (t->series == NULL)
		return err_set(e, ERR_UNAVAILABLE, NULL, "no series are kept");
	if (from != NULL && name == NULL)
		return parse_between(t, r, from, to, now_ms, e);
	if (from == NULL && to == NULL && series_range_named(r, name != NULL ? name : "1h", now_ms) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "time_range",
		"use either time_range (1h, 24h, 7d, 30d) or from, with or without to");
	return err_detail(e, "combination", name);
}

static void print_point(struct buf *b, const struct series_point *p)
{
	jsonw_object(b, NULL);
	jsonw_time(b, "timestamp", p->time_ms);
	jsonw_int(b, "bytes_received", p->bytes_in);
	jsonw_int(b, "bytes_sent", p->bytes_out);
	jsonw_int(b, "packets_received", p->packets_in);
	jsonw_int(b, "packets_sent", p->packets_out);
	jsonw_int(b, "packets_dropped", p->dropped);
	jsonw_int(b, "connections", p->active);
	jsonw_int(b, "connections_opened", p->opened);
	jsonw_int(b, "connections_refused", p->refused);
	jsonw_end_object(b);
}

static void print_series(struct buf *b, const struct series_range *r, const struct series_point *points, size_t n)
{
	jsonw_time(b, "from", r->from_ms);
	jsonw_time(b, "to", r->to_ms);
	jsonw_int(b, "step_seconds", r->step_ms / 1000);
	jsonw_array(b, "points");
	for (size_t i = 0; i < n; i++)
		print_point(b, &points[i]);
	jsonw_end_array(b);
}

/* ---- one answer ----------------------------------------------------------------------------------------------------- */
/* Whose statistics are asked for; head is open in b and takes what comes before the points. */
struct subject {
	struct tunnels *t;
	enum traffic_scope scope;
	const char *tenant_id, *id;
	struct traffic traffic;
	bool known; /* there is such a total */
	struct buf b;
};

static int reply_stats(struct subject *s, const struct request *rq, struct reply *rp, struct err *e)
{
	struct series_point *points = NULL;
	struct series_range range;
	size_t n = 0;

	if (parse_range(s->t, rq, &range, e) != 0)
		return -1;
	if (series_read(s->t->series, s->scope, s->tenant_id, s->id, &range, &points, &n, e) != 0)
		return -1;
	traffic_print(&s->b, "traffic_stats", &s->traffic);
	print_series(&s->b, &range, points, n);
	free(points);
	jsonw_end_object(&s->b);
	if (s->b.failed)
		return err_set(e, ERR_NOMEM, NULL, "statistics: out of memory");
	reply_text(rp, 200, JSON_TYPE, (const char *)s->b.data, s->b.len);
	return 0;
}

/* Reads the totals and whatever else stands before the points, then answers. */
typedef int (*head_fn)(struct subject *s, struct db *db, struct err *e);

static int answer(struct subject *s, const struct request *rq, struct reply *rp, head_fn head, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(s->t->store, &db, e) != 0)
		return -1;
	buf_init(&s->b, STATS_BYTES_MAX);
	jsonw_object(&s->b, NULL);
	rc = traffic_get(db, s->scope, s->tenant_id, s->id, &s->traffic, e);
	s->known = rc == 1;
	if (rc >= 0)
		rc = head(s, db, e);
	store_read_end(db);
	if (rc == 0)
		rc = reply_stats(s, rq, rp, e);
	buf_free(&s->b);
	return rc;
}

static void print_totals(struct subject *s, const struct mapping_counts *n)
{
	jsonw_int(&s->b, "total_mappings", n->all);
	jsonw_int(&s->b, "active_mappings", n->active);
	jsonw_int(&s->b, "total_traffic", s->traffic.value[METER_bytes_in] + s->traffic.value[METER_bytes_out]);
	jsonw_int(&s->b, "total_connections", s->traffic.value[METER_opened]);
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */
static int head_tenant(struct subject *s, struct db *db, struct err *e)
{
	struct mapping_counts n;

	if (mapping_count(db, s->tenant_id, "", &n, e) != 0)
		return -1;
	print_totals(s, &n);
	return 0;
}

int stats_api_traffic(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *tenant_id = request_identity(rq)->tenant_id;
	struct subject s = { .t = feature, .scope = TRAFFIC_TENANT, .tenant_id = tenant_id, .id = tenant_id };

	return answer(&s, rq, rp, head_tenant, e);
}

static int count_users(struct db *db, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_USERS], e) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static int head_system(struct subject *s, struct db *db, struct err *e)
{
	const struct relays *r = &s->t->relays;
	size_t nodes = 0, online = 0;
	struct mapping_counts n;
	int64_t users = 0, clients = 0, anonymous = 0;

	if (count_users(db, &users, e) != 0 || mapping_count(db, "", "", &n, e) != 0 ||
		client_count(db, "", "", NULL, &clients, e) != 0 ||
		client_count(db, "", "", "anonymous", &anonymous, e) != 0)
		return -1;
	if (r->ops->count != NULL)
		r->ops->count(r->self, &nodes, &online);
	jsonw_int(&s->b, "total_users", users);
	jsonw_int(&s->b, "total_clients", clients);
	jsonw_uint(
		&s->b, "online_clients", s->t->conf.clients != NULL ? client_statuses_online(s->t->conf.clients) : 0);
	jsonw_uint(&s->b, "total_nodes", nodes);
	jsonw_uint(&s->b, "online_nodes", online);
	jsonw_int(&s->b, "anonymous_users", anonymous);
	print_totals(s, &n);
	return 0;
}

int stats_api_system(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct subject s = { .t = feature, .scope = TRAFFIC_SYSTEM, .tenant_id = "", .id = "" };

	return answer(&s, rq, rp, head_system, e);
}

struct client_tally {
	struct client_statuses *statuses; /* NULL: nothing is known */
	int64_t all, online;
	int64_t last;
	unsigned rows;
};

static int on_client(const struct client *c, void *arg)
{
	struct client_tally *t = arg;

	t->all++;
	t->rows++;
	t->last = c->id;
	if (t->statuses != NULL && client_statuses_of(t->statuses, c->id) == CLIENT_ONLINE)
		t->online++;
	return 0;
}

#define TALLY_PAGE 1000

static int tally_clients(struct db *db, const struct subject *s, struct client_tally *t, struct err *e)
{
	struct client_filter f = {
		.tenant_id = s->tenant_id, .user_id = s->id, .type = "", .search = "", .limit = TALLY_PAGE
	};

	do {
		t->rows = 0;
		f.after = t->last;
		if (client_list(db, &f, on_client, t, e) != 0)
			return -1;
	} while (t->rows == TALLY_PAGE);
	return 0;
}

static int head_user(struct subject *s, struct db *db, struct err *e)
{
	struct client_tally clients = { .statuses = s->t->conf.clients };
	struct mapping_counts n;
	struct user u;

	if (user_get(db, s->tenant_id, s->id, &u, e) != 0 || mapping_count(db, s->tenant_id, s->id, &n, e) != 0 ||
		tally_clients(db, s, &clients, e) != 0)
		return -1;
	jsonw_str(&s->b, "user_id", s->id);
	jsonw_int(&s->b, "total_clients", clients.all);
	jsonw_int(&s->b, "online_clients", clients.online);
	jsonw_time(&s->b, "last_active", s->traffic.updated_ms);
	print_totals(s, &n);
	return 0;
}

int stats_api_user(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct subject s = { .t = feature,
		.scope = TRAFFIC_USER,
		.tenant_id = request_identity(rq)->tenant_id,
		.id = request_param(rq, "id") };

	return answer(&s, rq, rp, head_user, e);
}

/* Since when an agent of the client is there without a break. */
static int64_t uptime_s(const struct client_live *live)
{
	int64_t since_ms = 0;

	for (size_t i = 0; i < live->n; i++)
		if (live->agents[i].state.state == CLIENT_STATE_ONLINE &&
			(since_ms == 0 || live->agents[i].state.since_ms < since_ms))
			since_ms = live->agents[i].state.since_ms;
	return since_ms == 0 ? 0 : MAX(clock_wall_ms() - since_ms, 0) / 1000;
}

static int head_client(struct subject *s, struct db *db, struct err *e)
{
	struct mapping_counts n;
	struct client_live live;
	struct client c;
	int64_t id;

	if (client_id_parse(s->id, &id) != 0)
		return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", s->id);
	if (client_get(db, s->tenant_id, id, &c, e) != 0 || mapping_count_of_client(db, id, "", &n, e) != 0 ||
		client_seen_live(db, s->t->conf.clients, id, &live, e) != 0)
		return -1;
	jsonw_int(&s->b, "client_id", id);
	jsonw_str_or_null(&s->b, "user_id", c.user_id);
	jsonw_int(&s->b, "uptime", uptime_s(&live));
	jsonw_time(&s->b, "last_seen", live.seen_ms);
	print_totals(s, &n);
	return 0;
}

int stats_api_client(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct subject s = { .t = feature,
		.scope = TRAFFIC_CLIENT,
		.tenant_id = request_identity(rq)->tenant_id,
		.id = request_param(rq, "id") };

	return answer(&s, rq, rp, head_client, e);
}

/* Also after it was deleted: its total stays. */
static int head_mapping(struct subject *s, struct db *db, struct err *e)
{
	(void)db;
	if (!s->known)
		return err_set(e, ERR_MAPPING_NOT_FOUND, NULL, "there is no mapping '%s'", s->id);
	jsonw_str(&s->b, "mapping_id", s->id);
	return 0;
}

int stats_api_mapping(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct subject s = { .t = feature,
		.scope = TRAFFIC_MAPPING,
		.tenant_id = request_identity(rq)->tenant_id,
		.id = request_param(rq, "id") };

	return answer(&s, rq, rp, head_mapping, e);
}

static int head_node(struct subject *s, struct db *db, struct err *e)
{
	(void)db;
	if (!s->known)
		return err_set(e, ERR_NODE_NOT_FOUND, NULL, "no relay '%s' has reported", s->id);
	jsonw_str(&s->b, "node_id", s->id);
	return 0;
}

int stats_api_node(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct subject s = { .t = feature, .scope = TRAFFIC_NODE, .tenant_id = "", .id = request_param(rq, "id") };

	return answer(&s, rq, rp, head_node, e);
}
