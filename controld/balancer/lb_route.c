#include "controld/balancer/lb_route.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/balancer/lb_route_input.h"
#include "controld/store/changes.h"
#include "controld/store/search.h"

#include <stdlib.h>
#include <string.h>

#define OWNER_ACTIVE                                                                                                  \
	"CASE WHEN EXISTS (SELECT 1 FROM tenants n WHERE n.id = r.tenant_id AND n.status = 'active') AND (r.user_id " \
	"= "                                                                                                          \
	"'' OR EXISTS (SELECT 1 FROM users u WHERE u.id = r.user_id AND u.status = 'active')) THEN 1 ELSE 0 END"
#define METERED                                                                                              \
	"CASE WHEN EXISTS (SELECT 1 FROM tenants n WHERE n.id = r.tenant_id AND n.max_requests_per_month > " \
	"0) THEN 1 ELSE 0 END"
#define COLUMNS                                                                                                   \
	"r.id, r.tenant_id, r.user_id, r.host, r.path_prefix, r.pool_name, r.group_id, r.group_name, r.node_id, " \
	"r.node_name, r.active, r.ssl_enabled, r.settings, r.version, r.seq, r.created_ms, "                      \
	"r.updated_ms, " OWNER_ACTIVE ", " METERED

enum {
	SQL_GET,
	SQL_LIST,
	SQL_LIST_OF_POOL,
	SQL_COUNT,
	SQL_IDS_OF_USER,
	SQL_IDS_OF_TENANT,
	SQL_IDS_OF_POOL,
	SQL_POOLS,
	SQL_OF_USER,
	SQL_OF_TENANT,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_DELETE,
	SQL_USE,
	SQL_UNUSE,
	SQL_POOL
};
#define LIST_FILTER                                                                                                    \
	"(?1 = '' OR r.tenant_id = ?1) AND r.id > ?2 AND (?3 = '' OR r.host = ?3) AND (?4 = '' OR r.group_id = ?4 OR " \
	"r.group_name = ?4) AND (?5 = '' OR r.id = ?5) "
static const char use[] = "INSERT INTO lb_route_pools (tenant_id, route_id, pool_id, group_id) SELECT p.tenant_id, "
			  "?2, p.id, ?3 FROM lb_pools p WHERE p.tenant_id = ?1 AND p.name = ?4";
static const char *const sql[] = {
	[SQL_GET] = "SELECT " COLUMNS " FROM lb_routes r WHERE r.id = ?2 AND r.tenant_id = ?1",
	[SQL_LIST] = "SELECT " COLUMNS " FROM lb_routes r WHERE " LIST_FILTER "ORDER BY r.id LIMIT ?6",
	[SQL_LIST_OF_POOL] =
		"SELECT " COLUMNS " FROM lb_routes r WHERE " LIST_FILTER
		"AND r.id IN (SELECT u.route_id FROM lb_route_pools u JOIN lb_pools p ON p.id = u.pool_id WHERE "
		"p.tenant_id = ?1 AND (p.name = ?7 OR p.id = ?7)) ORDER BY r.id LIMIT ?6",
	[SQL_COUNT] = "SELECT count(*) FROM lb_routes WHERE tenant_id = ?1",
	[SQL_IDS_OF_USER] = "SELECT id FROM lb_routes WHERE user_id = ?1",
	[SQL_IDS_OF_TENANT] = "SELECT id FROM lb_routes WHERE tenant_id = ?1",
	[SQL_IDS_OF_POOL] = "SELECT route_id FROM lb_route_pools WHERE pool_id = ?1 ORDER BY route_id",
	[SQL_POOLS] = "SELECT pool_id FROM lb_route_pools WHERE route_id = ?1 ORDER BY pool_id",
	[SQL_OF_USER] = "SELECT " COLUMNS " FROM lb_routes r WHERE r.user_id = ?1 LIMIT 1",
	[SQL_OF_TENANT] = "SELECT " COLUMNS " FROM lb_routes r WHERE r.tenant_id = ?1 LIMIT 1",
	[SQL_INSERT] =
		"INSERT INTO lb_routes (id, tenant_id, user_id, host, path_prefix, pool_name, group_id, group_name, "
		"node_id, node_name, active, ssl_enabled, settings, version, seq, created_ms, updated_ms) VALUES (?1, "
		"?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
	[SQL_UPDATE] =
		"UPDATE lb_routes SET tenant_id = ?2, user_id = ?3, host = ?4, path_prefix = ?5, pool_name = ?6, "
		"group_id = ?7, group_name = ?8, node_id = ?9, node_name = ?10, active = ?11, ssl_enabled = "
		"?12, settings = ?13, version = ?14, seq = ?15, created_ms = ?16, updated_ms = ?17 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM lb_routes WHERE id = ?1",
	[SQL_USE] = use,
	[SQL_UNUSE] = "DELETE FROM lb_route_pools WHERE route_id = ?1",
	[SQL_POOL] = "SELECT 1 FROM lb_pools WHERE tenant_id = ?1 AND name = ?2",
};
const struct sql_table lb_route_sql = { "lb_route", sql, ARRAY_LEN(sql) };

