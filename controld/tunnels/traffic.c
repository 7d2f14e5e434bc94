#include "controld/tunnels/traffic.h"

#include "common/base/jsonw.h"
#include "common/base/map.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define COMMA_NAME(name, what) ", " #name
#define COMMA_ZERO(name, what) ", 0"
/* Both are at most TRAFFIC_MAX, so the sum is a number, and the total stays one that others can be added to. */
#define TOTAL_MAX "1152921504606846976"
#define ADDED(name)                                                                                               \
	"CASE WHEN traffic." #name " + excluded." #name " > " TOTAL_MAX " THEN " TOTAL_MAX " WHEN traffic." #name \
	" + excluded." #name " < -" TOTAL_MAX " THEN -" TOTAL_MAX " ELSE traffic." #name " + excluded." #name " END"
#define ADD_NAME(name, what) ", " #name " = " ADDED(name)

_Static_assert(METER_COUNTERS_N == 30, "SQL_ADD binds one value for each counter, and a migration adds its column");

enum { SQL_ADD, SQL_OPEN, SQL_SERVE, SQL_GET };
static const char *const sql[] = {
	[SQL_ADD] = "INSERT INTO traffic (scope, tenant_id, id, user_id, updated_ms, active" METER_COUNTERS(
		COMMA_NAME) ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
			    "?18, ?19, ?20, ?21, "
			    "?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36) ON CONFLICT "
			    "(scope, id, tenant_id) DO UPDATE SET "
			    "updated_ms = "
			    "excluded.updated_ms, "
			    "active = " ADDED(active) METER_COUNTERS(ADD_NAME),
	[SQL_OPEN] = "INSERT INTO traffic (scope, tenant_id, id, user_id, updated_ms, active" METER_COUNTERS(
		COMMA_NAME) ") VALUES (?1, ?2, ?3, ?4, 0, 0" METER_COUNTERS(COMMA_ZERO) ") ON CONFLICT (scope, id, "
											"tenant_id) DO NOTHING",
	[SQL_SERVE] = "UPDATE traffic SET client_id = ?3, source_id = ?4 WHERE scope = 'mapping' AND id = ?1 AND "
		      "tenant_id = ?2",
	[SQL_GET] = "SELECT " TRAFFIC_COLUMNS " FROM traffic t WHERE t.scope = ?1 AND t.tenant_id = ?2 AND t.id = ?3",
};
const struct sql_table traffic_sql = { "traffic", sql, ARRAY_LEN(sql) };

static const char *const scope_names[] = {
	[TRAFFIC_MAPPING] = "mapping",
	[TRAFFIC_CLIENT] = "client",
	[TRAFFIC_USER] = "user",
	[TRAFFIC_TENANT] = "tenant",
	[TRAFFIC_NODE] = "node",
	[TRAFFIC_SYSTEM] = "system",
};

const char *traffic_scope_name(enum traffic_scope scope)
{
	return scope_names[scope];
}

int64_t traffic_value(const struct traffic *t, const char *counter)
{
#define X(name, what) #name,
	static const char *const names[] = { METER_COUNTERS(X) };
#undef X

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], counter))
			return t->value[i];
	return 0;
}

/* ---- increases, summed up by total -------------------------------------------------------------------------------- */

/*
 * The order in which totals are written: the same in every transaction, so that two never wait for each other in a ring,
 * and what most of them add to comes last, so that it is held for the shortest time.
 */
static const int scope_rank[] = {
	[TRAFFIC_NODE] = 0,
	[TRAFFIC_MAPPING] = 1,
	[TRAFFIC_CLIENT] = 2,
	[TRAFFIC_USER] = 3,
	[TRAFFIC_TENANT] = 4,
	[TRAFFIC_SYSTEM] = 5,
};

struct sum {
	char key[3 * PROTO_ID_SIZE]; /* order of writing */
	const char *scope;
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE];
	struct traffic_increase by;
};

struct traffic_sums {
	struct map by_key;
};

int traffic_sums_new(struct traffic_sums **out, struct err *e)
{
	struct traffic_sums *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "traffic: out of memory");
	map_init(&s->by_key);
	*out = s;
	return 0;
}

void traffic_sums_free(struct traffic_sums *s)
{
	struct sum *sum;

	if (s == NULL)
		return;
	for (size_t it = 0; (sum = map_next(&s->by_key, &it)) != NULL;)
		free(sum);
	map_free(&s->by_key);
	free(s);
}

