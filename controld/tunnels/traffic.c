#include "controld/tunnels/traffic.h"

#include "common/base/cursor.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/tunnels.h"

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

_Static_assert(METER_COUNTERS_N == 18, "SQL_ADD binds one value for each counter, and a migration adds its column");

/* Who owns a meter was found when it was new; which client serves the mapping may change. */
#define METERS                                                                                                       \
	"SELECT m.mapping_id, m.tenant_id, m.user_id, m.counters, coalesce(t.client_id, 0) FROM meters m LEFT JOIN " \
	"traffic t ON t.scope = 'mapping' AND t.id = m.mapping_id AND t.tenant_id = m.tenant_id "

/* Claiming fails (no row changes) for a number that is stored already and for a boot that has ended. */
enum {
	SQL_CLAIM,
	SQL_BOOT_NEW,
	SQL_BOOT_KNOWN,
	SQL_BOOTS_PRUNE,
	SQL_METERS_COUNT,
	SQL_METER,
	SQL_METER_SAVE,
	SQL_METERS_LEFT,
	SQL_METERS_DROP,
	SQL_OWNER,
	SQL_ADD,
	SQL_OPEN,
	SQL_SERVE,
	SQL_GET,
	SQL_BOOTS,
	SQL_BOOT_END
};
static const char *const sql[] = {
	[SQL_CLAIM] =
		"UPDATE meter_boots SET number = ?3, ended = ?4, updated_ms = ?5 WHERE node_id = ?1 AND boot = ?2 AND "
		"number < ?3 AND ended = 0",
	[SQL_BOOT_NEW] =
		"INSERT INTO meter_boots (tenant_id, node_id, boot, number, ended, updated_ms) SELECT '', ?1, ?2, "
		"CAST(?3 AS BIGINT), CAST(?4 AS BIGINT), CAST(?5 AS BIGINT) WHERE (SELECT count(*) FROM meter_boots "
		"WHERE node_id = ?1 AND ended = 0) < ?6 ON CONFLICT (node_id, boot) DO NOTHING",
	[SQL_BOOT_KNOWN] = "SELECT 1 FROM meter_boots WHERE node_id = ?1 AND boot = ?2",
	[SQL_BOOTS_PRUNE] = "DELETE FROM meter_boots WHERE node_id = ?1 AND ended = 1 AND boot NOT IN (SELECT boot "
			    "FROM meter_boots "
			    "WHERE node_id = ?1 AND ended = 1 ORDER BY updated_ms DESC, boot LIMIT ?2)",
	[SQL_METERS_COUNT] = "SELECT count(*) FROM meters WHERE node_id = ?1",
	[SQL_METER] = METERS "WHERE m.node_id = ?1 AND m.boot = ?2 AND m.slot = ?3",
	[SQL_METER_SAVE] =
		"INSERT INTO meters (node_id, boot, slot, mapping_id, tenant_id, user_id, counters) VALUES (?1, ?2, "
		"?3, ?4, ?5, ?6, ?7) ON CONFLICT (node_id, boot, slot) DO UPDATE SET counters = excluded.counters",
	[SQL_METERS_LEFT] = METERS "WHERE m.node_id = ?1 AND m.boot = ?2",
	[SQL_METERS_DROP] = "DELETE FROM meters WHERE node_id = ?1 AND boot = ?2",
	[SQL_OWNER] =
		"SELECT t.tenant_id, t.user_id, t.client_id FROM traffic t WHERE t.scope = 'mapping' AND t.id = ?1 "
		"AND " PLACEMENT_REACHES("t.id", "?2"),
	[SQL_ADD] = "INSERT INTO traffic (scope, tenant_id, id, user_id, updated_ms, active" METER_COUNTERS(
		COMMA_NAME) ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
			    "?18, ?19, ?20, ?21, "
			    "?22, ?23, ?24) ON CONFLICT (scope, id, tenant_id) DO UPDATE SET updated_ms = "
			    "excluded.updated_ms, "
			    "active = " ADDED(active) METER_COUNTERS(ADD_NAME),
	[SQL_OPEN] = "INSERT INTO traffic (scope, tenant_id, id, user_id, updated_ms, active" METER_COUNTERS(
		COMMA_NAME) ") VALUES (?1, ?2, ?3, ?4, 0, 0" METER_COUNTERS(COMMA_ZERO) ") ON CONFLICT (scope, id, "
											"tenant_id) DO NOTHING",
	[SQL_SERVE] = "UPDATE traffic SET client_id = ?3 WHERE scope = 'mapping' AND id = ?1 AND tenant_id = ?2",
	[SQL_GET] = "SELECT " TRAFFIC_COLUMNS " FROM traffic t WHERE t.scope = ?1 AND t.tenant_id = ?2 AND t.id = ?3",
	[SQL_BOOTS] = "SELECT boot FROM meter_boots WHERE node_id = ?1 AND ended = 0",
	[SQL_BOOT_END] = "UPDATE meter_boots SET ended = 1, updated_ms = ?3 WHERE node_id = ?1 AND boot = ?2",
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

/* ---- increases, summed up by total -------------------------------------------------------------------------------- */
struct increase {
	int64_t active; /* may fall */
	int64_t value[METER_COUNTERS_N];
};

struct sum {
	char key[3 *
		 PROTO_ID_SIZE]; /* order of writing: the same in every transaction, so that two never wait for each other */
	const char *scope;
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE];
	struct increase by;
};