void lb_route_fini(struct lb_route *r)
{
	json_decref(r->settings);
	r->settings = NULL;
}

const char *lb_route_host(const struct lb_route *r, size_t i)
{
	return i == 0 ? r->host : json_string_value(json_array_get(json_object_get(r->settings, "aliases"), i - 1));
}

static void add_name(const char *name, const char *names[LB_ROUTE_POOLS_MAX], size_t *n)
{
	if (name == NULL || name[0] == '\0' || *n == LB_ROUTE_POOLS_MAX)
		return;
	for (size_t i = 0; i < *n; i++)
		if (strcmp(names[i], name) == 0)
			return;
	names[(*n)++] = name;
}

size_t lb_route_pool_names(const struct lb_route *r, const char *names[LB_ROUTE_POOLS_MAX])
{
	const json_t *targets = json_object_get(r->settings, "targets"), *one;
	size_t n = 0, i;

	add_name(r->pool_name, names, &n);
	json_array_foreach(targets, i, one) add_name(json_string_value(json_object_get(one, "pool")), names, &n);
	add_name(json_string_value(json_object_get(json_object_get(r->settings, "mirror"), "pool")), names, &n);
	return n;
}

/* ---- the object --------------------------------------------------------------------------------------------------- */

static void print_error(struct buf *b, const json_t *error)
{
	char *text = error != NULL ? json_dumps(error, JSON_COMPACT) : NULL;

	if (text != NULL)
		jsonw_raw(b, "error", text, strlen(text));
	else
		jsonw_null(b, "error");
	free(text);
}

void lb_route_print(struct buf *b, const struct lb_route *r, const char *status, const json_t *error)
{
	jsonw_object(b, NULL);
	jsonw_str(b, "id", r->id);
	jsonw_str(b, "tenant_id", r->tenant_id);
	jsonw_str_or_null(b, "user_id", r->user_id);
	jsonw_str(b, "host", r->host);
	jsonw_str(b, "path_prefix", r->path_prefix);
	jsonw_str_or_null(b, "pool", r->pool_name);
	jsonw_bool(b, "ssl_enabled", r->ssl_enabled);
	jsonw_str(b, "group", r->group_name);
	jsonw_str(b, "group_id", r->group_id);
	jsonw_str_or_null(b, "node", r->node_name);
	jsonw_str_or_null(b, "node_id", r->node_id);
	jsonw_str(b, "status", status != NULL ? status : r->active ? "active" : "inactive");
	if (status != NULL)
		print_error(b, error);
	knobs_print(&lb_route_knobs, r->settings, b);
	jsonw_int(b, "version", r->version);
	jsonw_time(b, "created_at", r->created_ms);
	jsonw_time(b, "updated_at", r->updated_ms);
	jsonw_end_object(b);
}

static void name_if(bool differs, const char *name, struct buf *fields)
{
	if (differs)
		buf_printf(fields, ",%s", name);
}

void lb_route_diff(const struct lb_route *a, const struct lb_route *b, struct buf *fields)
{
	name_if(!str_eq(a->host, b->host), "host", fields);
	name_if(!str_eq(a->path_prefix, b->path_prefix), "path_prefix", fields);
	name_if(!str_eq(a->pool_name, b->pool_name), "pool", fields);
	name_if(!str_eq(a->group_id, b->group_id), "group", fields);
	name_if(!str_eq(a->node_id, b->node_id), "node", fields);
	name_if(a->active != b->active, "status", fields);
	name_if(a->ssl_enabled != b->ssl_enabled, "ssl_enabled", fields);
	knobs_diff(&lb_route_knobs, a->settings, b->settings, fields);
}

