#include "controld/balancer/lb_standing.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/balancer/lb_backend.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"

#include <stdio.h>
#include <string.h>

enum {
	SQL_OF_NODE,
	SQL_CLEAR_NODE,
	SQL_PUT,
	SQL_OF_BACKEND,
	SQL_BACKEND,
	SQL_GET,
	SQL_STATE,
	SQL_SET,
	SQL_FORGET,
	SQL_FORGET_HEALTH,
	SQL_ERASE_HEALTH,
	SQL_ERASE
};
static const char *const sql[] = {
	[SQL_OF_NODE] = "SELECT backend_id FROM lb_backend_standing WHERE node_id = ?1",
	[SQL_CLEAR_NODE] = "DELETE FROM lb_backend_standing WHERE node_id = ?1",
	/* a relay may name backends that are gone: they get no row */
	[SQL_PUT] = "INSERT INTO lb_backend_standing (node_id, backend_id, tenant_id, state, reason, since_ms, flaps) "
		    "SELECT "
		    "CAST(?1 AS TEXT), id, tenant_id, CAST(?3 AS BIGINT), CAST(?4 AS TEXT), CAST(?5 AS BIGINT), "
		    "CAST(?6 AS BIGINT) "
		    "FROM lb_backends WHERE id = ?2 ON CONFLICT (node_id, backend_id) DO NOTHING",
	[SQL_OF_BACKEND] = "SELECT s.node_id, COALESCE(n.name, s.node_id), s.state, s.reason, s.since_ms, s.flaps FROM "
			   "lb_backend_standing s LEFT JOIN nodes n ON n.id = s.node_id WHERE s.backend_id = ?1 ORDER "
			   "BY s.node_id",
	[SQL_BACKEND] = "SELECT b.tenant_id, b.host, b.port, b.pool_id, p.name, p.settings FROM lb_backends b JOIN "
			"lb_pools p ON "
			"p.id = b.pool_id "
			"WHERE b.id = ?1",
	[SQL_GET] = "SELECT state, since_ms, flaps, logged_ms FROM lb_backend_health WHERE backend_id = ?1",
	[SQL_STATE] = "SELECT " LB_STANDING_STATE("?1"),
	[SQL_SET] = "INSERT INTO lb_backend_health (backend_id, tenant_id, state, since_ms, flaps, logged_ms) VALUES "
		    "(?1, ?2, ?3, ?4, "
		    "?5, ?6) ON CONFLICT (backend_id) DO UPDATE SET state = excluded.state, since_ms = "
		    "excluded.since_ms, flaps = "
		    "excluded.flaps, logged_ms = excluded.logged_ms",
	[SQL_FORGET] = "DELETE FROM lb_backend_standing WHERE backend_id = ?1",
	[SQL_FORGET_HEALTH] = "DELETE FROM lb_backend_health WHERE backend_id = ?1",
	[SQL_ERASE_HEALTH] =
		"DELETE FROM lb_backend_health WHERE backend_id IN (SELECT backend_id FROM lb_backend_health WHERE "
		"tenant_id = ?1 LIMIT ?2)",
	[SQL_ERASE] = "DELETE FROM lb_backend_standing WHERE backend_id IN (SELECT backend_id FROM lb_backend_standing "
		      "WHERE tenant_id "
		      "= ?1 LIMIT ?2)",
};
const struct sql_table lb_standing_sql = { "lb_standing", sql, ARRAY_LEN(sql) };

const char *lb_standing_name(enum backend_state_kind state)
{
	static const char *const names[] = { [BACKEND_HEALTHY] = "healthy",
		[BACKEND_UNHEALTHY] = "unhealthy",
		[BACKEND_EJECTED] = "ejected",
		[BACKEND_UNKNOWN] = "unknown" };

	return names[state];
}

/* ---- what a relay says -------------------------------------------------------------------------------------------- */

int lb_standing_replace(struct db *tx, const char *node_id, const struct backend_state *items, size_t n,
	void (*touched)(void *arg, const char *backend_id), void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_OF_NODE], e, bind_s(node_id)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		touched(arg, query_text(q, 0));
	query_end(q);
	if (rc != 0 || db_exec(tx, sql[SQL_CLEAR_NODE], e, bind_s(node_id)) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct backend_state *s = &items[i];

		if (db_exec(tx, sql[SQL_PUT], e, bind_s(node_id), bind_s(s->backend), bind_i(s->state),
			    bind_s(s->reason), bind_i(s->since_ms), bind_i(s->flaps)) < 0)
			return -1;
		touched(arg, s->backend);
	}
	return 0;
}

/* ---- one state of all --------------------------------------------------------------------------------------------- */

#define NODES_SHOWN 16
#define OBJECT_MAX  CHANGES_OBJECT_MAX