/* What one transaction adds to the totals. */
struct sums {
	struct map by_key;
	const char *node_id;
	int64_t meters; /* of that node, once the first new one came; -1 */
};

/* Whose a meter is; all "" when nobody knows the mapping. */
struct owner {
	char mapping_id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE];
	char client_id[PROTO_ID_SIZE]; /* "": no client serves it */
};

static struct sum *sum_of(struct sums *s, enum traffic_scope scope, const char *id, const char *tenant_id)
{
	char key[3 * PROTO_ID_SIZE];
	struct sum *sum;

	str_fmt(key, sizeof key, "%d %s %s", (int)scope, id, tenant_id);
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

static int sum_add(
	struct sums *s, enum traffic_scope scope, const char *id, const struct owner *o, const struct increase *by)
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

/* To every total that the meter belongs to. */
static int sums_add(struct sums *s, const struct owner *o, const struct increase *by, struct err *e)
{
	static const struct owner nobody;
	int rc = sum_add(s, TRAFFIC_NODE, s->node_id, &nobody, by) | sum_add(s, TRAFFIC_SYSTEM, "", &nobody, by);

	if (o->tenant_id[0] != '\0')
		rc |= sum_add(s, TRAFFIC_MAPPING, o->mapping_id, o, by) |
		      sum_add(s, TRAFFIC_TENANT, o->tenant_id, o, by);
	if (o->user_id[0] != '\0')
		rc |= sum_add(s, TRAFFIC_USER, o->user_id, o, by);
	if (o->client_id[0] != '\0')
		rc |= sum_add(s, TRAFFIC_CLIENT, o->client_id, o, by);
	return rc == 0 ? 0 : err_set(e, ERR_NOMEM, NULL, "report of node %s: out of memory", s->node_id);
}

static int write_sum(struct db *tx, const struct sum *sum, int64_t now_ms, struct err *e)
{
	struct bind b[6 + METER_COUNTERS_N] = { bind_s(sum->scope), bind_s(sum->tenant_id), bind_s(sum->id),
		bind_s(sum->user_id), bind_i(now_ms), bind_i(sum->by.active) };

	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		b[6 + i] = bind_i(sum->by.value[i]);
	return db_exec_v(tx, sql[SQL_ADD], e, b, ARRAY_LEN(b)) < 0 ? -1 : 0;
}

/* A total that is known from now on, even if nothing passes. */
static int open_total(struct db *tx, enum traffic_scope scope, const char *id, const char *tenant_id,
	const char *user_id, struct err *e)
{
	return db_exec(tx, sql[SQL_OPEN], e, bind_s(scope_names[scope]), bind_s(tenant_id), bind_s(id),
		       bind_s(user_id)) < 0
	               ? -1
	               : 0;
}

int traffic_open(struct db *tx, const char *mapping_id, const char *tenant_id, const char *user_id, struct err *e)
{
	return open_total(tx, TRAFFIC_MAPPING, mapping_id, tenant_id, user_id, e);
}

int traffic_serve(struct db *tx, const char *mapping_id, const char *tenant_id, int64_t client_id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_SERVE], e, bind_s(mapping_id), bind_s(tenant_id), bind_i(client_id)), 0);
}

static int compare_sums(const void *a, const void *b)
{
	return strcmp((*(struct sum *const *)a)->key, (*(struct sum *const *)b)->key);
}