int lb_route_log(
	struct db *tx, struct lb_route *r, const char *op, const char *fields, const struct lb_actor *by, struct err *e)
{
	struct buf object;
	int rc;

	buf_init(&object, LB_ROUTE_OBJECT_MAX);
	lb_route_print(&object, r, NULL, NULL);
	const struct change c = { .time_ms = by->now_ms,
		.tenant = r->tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "route",
		.op = op,
		.subject = r->id,
		.fields = fields,
		.object = buf_cstr(&object) };
	rc = changes_append(tx, &c, &r->seq, e);
	buf_free(&object);
	return rc;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	(void)str_copy(dst, size, s != NULL ? s : "");
}
#define LOAD_TEXT(member, q, col) load_text(member, sizeof(member), q, col)

static int load(struct lb_route *r, struct query *q, struct err *e)
{
	LOAD_TEXT(r->id, q, 0);
	LOAD_TEXT(r->tenant_id, q, 1);
	LOAD_TEXT(r->user_id, q, 2);
	LOAD_TEXT(r->host, q, 3);
	LOAD_TEXT(r->path_prefix, q, 4);
	LOAD_TEXT(r->pool_name, q, 5);
	LOAD_TEXT(r->group_id, q, 6);
	LOAD_TEXT(r->group_name, q, 7);
	LOAD_TEXT(r->node_id, q, 8);
	LOAD_TEXT(r->node_name, q, 9);
	r->active = query_int(q, 10) != 0;
	r->ssl_enabled = query_int(q, 11) != 0;
	r->version = query_int(q, 13);
	r->seq = query_int(q, 14);
	r->created_ms = query_int(q, 15);
	r->updated_ms = query_int(q, 16);
	r->owner_active = query_int(q, 17) != 0;
	r->metered = query_int(q, 18) != 0;
	return knobs_load(&r->settings, query_text(q, 12), e);
}

static int load_first(struct query *q, struct lb_route *r, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1 && load(r, q, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

int lb_route_get(struct db *db, const char *tenant_id, const char *id, struct lb_route *r, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	rc = load_first(q, r, e);
	if (rc == 0)
		return err_set(e, ERR_ROUTE_NOT_FOUND, NULL, "there is no route '%s'", id);
	return rc == 1 ? 0 : -1;
}

int lb_route_find_owned(struct db *db, bool tenant, const char *owner, struct lb_route *r, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[tenant ? SQL_OF_TENANT : SQL_OF_USER], e, bind_s(owner)) != 0)
		return -1;
	return load_first(q, r, e);
}

int lb_route_list(struct db *db, const struct lb_route_filter *f, lb_route_fn fn, void *arg, struct err *e)
{
	const struct bind binds[] = { bind_s(f->tenant_id), bind_s(f->after), bind_s(f->host), bind_s(f->group),
		bind_s(f->id), bind_i(f->limit), bind_s(f->pool) };
	const bool of_pool = f->pool[0] != '\0';
	struct lb_route r;
	struct query *q;
	int rc, more = 0;

	if (db_query_v(db, &q, sql[of_pool ? SQL_LIST_OF_POOL : SQL_LIST], e, binds,
		    ARRAY_LEN(binds) - (of_pool ? 0 : 1)) != 0)
		return -1;
	while (more == 0 && (rc = query_next(q, e)) == 1) {
		rc = load(&r, q, e);
		if (rc != 0)
			break;
		more = fn(&r, arg);
		lb_route_fini(&r);
	}
	query_end(q);
	return more == 0 && rc != 0 ? -1 : 0;
}

int lb_route_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNT], e, bind_s(tenant_id)) != 0)
		return -1;
	rc = query_next(q, e);
	*n = rc == 1 ? query_int(q, 0) : 0;
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static int give_ids(struct db *db, const char *statement, const char *of, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, statement, e, bind_s(of)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		rc = fn(query_text(q, 0), arg);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}

int lb_route_ids_of(
	struct db *db, const char *kind, const char *id, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	if (str_eq(kind, "user"))
		return give_ids(db, sql[SQL_IDS_OF_USER], id, fn, arg, e);
	if (str_eq(kind, "tenant"))
		return give_ids(db, sql[SQL_IDS_OF_TENANT], id, fn, arg, e);
	return str_eq(kind, "pool") ? give_ids(db, sql[SQL_IDS_OF_POOL], id, fn, arg, e) : 0;
}