static struct sum *sum_of(struct traffic_sums *s, enum traffic_scope scope, const char *id, const char *tenant_id)
{
	char key[3 * PROTO_ID_SIZE];
	struct sum *sum;

	str_fmt(key, sizeof key, "%d %s %s", scope_rank[scope], id, tenant_id);
	sum = map_get_str(&s->by_key, key);
	if (sum != NULL)
		return sum;
	sum = calloc(1, sizeof *sum);
	if (sum == NULL)
		return NULL;
	memcpy(sum->key, key, sizeof sum->key);
	sum->scope = scope_names[scope];
	str_copy(sum->id, sizeof sum->id, id);
	str_copy(sum->tenant_id, sizeof sum->tenant_id, tenant_id);
	if (map_put_str(&s->by_key, sum->key, sum, NULL) == 0)
		return sum;
	free(sum);
	return NULL;
}

static int sum_add(struct traffic_sums *s, enum traffic_scope scope, const char *id, const struct traffic_owner *o,
	const struct traffic_increase *by)
{
	struct sum *sum = sum_of(s, scope, id, o->tenant_id);

	if (sum == NULL)
		return -1;
	if (scope == TRAFFIC_MAPPING)
		str_copy(sum->user_id, sizeof sum->user_id, o->user_id);
	sum->by.active = MAX(MIN(sum->by.active + by->active, TRAFFIC_MAX), -TRAFFIC_MAX);
	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		sum->by.value[i] = MIN(sum->by.value[i] + by->value[i], TRAFFIC_MAX);
	return 0;
}

int traffic_sums_add(struct traffic_sums *s, const char *node_id, const struct traffic_owner *o,
	const struct traffic_increase *by, struct err *e)
{
	static const struct traffic_owner nobody;
	int rc = sum_add(s, TRAFFIC_NODE, node_id, &nobody, by) | sum_add(s, TRAFFIC_SYSTEM, "", &nobody, by);

	if (o->tenant_id[0] != '\0')
		rc |= sum_add(s, TRAFFIC_MAPPING, o->mapping_id, o, by) |
		      sum_add(s, TRAFFIC_TENANT, o->tenant_id, o, by);
	if (o->user_id[0] != '\0')
		rc |= sum_add(s, TRAFFIC_USER, o->user_id, o, by);
	if (o->client_id[0] != '\0')
		rc |= sum_add(s, TRAFFIC_CLIENT, o->client_id, o, by);
	if (o->source_id[0] != '\0' && !str_eq(o->source_id, o->client_id))
		rc |= sum_add(s, TRAFFIC_CLIENT, o->source_id, o, by);
	return rc == 0 ? 0 : err_set(e, ERR_NOMEM, NULL, "report of node %s: out of memory", node_id);
}

/* All but the last go along with it, which waits: what is wrong with any of them is the caller's own failure. */
static int write_sum(struct db *tx, const struct sum *sum, bool last, int64_t now_ms, struct err *e)
{
	struct bind b[6 + METER_COUNTERS_N] = { bind_s(sum->scope), bind_s(sum->tenant_id), bind_s(sum->id),
		bind_s(sum->user_id), bind_i(now_ms), bind_i(sum->by.active) };

	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		b[6 + i] = bind_i(sum->by.value[i]);
	if (!last)
		return db_post_v(tx, sql[SQL_ADD], e, b, ARRAY_LEN(b));
	return MIN(db_exec_v(tx, sql[SQL_ADD], e, b, ARRAY_LEN(b)), 0);
}

static int compare_sums(const void *a, const void *b)
{
	return strcmp((*(struct sum *const *)a)->key, (*(struct sum *const *)b)->key);
}

int traffic_sums_write(struct db *tx, const struct traffic_sums *s, int64_t now_ms, struct err *e)
{
	const size_t n = map_count(&s->by_key);
	struct sum **sorted = calloc(n + 1, sizeof(struct sum *));
	struct sum *sum;
	int rc = 0;

	if (sorted == NULL)
		return err_set(e, ERR_NOMEM, NULL, "traffic: out of memory");
	for (size_t it = 0, i = 0; (sum = map_next(&s->by_key, &it)) != NULL; i++)
		sorted[i] = sum;
	qsort(sorted, n, sizeof(struct sum *), compare_sums);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = write_sum(tx, sorted[i], i + 1 == n, now_ms, e);
	free(sorted);
	return rc;
}

/* ---- who a total belongs to --------------------------------------------------------------------------------------- */