static int sums_write(struct db *tx, const struct sums *s, int64_t now_ms, struct err *e)
{
	const size_t n = map_count(&s->by_key);
	struct sum **sorted = calloc(n + 1, sizeof(struct sum *));
	struct sum *sum;
	int rc = 0;

	if (sorted == NULL)
		return err_set(e, ERR_NOMEM, NULL, "report of node %s: out of memory", s->node_id);
	for (size_t it = 0, i = 0; (sum = map_next(&s->by_key, &it)) != NULL; i++)
		sorted[i] = sum;
	qsort(sorted, n, sizeof(struct sum *), compare_sums);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = write_sum(tx, sorted[i], now_ms, e);
	free(sorted);
	return rc;
}

static void sums_fini(struct sums *s)
{
	struct sum *sum;

	for (size_t it = 0; (sum = map_next(&s->by_key, &it)) != NULL;)
		free(sum);
	map_free(&s->by_key);
}

/* ---- one meter ---------------------------------------------------------------------------------------------------- */
struct meter_kept {
	struct owner owner;
	uint64_t value[METER_COUNTERS_N];
};

static void load_owner(struct owner *o, struct query *q, int col, int client_col)
{
	const int64_t client_id = query_int(q, client_col);
	const char *tenant = query_text(q, col), *user = query_text(q, col + 1);

	str_copy(o->tenant_id, sizeof o->tenant_id, tenant != NULL ? tenant : "");
	str_copy(o->user_id, sizeof o->user_id, user != NULL ? user : "");
	o->client_id[0] = '\0';
	if (client_id != 0)
		client_id_print(o->client_id, client_id);
}

/* Counters that are newer than the row count from 0. */
static void load_meter(struct meter_kept *m, struct query *q)
{
	const char *mapping = query_text(q, 0);
	struct cursor c;
	size_t n = 0;
	const void *p = query_blob(q, 3, &n);

	str_copy(m->owner.mapping_id, sizeof m->owner.mapping_id, mapping != NULL ? mapping : "");
	load_owner(&m->owner, q, 1, 4);
	cursor_init(&c, p, n);
	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		m->value[i] = cursor_u64(&c);
}

/* Nobody, too, when the mapping never was on that node: what it says of others does not count for them. */
static int find_owner(struct db *tx, const char *node_id, struct owner *o, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_OWNER], e, bind_s(o->mapping_id), bind_s(node_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		load_owner(o, q, 0, 2);
	query_end(q);
	return rc < 0 ? -1 : 0;
}

/* 1 known, 0 new. */
static int find_meter(struct db *tx, const char *node_id, const char *boot, const struct meter_row *row,
	struct meter_kept *m, struct err *e)
{
	struct query *q;
	int rc;

