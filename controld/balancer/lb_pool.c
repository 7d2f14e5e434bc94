#include "controld/balancer/lb_pool.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/store/changes.h"
#include "controld/store/search.h"

#include <stdlib.h>

#define COLUMNS \
	"p.id, p.tenant_id, p.user_id, p.name, p.algorithm, p.settings, p.version, p.seq, p.created_ms, p.updated_ms"

enum {
	SQL_GET,
	SQL_LIST,
	SQL_COUNT,
	SQL_GROUPS,
	SQL_ROUTES_IN,
	SQL_BY_ID,
	SQL_ID,
	SQL_IDS_OF_TENANT,
	SQL_OF_USER,
	SQL_OF_TENANT,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_DELETE
};
static const char *const sql[] = {
	[SQL_GET] = "SELECT " COLUMNS " FROM lb_pools p WHERE p.tenant_id = ?1 AND (p.name = ?2 OR p.id = ?2) "
		    "ORDER BY CASE WHEN p.name = ?2 THEN 0 ELSE 1 END LIMIT 1",
	[SQL_LIST] =
		"SELECT " COLUMNS " FROM lb_pools p WHERE (?1 = '' OR p.tenant_id = ?1) AND p.id > ?2 AND (?3 = '' "
		"OR p.algorithm = ?3) AND (?4 = '' OR substr(p.name, 1, length(?4)) = ?4) AND (?5 = '' OR p.id = "
		"?5) ORDER BY p.id LIMIT ?6",
	[SQL_COUNT] = "SELECT count(*) FROM lb_pools WHERE tenant_id = ?1",
	[SQL_GROUPS] = "SELECT DISTINCT group_id FROM lb_route_pools WHERE pool_id = ?1",
	[SQL_ROUTES_IN] = "SELECT count(*) FROM lb_route_pools WHERE pool_id = ?1 AND group_id = ?2",
	[SQL_BY_ID] = "SELECT " COLUMNS " FROM lb_pools p WHERE p.id = ?1",
	[SQL_ID] = "SELECT id FROM lb_pools WHERE tenant_id = ?1 AND name = ?2",
	[SQL_IDS_OF_TENANT] = "SELECT id FROM lb_pools WHERE tenant_id = ?1",
	[SQL_OF_USER] = "SELECT " COLUMNS " FROM lb_pools p WHERE p.user_id = ?1 LIMIT 1",
	[SQL_OF_TENANT] = "SELECT " COLUMNS " FROM lb_pools p WHERE p.tenant_id = ?1 LIMIT 1",
	[SQL_INSERT] = "INSERT INTO lb_pools (id, tenant_id, user_id, name, algorithm, settings, version, seq, "
		       "created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQL_UPDATE] =
		"UPDATE lb_pools SET tenant_id = ?2, user_id = ?3, name = ?4, algorithm = ?5, settings = ?6, version = "
		"?7, seq = ?8, created_ms = ?9, updated_ms = ?10 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM lb_pools WHERE id = ?1",
};
const struct sql_table lb_pool_sql = { "lb_pool", sql, ARRAY_LEN(sql) };

const char *const lb_pool_algorithms[] = { "round_robin", "weighted_round_robin", "least_connections", "random_two",
	"ip_hash", "consistent_hash", "peak_ewma", "adaptive_ai", NULL };

void lb_pool_fini(struct lb_pool *p)
{
	json_decref(p->settings);
	p->settings = NULL;
}

/* ---- the object --------------------------------------------------------------------------------------------------- */

/* With what holds where nobody has said anything. */
static void print_settings(struct buf *b, const struct lb_pool *p)
{
	json_t *all = json_copy(p->settings);

	if (all == NULL) {
		b->failed = true;
		return;
	}
	json_object_set_new(all, "health_check.timeout", json_integer(lb_health_timeout_ms(NULL, p->settings)));
	knobs_print(&lb_pool_knobs, all, b);
	json_decref(all);
}

void lb_pool_print(struct buf *b, const struct lb_pool *p)
{
	jsonw_str(b, "id", p->id);
	jsonw_str(b, "tenant_id", p->tenant_id);
	jsonw_str_or_null(b, "user_id", p->user_id);
	jsonw_str(b, "name", p->name);
	jsonw_str(b, "algorithm", p->algorithm);
	print_settings(b, p);
	jsonw_int(b, "version", p->version);
	jsonw_time(b, "created_at", p->created_ms);
	jsonw_time(b, "updated_at", p->updated_ms);
}

void lb_pool_diff(const struct lb_pool *a, const struct lb_pool *b, struct buf *fields)
{
	if (!str_eq(a->algorithm, b->algorithm))
		buf_printf(fields, ",algorithm");
	knobs_diff(&lb_pool_knobs, a->settings, b->settings, fields);
}

int lb_pool_log(
	struct db *tx, struct lb_pool *p, const char *op, const char *fields, const struct lb_actor *by, struct err *e)
{
	struct buf object;
	int rc;

	buf_init(&object, LB_POOL_OBJECT_MAX);
	jsonw_object(&object, NULL);
	lb_pool_print(&object, p);
	jsonw_end_object(&object);
	const struct change c = { .time_ms = by->now_ms,
		.tenant = p->tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "pool",
		.op = op,
		.subject = p->id,
		.fields = fields,
		.object = buf_cstr(&object) };
	rc = changes_append(tx, &c, &p->seq, e);
	buf_free(&object);
	return rc;
}

int lb_pool_touch(struct db *tx, struct lb_pool *p, const char *fields, const struct lb_actor *by, struct err *e)
{
	p->version++;
	p->updated_ms = by->now_ms;
	return lb_pool_log(tx, p, "update", fields, by, e) != 0 ? -1 : lb_pool_update(tx, p, e);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	(void)str_copy(dst, size, s != NULL ? s : "");
}