int lb_route_pools_of(
	struct db *db, const char *id, int (*fn)(const char *pool_id, void *arg), void *arg, struct err *e)
{
	return give_ids(db, sql[SQL_POOLS], id, fn, arg, e);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static const char *field_of_pool(const struct lb_route *r, const char *name)
{
	const json_t *mirror = json_object_get(r->settings, "mirror");

	if (str_eq(name, r->pool_name))
		return "pool";
	return str_eq(name, json_string_value(json_object_get(mirror, "pool"))) ? "mirror.pool" : "targets";
}

/* 1: it is there. */
static int has_pool(struct db *db, const struct lb_route *r, const char *name, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_POOL], e, bind_s(r->tenant_id), bind_s(name)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

int lb_route_check_pools(struct db *db, const struct lb_route *r, struct err_list *errs, struct err *e)
{
	const char *names[LB_ROUTE_POOLS_MAX];
	const size_t n = lb_route_pool_names(r, names);
	int rc = 1;

	for (size_t i = 0; i < n && rc >= 0; i++) {
		const char *field = field_of_pool(r, names[i]);

		rc = has_pool(db, r, names[i], e);
		if (rc == 0)
			err_list_add(errs, ERR_POOL_NOT_FOUND, field, "unknown", names[i], "%s: there is no pool '%s'",
				field, names[i]);
	}
	return MIN(rc, 0);
}

static int use_pools(struct db *tx, const struct lb_route *r, struct err *e)
{
	const char *names[LB_ROUTE_POOLS_MAX];
	const size_t n = lb_route_pool_names(r, names);

	for (size_t i = 0; i < n; i++) {
		const int rows = db_exec(tx, sql[SQL_USE], e, bind_s(r->tenant_id), bind_s(r->id), bind_s(r->group_id),
			bind_s(names[i]));

		if (rows < 0)
			return -1;
		if (rows == 0) {
			const char *field = field_of_pool(r, names[i]);

			err_set(e, ERR_POOL_NOT_FOUND, field, "%s: there is no pool '%s'", field, names[i]);
			return err_detail(e, "unknown", names[i]);
		}
	}
	return 0;
}

static int write_row(struct db *tx, const char *statement, const struct lb_route *r, struct err *e)
{
	const char *const texts[] = { r->path_prefix, r->pool_name, r->group_name,
		knobs_text(&lb_route_knobs, r->settings, "description"), NULL };
	const struct search_object words = { "route", r->id, r->tenant_id, r->host, texts };
	char *settings = knobs_store(r->settings);
	int rc;

	if (settings == NULL)
		return err_set(e, ERR_NOMEM, NULL, "route %s: out of memory", r->id);
	rc = db_exec(tx, statement, e, bind_s(r->id), bind_s(r->tenant_id), bind_s(r->user_id), bind_s(r->host),
		bind_s(r->path_prefix), bind_s(r->pool_name), bind_s(r->group_id), bind_s(r->group_name),
		bind_s(r->node_id), bind_s(r->node_name), bind_i(r->active), bind_i(r->ssl_enabled), bind_s(settings),
		bind_i(r->version), bind_i(r->seq), bind_i(r->created_ms), bind_i(r->updated_ms));
	free(settings);
	return rc < 0 ? -1 : search_put(tx, &words, e);
}

int lb_route_insert(struct db *tx, const struct lb_route *r, struct err *e)
{
	return use_pools(tx, r, e) != 0 ? -1 : write_row(tx, sql[SQL_INSERT], r, e);
}

int lb_route_update(struct db *tx, const struct lb_route *r, struct err *e)
{
	if (db_exec(tx, sql[SQL_UNUSE], e, bind_s(r->id)) < 0 || use_pools(tx, r, e) != 0)
		return -1;
	return write_row(tx, sql[SQL_UPDATE], r, e);
}

int lb_route_delete(struct db *tx, const char *id, struct err *e)
{
	if (db_exec(tx, sql[SQL_UNUSE], e, bind_s(id)) < 0 || db_exec(tx, sql[SQL_DELETE], e, bind_s(id)) < 0)
		return -1;
	return search_drop(tx, "route", id, e);
}