	memset(m, 0, sizeof *m);
	if (db_query(tx, &q, sql[SQL_METER], e, bind_s(node_id), bind_s(boot), bind_i((int64_t)row->slot)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		load_meter(m, q);
	query_end(q);
	if (rc != 0)
		return rc;
	str_copy(m->owner.mapping_id, sizeof m->owner.mapping_id, row->object);
	return find_owner(tx, node_id, &m->owner, e);
}

static int save_meter(
	struct db *tx, const char *node_id, const char *boot, uint64_t slot, const struct meter_kept *m, struct err *e)
{
	uint8_t blob[8 * METER_COUNTERS_N];

	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		for (size_t k = 0; k < 8; k++)
			blob[8 * i + k] = (uint8_t)(m->value[i] >> (56 - 8 * k));
	return db_exec(tx, sql[SQL_METER_SAVE], e, bind_s(node_id), bind_s(boot), bind_i((int64_t)slot),
		       bind_s(m->owner.mapping_id), bind_s(m->owner.tenant_id), bind_s(m->owner.user_id),
		       bind_b(blob, sizeof blob)) < 0
	               ? -1
	               : 0;
}

/* Counters never fall; one that does is kept as it was. Answers whether any rose. */
static bool take_values(struct meter_kept *m, const struct meter_row *row, struct increase *by)
{
	bool rose = false;

	for (size_t i = 0; i < METER_COUNTERS_N; i++) {
		const uint64_t now = MIN(row->value[i], (uint64_t)TRAFFIC_MAX);

		if (now <= m->value[i])
			continue;
		by->value[i] = (int64_t)(now - m->value[i]);
		m->value[i] = now;
		rose = true;
	}
	by->active = by->value[METER_opened] - by->value[METER_closed];
	return rose;
}

static int count_meters(struct db *tx, struct sums *s, struct err *e)
{
	struct query *q;
	int rc;

	if (s->meters >= 0)
		return 0;
	if (db_query(tx, &q, sql[SQL_METERS_COUNT], e, bind_s(s->node_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		s->meters = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* 1 stored, 0 not: no honest relay has so many meters. */
static int store_row(struct db *tx, struct sums *s, const char *boot, const struct meter_row *row, struct err *e)
{
	struct increase by = { 0 };
	struct meter_kept m;
	const int known = find_meter(tx, s->node_id, boot, row, &m, e);

	if (known < 0 || (known == 0 && count_meters(tx, s, e) != 0))
		return -1;
	if (known == 0 && s->meters++ >= TRAFFIC_METERS_MAX)
		return 0;
	if (!str_eq(m.owner.mapping_id, row->object)) {
		log_warn("meter_slot_reused", log_s("node", s->node_id), log_s("boot", boot), log_u("slot", row->slot));
		return 1;
	}
	if (!take_values(&m, row, &by))
		return 1;
	if (save_meter(tx, s->node_id, boot, row->slot, &m, e) != 0 || sums_add(s, &m.owner, &by, e) != 0)
		return -1;
	return 1;
}

/* The connections that a boot had when it ended are no longer there, and its meters are not needed any more. */
static int end_boot(struct db *tx, struct sums *s, const char *boot, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_METERS_LEFT], e, bind_s(s->node_id), bind_s(boot)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		struct meter_kept m = { .value = { 0 } };
		struct increase by = { 0 };

		load_meter(&m, q);
		by.active = (int64_t)m.value[METER_closed] - (int64_t)m.value[METER_opened];
		if (by.active != 0 && sums_add(s, &m.owner, &by, e) != 0) {
			rc = -1;
			break;
		}
	}
	query_end(q);
	if (rc != 0)
		return -1;
	return db_exec(tx, sql[SQL_METERS_DROP], e, bind_s(s->node_id), bind_s(boot)) < 0 ? -1 : 0;
}

/* ---- reports ------------------------------------------------------------------------------------------------------ */
static int store_rows(struct db *tx, struct sums *s, struct traffic_report *report, struct err *e)
{
	const struct msg_report *r = report->m;
	struct cursor it = r->rows;
	struct meter_row row;

	if (open_total(tx, TRAFFIC_NODE, s->node_id, "", "", e) != 0)
		return -1;
	while (msg_report_next(&it, &row)) {
		const int rc = store_row(tx, s, r->boot, &row, e);

		if (rc < 0)
			return -1;
		report->skipped += rc == 0;
	}
	if (report->skipped > 0)
		log_warn("meters_skipped", log_s("node", s->node_id), log_u("skipped", report->skipped),
			log_i("most", TRAFFIC_METERS_MAX));
	return r->last ? end_boot(tx, s, r->boot, e) : 0;
}

static int boot_known(struct db *tx, const struct traffic_report *r, bool *known, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_BOOT_KNOWN], e, bind_s(r->node_id), bind_s(r->m->boot)) != 0)
		return -1;
	rc = query_next(q, e);
	*known = rc == 1;
	query_end(q);
	return rc < 0 ? -1 : 0;
}

/* A boot that was not there; a relay has few living ones, and those that ended long ago come back no more. */
static int claim_new(struct db *tx, struct traffic_report *r, int64_t number, int64_t now_ms, struct err *e)
{
	bool known = false;
	int n = db_exec(tx, sql[SQL_BOOT_NEW], e, bind_s(r->node_id), bind_s(r->m->boot), bind_i(number),
		bind_i(r->m->last), bind_i(now_ms), bind_i(TRAFFIC_BOOTS_MAX));

	r->stored = n > 0;
	if (n > 0)
		n = db_exec(tx, sql[SQL_BOOTS_PRUNE], e, bind_s(r->node_id), bind_i(TRAFFIC_BOOTS_KEPT));
	else if (n == 0) {
		n = boot_known(tx, r, &known, e);
		r->refused = n == 0 && !known;
	}
	return n < 0 ? -1 : 0;
}

/* Claims the number; a batch is sorted before, so that two controlds claim the boots of one node in one order. */
static int claim(struct db *tx, struct traffic_report *r, int64_t now_ms, struct err *e)
{
	const struct msg_report *m = r->m;
	const int64_t number = (int64_t)MIN(m->number, (uint64_t)INT64_MAX);
	int n;

	r->stored = m->boot[0] == '\0';
	r->refused = false;
	r->skipped = 0;
	if (r->stored)
		return 0;
	n = db_exec(tx, sql[SQL_CLAIM], e, bind_s(r->node_id), bind_s(m->boot), bind_i(number), bind_i(m->last),
		bind_i(now_ms));
	r->stored = n > 0;
	return n == 0 ? claim_new(tx, r, number, now_ms, e) : n < 0 ? -1 : 0;
}

static int compare_reports(const void *a, const void *b)
{
	const struct traffic_report *x = a, *y = b;
	int order = strcmp(x->node_id, y->node_id);

	if (order == 0)
		order = strcmp(x->m->boot, y->m->boot);
	return order != 0 ? order : (x->m->number > y->m->number) - (x->m->number < y->m->number);
}

int traffic_store_reports(struct db *tx, struct traffic_report *reports, size_t n, int64_t now_ms, struct err *e)
{
	struct sums s = { .node_id = "" };
	int rc = 0;

	map_init(&s.by_key);
	qsort(reports, n, sizeof *reports, compare_reports);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = claim(tx, &reports[i], now_ms, e);
		s.node_id = reports[i].node_id;
		s.meters = -1;
		if (rc == 0 && reports[i].stored && reports[i].m->boot[0] != '\0')
			rc = store_rows(tx, &s, &reports[i], e);
	}
	if (rc == 0)
		rc = sums_write(tx, &s, now_ms, e);
	sums_fini(&s);
	return rc;
}