static int load(struct lb_pool *p, struct query *q, struct err *e)
{
	load_text(p->id, sizeof p->id, q, 0);
	load_text(p->tenant_id, sizeof p->tenant_id, q, 1);
	load_text(p->user_id, sizeof p->user_id, q, 2);
	load_text(p->name, sizeof p->name, q, 3);
	load_text(p->algorithm, sizeof p->algorithm, q, 4);
	p->version = query_int(q, 6);
	p->seq = query_int(q, 7);
	p->created_ms = query_int(q, 8);
	p->updated_ms = query_int(q, 9);
	return knobs_load(&p->settings, query_text(q, 5), e);
}

/* 1 and *p, 0 when there is no row, -1. */
static int load_first(struct query *q, struct lb_pool *p, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1 && load(p, q, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

int lb_pool_get(struct db *db, const char *tenant_id, const char *name, struct lb_pool *p, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(name)) != 0)
		return -1;
	rc = load_first(q, p, e);
	if (rc == 0)
		return err_set(e, ERR_POOL_NOT_FOUND, NULL, "there is no pool '%s'", name);
	return rc == 1 ? 0 : -1;
}

int lb_pool_list(struct db *db, const struct lb_pool_filter *f, lb_pool_fn fn, void *arg, struct err *e)
{
	struct lb_pool p;
	struct query *q;
	int rc, more = 0;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(f->tenant_id), bind_s(f->after), bind_s(f->algorithm),
		    bind_s(f->search), bind_s(f->id), bind_i(f->limit)) != 0)
		return -1;
	while (more == 0 && (rc = query_next(q, e)) == 1) {
		rc = load(&p, q, e);
		if (rc != 0)
			break;
		more = fn(&p, arg);
		lb_pool_fini(&p);
	}
	query_end(q);
	return more == 0 && rc != 0 ? -1 : 0;
}

static int read_count(struct query *q, int64_t *n, struct err *e)
{
	const int rc = query_next(q, e);

	*n = rc == 1 ? query_int(q, 0) : 0;
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int lb_pool_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
{
	struct query *q;

	return db_query(db, &q, sql[SQL_COUNT], e, bind_s(tenant_id)) != 0 ? -1 : read_count(q, n, e);
}

int lb_pool_routes_in(struct db *db, const char *id, const char *group_id, int64_t *n, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_ROUTES_IN], e, bind_s(id), bind_s(group_id)) != 0)
		return -1;
	return read_count(q, n, e);
}

int lb_pool_id(struct db *db, const char *tenant_id, const char *name, char id[PROTO_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ID], e, bind_s(tenant_id), bind_s(name)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		load_text(id, PROTO_ID_SIZE, q, 0);
	query_end(q);
	if (rc == 0)
		return err_set(e, ERR_POOL_NOT_FOUND, NULL, "there is no pool '%s'", name);
	return rc == 1 ? 0 : -1;
}

static int give_ids(struct query *q, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	int rc;

	while ((rc = query_next(q, e)) == 1) {
		rc = fn(query_text(q, 0), arg);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc;
}

int lb_pool_ids_of(
	struct db *db, const char *kind, const char *id, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	struct query *q;

	if (!str_eq(kind, "tenant"))
		return 0;
	return db_query(db, &q, sql[SQL_IDS_OF_TENANT], e, bind_s(id)) != 0 ? -1 : give_ids(q, fn, arg, e);
}

int lb_pool_groups(struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e)
{
	struct query *q;

	return db_query(db, &q, sql[SQL_GROUPS], e, bind_s(id)) != 0 ? -1 : give_ids(q, fn, arg, e);
}

int lb_pool_find_owned(struct db *db, bool tenant, const char *owner, struct lb_pool *p, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[tenant ? SQL_OF_TENANT : SQL_OF_USER], e, bind_s(owner)) != 0)
		return -1;
	return load_first(q, p, e);
}

static int write_row(struct db *tx, const char *statement, const struct lb_pool *p, struct err *e)
{
	const char *const texts[] = { p->algorithm, knobs_text(&lb_pool_knobs, p->settings, "description"), NULL };
	const struct search_object words = { "pool", p->id, p->tenant_id, p->name, texts };
	char *settings = knobs_store(p->settings);
	int rc;

	if (settings == NULL)
		return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", p->id);
	rc = db_exec(tx, statement, e, bind_s(p->id), bind_s(p->tenant_id), bind_s(p->user_id), bind_s(p->name),
		bind_s(p->algorithm), bind_s(settings), bind_i(p->version), bind_i(p->seq), bind_i(p->created_ms),
		bind_i(p->updated_ms));
	free(settings);
	return rc < 0 ? -1 : search_put(tx, &words, e);
}

int lb_pool_insert(struct db *tx, const struct lb_pool *p, struct err *e)
{
	return write_row(tx, sql[SQL_INSERT], p, e);
}

int lb_pool_update(struct db *tx, const struct lb_pool *p, struct err *e)
{
	return write_row(tx, sql[SQL_UPDATE], p, e);
}

int lb_pool_delete(struct db *tx, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE], e, bind_s(id)) < 0 ? -1 : search_drop(tx, "pool", id, e);
}

int lb_pool_moved(struct db *tx, const char *id, const struct lb_actor *by, struct err *e)
{
	struct lb_pool p;
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_BY_ID], e, bind_s(id)) != 0)
		return -1;
	rc = load_first(q, &p, e);
	if (rc != 1)
		return rc;
	rc = lb_pool_log(tx, &p, "update", "groups", by, e) != 0 ? -1 : lb_pool_update(tx, &p, e);
	lb_pool_fini(&p);
	return rc;
}