struct word { /* of a relay */
	char node[PROTO_ID_SIZE], name[PROTO_NAME_SIZE], reason[BACKEND_REASON_SIZE];
	enum backend_state_kind state;
	int64_t since_ms, flaps;
};

struct judged {
	char tenant[PROTO_ID_SIZE], host[LB_BACKEND_HOST_SIZE], pool[PROTO_ID_SIZE], pool_name[LB_POOL_NAME_MAX + 1];
	int64_t port;
	enum backend_state_kind state; /* the worst */
	int64_t since_ms;
	const char *reason; /* of the worst */
	int64_t flaps;      /* of all */
	int64_t slow_start_ms;
	size_t n;
	struct word words[NODES_SHOWN];
};

static unsigned rank(enum backend_state_kind s)
{
	static const unsigned ranks[] = {
		[BACKEND_HEALTHY] = 0, [BACKEND_UNKNOWN] = 1, [BACKEND_EJECTED] = 2, [BACKEND_UNHEALTHY] = 3
	};

	return ranks[s];
}

static int64_t slow_start_of(const char *settings, struct err *e)
{
	json_t *values = NULL;
	int64_t ms;

	if (knobs_load(&values, settings, e) != 0)
		return -1;
	ms = knobs_number(&lb_pool_knobs, values, "slow_start");
	json_decref(values);
	return ms;
}

/* 1 and who it is; 0: it is gone. */
static int read_backend(struct db *tx, const char *id, struct judged *v, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_BACKEND], e, bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		str_copy(v->tenant, sizeof v->tenant, query_text(q, 0));
		str_copy(v->host, sizeof v->host, query_text(q, 1));
		v->port = query_int(q, 2);
		str_copy(v->pool, sizeof v->pool, query_text(q, 3));
		str_copy(v->pool_name, sizeof v->pool_name, query_text(q, 4));
		v->slow_start_ms = slow_start_of(query_text(q, 5), e);
		rc = v->slow_start_ms < 0 ? -1 : 1;
	}
	query_end(q);
	return rc;
}

static void take_word(struct judged *v, struct query *q)
{
	struct word *w = &v->words[MIN(v->n, NODES_SHOWN - 1)];
	const int64_t state = query_int(q, 2);

	v->flaps += query_int(q, 5);
	if (v->n == NODES_SHOWN && rank((enum backend_state_kind)state) <= rank(v->state))
		return;
	str_copy(w->node, sizeof w->node, query_text(q, 0));
	str_copy(w->name, sizeof w->name, query_text(q, 1));
	w->state = (enum backend_state_kind)state;
	str_copy(w->reason, sizeof w->reason, query_text(q, 3));
	w->since_ms = query_int(q, 4);
	w->flaps = query_int(q, 5);
	if (v->n == 0 || rank(w->state) > rank(v->state)) {
		v->state = w->state;
		v->since_ms = w->since_ms;
		v->reason = w->reason;
	}
	v->n = MIN(v->n + 1, NODES_SHOWN);
}

/* *v: as long as no relay says otherwise. */
static int read_words(struct db *tx, const char *id, struct judged *v, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_OF_BACKEND], e, bind_s(id)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		take_word(v, q);
	query_end(q);
	return rc;
}

struct logged {
	bool any;
	enum backend_state_kind state;
	int64_t since_ms, flaps, logged_ms;
};