static int find_boot(struct db *tx, const char *node_id, char boot[PROTO_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_BOOTS], e, bind_s(node_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		str_copy(boot, PROTO_ID_SIZE, query_text(q, 0));
	query_end(q);
	return rc;
}

int traffic_node_gone(struct db *tx, const char *node_id, int64_t now_ms, struct err *e)
{
	struct sums s = { .node_id = node_id };
	char boot[PROTO_ID_SIZE];
	int rc;

	map_init(&s.by_key);
	while ((rc = find_boot(tx, node_id, boot, e)) == 1) {
		rc = end_boot(tx, &s, boot, e);
		if (rc == 0 && db_exec(tx, sql[SQL_BOOT_END], e, bind_s(node_id), bind_s(boot), bind_i(now_ms)) < 0)
			rc = -1;
		if (rc != 0)
			break;
	}
	if (rc == 0)
		rc = sums_write(tx, &s, now_ms, e);
	sums_fini(&s);
	return rc == 0 ? placement_forget_node(tx, node_id, e) : -1;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */
void traffic_load(struct traffic *t, struct query *q, int col)
{
	t->active = MAX(query_int(q, col), 0);
	t->updated_ms = query_int(q, col + 1);
	for (int i = 0; i < METER_COUNTERS_N; i++)
		t->value[i] = query_int(q, col + 2 + i);
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
	       t->value[METER_refused_down] + t->value[METER_refused_quota];
}

void traffic_print(struct buf *b, const char *key, const struct traffic *t)
{
	jsonw_object(b, key);
	jsonw_int(b, "bytes_received", t->value[METER_bytes_in]);
	jsonw_int(b, "bytes_sent", t->value[METER_bytes_out]);
	jsonw_int(b, "packets_received", t->value[METER_packets_in]);
	jsonw_int(b, "packets_sent", t->value[METER_packets_out]);
	jsonw_int(b, "connections_total", t->value[METER_opened]);
	jsonw_int(b, "connections_active", t->active);
	jsonw_int(b, "connections_refused", traffic_refused(t));
	jsonw_object(b, "refused_by_reason");
	jsonw_int(b, "limit", t->value[METER_refused_limit]);
	jsonw_int(b, "source", t->value[METER_refused_source]);
	jsonw_int(b, "cidr", t->value[METER_refused_cidr]);
	jsonw_int(b, "proxy", t->value[METER_refused_proxy]);
	jsonw_int(b, "dial", t->value[METER_refused_dial]);
	jsonw_int(b, "resource", t->value[METER_refused_resource]);
	jsonw_int(b, "target_down", t->value[METER_refused_down]);
	jsonw_int(b, "quota", t->value[METER_refused_quota]);
	jsonw_end_object(b);
	jsonw_int(b, "dropped_in", t->value[METER_dropped_in]);
	jsonw_int(b, "dropped_out", t->value[METER_dropped_out]);
	jsonw_int(b, "timed_out", t->value[METER_timed_out]);
	jsonw_int(b, "reset", t->value[METER_reset]);
	jsonw_time(b, "updated_at", t->updated_ms);
	jsonw_end_object(b);
}