/* A total that is known from now on, even if nothing passes. */
static int open_total(struct db *tx, enum traffic_scope scope, const char *id, const char *tenant_id,
	const char *user_id, struct err *e)
{
	return db_post(
		tx, sql[SQL_OPEN], e, bind_s(scope_names[scope]), bind_s(tenant_id), bind_s(id), bind_s(user_id));
}

int traffic_open(struct db *tx, const char *mapping_id, const char *tenant_id, const char *user_id, struct err *e)
{
	return open_total(tx, TRAFFIC_MAPPING, mapping_id, tenant_id, user_id, e);
}

int traffic_open_node(struct db *tx, const char *node_id, struct err *e)
{
	return open_total(tx, TRAFFIC_NODE, node_id, "", "", e);
}

int traffic_serve(struct db *tx, const char *mapping_id, const char *tenant_id, int64_t client_id, int64_t source_id,
	struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_SERVE], e, bind_s(mapping_id), bind_s(tenant_id), bind_i(client_id),
			   bind_i(source_id)),
		0);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */
void traffic_load(struct traffic *t, struct query *q, int col)
{
	t->active = MAX(query_int(q, col), 0);
	t->updated_ms = query_int(q, col + 1);
	query_ints(q, col + 2, METER_COUNTERS_N, t->value);
}

int traffic_get(struct db *db, enum traffic_scope scope, const char *tenant_id, const char *id, struct traffic *out,
	struct err *e)
{
	struct query *q;
	int rc;

	memset(out, 0, sizeof *out);
	if (db_query(db, &q, sql[SQL_GET], e, bind_s(scope_names[scope]), bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		traffic_load(out, q, 0);
	query_end(q);
	return rc;
}

/* For any reason. */
static int64_t traffic_refused(const struct traffic *t)
{
	return t->value[METER_refused_limit] + t->value[METER_refused_source] + t->value[METER_refused_cidr] +
	       t->value[METER_refused_proxy] + t->value[METER_refused_dial] + t->value[METER_refused_resource] +
	       t->value[METER_refused_down] + t->value[METER_refused_quota] + t->value[METER_refused_login] +
	       t->value[METER_refused_destination] + t->value[METER_refused_protocol];
}

void traffic_print(struct buf *b, const char *key, const struct traffic *t)
{
	static const struct jsonw_number passed[] = {
		JSONW_NUMBER("bytes_received", METER_bytes_in),
		JSONW_NUMBER("bytes_sent", METER_bytes_out),
		JSONW_NUMBER("packets_received", METER_packets_in),
		JSONW_NUMBER("packets_sent", METER_packets_out),
		JSONW_NUMBER("connections_total", METER_opened),
	};
	static const struct jsonw_number refused[] = {
		JSONW_NUMBER("limit", METER_refused_limit),
		JSONW_NUMBER("source", METER_refused_source),
		JSONW_NUMBER("cidr", METER_refused_cidr),
		JSONW_NUMBER("proxy", METER_refused_proxy),
		JSONW_NUMBER("dial", METER_refused_dial),
		JSONW_NUMBER("resource", METER_refused_resource),
		JSONW_NUMBER("target_down", METER_refused_down),
		JSONW_NUMBER("quota", METER_refused_quota),
		JSONW_NUMBER("login", METER_refused_login),
		JSONW_NUMBER("destination", METER_refused_destination),
		JSONW_NUMBER("protocol", METER_refused_protocol),
	};
	static const struct jsonw_number others[] = {
		JSONW_NUMBER("targets_reached", METER_connected),
		JSONW_NUMBER("connect_time_us", METER_connect_us),
		JSONW_NUMBER("dropped_in", METER_dropped_in),
		JSONW_NUMBER("dropped_out", METER_dropped_out),
		JSONW_NUMBER("timed_out", METER_timed_out),
		JSONW_NUMBER("reset", METER_reset),
	};

	jsonw_object(b, key);
	jsonw_numbers(b, passed, ARRAY_LEN(passed), t->value);
	jsonw_int(b, "connections_active", t->active);
	jsonw_int(b, "connections_refused", traffic_refused(t));
	jsonw_object(b, "refused_by_reason");
	jsonw_numbers(b, refused, ARRAY_LEN(refused), t->value);
	jsonw_end_object(b);
	jsonw_numbers(b, others, ARRAY_LEN(others), t->value);
	jsonw_time(b, "updated_at", t->updated_ms);
	jsonw_end_object(b);
}