static int read_logged(struct db *db, const char *id, struct logged *l, struct err *e)
{
	struct query *q;
	int rc;

	*l = (struct logged){ .state = BACKEND_UNKNOWN };
	if (db_query(db, &q, sql[SQL_GET], e, bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*l = (struct logged){ true, (enum backend_state_kind)query_int(q, 0), query_int(q, 1), query_int(q, 2),
			query_int(q, 3) };
	query_end(q);
	return MIN(rc, 0);
}

/* ---- the log's row ------------------------------------------------------------------------------------------------ */

/* What the checks said, as webhooks have it: the error, and the status where that was it. */
static void put_details(struct buf *b, const struct judged *v)
{
	unsigned status;

	jsonw_object(b, "health_check_details");
	jsonw_str_or_null(b, "error", v->state == BACKEND_HEALTHY || v->state == BACKEND_UNKNOWN ? "" : v->reason);
	if (sscanf(v->reason, "status %3u", &status) == 1)
		jsonw_uint(b, "status_code", status);
	jsonw_end_object(b);
}

static void put_object(struct buf *b, const char *id, const struct judged *v, const struct logged *was)
{
	char address[LB_BACKEND_ADDRESS_SIZE];
	const bool literal = strchr(v->host, ':') != NULL;

	(void)str_fmt(address, sizeof address, "%s%s%s:%u", literal ? "[" : "", v->host, literal ? "]" : "",
		(unsigned)v->port);
	jsonw_object(b, NULL);
	jsonw_str(b, "id", id);
	jsonw_str(b, "address", address);
	jsonw_str(b, "pool", v->pool_name);
	jsonw_str(b, "pool_id", v->pool);
	jsonw_str(b, "previous_status", lb_standing_name(was->state));
	jsonw_str(b, "current_status", lb_standing_name(v->state));
	jsonw_time(b, "since", v->since_ms);
	jsonw_int(b, "flaps", MAX(v->flaps - was->flaps, 0));
	put_details(b, v);
	if (v->state == BACKEND_HEALTHY && was->state != BACKEND_UNKNOWN && v->slow_start_ms > 0)
		jsonw_time(b, "slow_start_ends", v->since_ms + v->slow_start_ms);
	else
		jsonw_null(b, "slow_start_ends");
	jsonw_array(b, "nodes");
	for (size_t i = 0; i < v->n; i++) {
		const struct word *w = &v->words[i];

		jsonw_object(b, NULL);
		jsonw_str(b, "node_id", w->node);
		jsonw_str(b, "node", w->name);
		jsonw_str(b, "status", lb_standing_name(w->state));
		jsonw_str_or_null(b, "reason", w->reason);
		jsonw_time(b, "since", w->since_ms);
		jsonw_int(b, "flaps", w->flaps);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
	jsonw_end_object(b);
}

static int write_change(
	struct db *tx, const char *id, const struct judged *v, const struct logged *was, int64_t now_ms, struct err *e)
{
	struct buf object;
	struct change c = { .tenant = v->tenant,
		.actor = "system",
		.kind = "backend",
		.op = "health_changed",
		.subject = id,
		.fields = "status" };
	int rc = -1;

	buf_init(&object, OBJECT_MAX);
	put_object(&object, id, v, was);
	c.object = buf_cstr(&object);
	if (object.failed)
		err_set(e, ERR_NOMEM, NULL, "health of a backend: out of memory");
	else if (db_exec(tx, sql[SQL_SET], e, bind_s(id), bind_s(v->tenant), bind_i(v->state), bind_i(v->since_ms),
			 bind_i(v->flaps), bind_i(now_ms)) >= 0)
		rc = changes_append(tx, &c, NULL, e);
	buf_free(&object);
	return rc;
}

int lb_standing_forget(struct db *tx, const char *backend_id, struct err *e)
{
	if (db_exec(tx, sql[SQL_FORGET], e, bind_s(backend_id)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_FORGET_HEALTH], e, bind_s(backend_id)), 0);
}

static enum backend_state_kind untold(const struct logged *was, const struct lb_standing_now *now)
{
	return was->state == BACKEND_HEALTHY || now->anybody ? BACKEND_HEALTHY : BACKEND_UNKNOWN;
}

int lb_standing_judge(
	struct db *tx, const char *backend_id, const struct lb_standing_now *now, int64_t *wait_ms, struct err *e)
{
	const int64_t now_ms = now->now_ms;
	struct judged v = { .since_ms = now_ms, .reason = "" };
	struct logged was;
	const int there = read_backend(tx, backend_id, &v, e);

	*wait_ms = 0;
	if (there <= 0)
		return there < 0 ? -1 : lb_standing_forget(tx, backend_id, e);
	if (read_logged(tx, backend_id, &was, e) != 0)
		return -1;
	v.state = untold(&was, now);
	if (read_words(tx, backend_id, &v, e) != 0)
		return -1;
	if (v.state == was.state)
		return 0;
	if (was.any && now_ms - was.logged_ms < LB_STANDING_GAP_MS) {
		*wait_ms = was.logged_ms + LB_STANDING_GAP_MS - now_ms;
		return 0;
	}
	return write_change(tx, backend_id, &v, &was, now_ms, e);
}

int lb_standing_get(struct db *db, const char *backend_id, enum backend_state_kind *out, struct err *e)
{
	struct query *q;
	int rc;

	*out = BACKEND_UNKNOWN;
	if (db_query(db, &q, sql[SQL_STATE], e, bind_s(backend_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*out = (enum backend_state_kind)query_int(q, 0);
	query_end(q);
	return MIN(rc, 0);
}

/* ---- owners that go ----------------------------------------------------------------------------------------------- */

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	unsigned more;

	(void)position;
	*n = 0;
	if (!o->tenant)
		return 0; /* backends are their tenant's */
	if (erase_by(tx, sql[SQL_ERASE], sql[SQL_ERASE], o, limit, n, e) != 0)
		return -1;
	if (*n >= limit)
		return 0;
	if (erase_by(tx, sql[SQL_ERASE_HEALTH], sql[SQL_ERASE_HEALTH], o, limit - *n, &more, e) != 0)
		return -1;
	*n += more;
	return 0;
}
const struct erasure lb_standing_erasure = { "backend health", "lb_backend_standing,lb_backend_health", erase };
