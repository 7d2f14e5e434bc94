#include "controld/balancer/lb_backend.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/balancer/lb_standing.h"
#include "controld/store/changes.h"
#include "controld/store/search.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                               \
	"b.id, b.tenant_id, b.pool_id, p.name, b.host, b.port, b.client_id, b.dial_any, b.weight, b.region, " \
	"b.backup, b.max_connections, b.settings, b.version, b.created_ms, b.updated_ms, " LB_STANDING_STATE("b.id")
#define FROM "SELECT " COLUMNS " FROM lb_backends b JOIN lb_pools p ON p.id = b.pool_id "

enum { SQL_GET, SQL_LIST, SQL_OF_POOL, SQL_COUNT, SQL_INSERT, SQL_UPDATE, SQL_DELETE };
static const char *const sql[] = {
	[SQL_GET] = FROM "WHERE b.id = ?2 AND b.tenant_id = ?1",
	[SQL_LIST] = FROM "WHERE b.tenant_id = ?1 AND b.id > ?2 AND (?3 = '' OR b.region = ?3) ORDER BY b.id LIMIT ?4",
	[SQL_OF_POOL] = FROM "WHERE b.tenant_id = ?1 AND b.id > ?2 AND (?3 = '' OR b.region = ?3) AND b.pool_id = ?5 "
			     "ORDER BY b.id LIMIT ?4",
	[SQL_COUNT] = "SELECT count(*) FROM lb_backends WHERE pool_id = ?1",
	[SQL_INSERT] =
		"INSERT INTO lb_backends (id, tenant_id, pool_id, host, port, client_id, dial_any, weight, region, "
		"backup, max_connections, settings, version, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
		"?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
	[SQL_UPDATE] = "UPDATE lb_backends SET tenant_id = ?2, pool_id = ?3, host = ?4, port = ?5, client_id = ?6, "
		       "dial_any = ?7, weight = ?8, region = ?9, backup = ?10, max_connections = ?11, settings = ?12, "
		       "version = ?13, created_ms = ?14, updated_ms = ?15 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM lb_backends WHERE id = ?1",
};
const struct sql_table lb_backend_sql = { "lb_backend", sql, ARRAY_LEN(sql) };

int lb_backend_init(struct lb_backend *b)
{
	memset(b, 0, sizeof *b);
	b->weight = 100;
	b->version = 1;
	b->settings = json_object();
	return b->settings != NULL ? 0 : -1;
}

void lb_backend_fini(struct lb_backend *b)
{
	json_decref(b->settings);
	b->settings = NULL;
}

/* ---- the object --------------------------------------------------------------------------------------------------- */

void lb_backend_address(const struct lb_backend *b, char dst[LB_BACKEND_ADDRESS_SIZE])
{
	const bool v6 = strchr(b->host, ':') != NULL;

	(void)str_fmt(dst, LB_BACKEND_ADDRESS_SIZE, v6 ? "[%s]:%u" : "%s:%u", b->host, b->port);
}

void lb_backend_print(struct buf *out, const struct lb_backend *b, const char *status)
{
	char address[LB_BACKEND_ADDRESS_SIZE];

	lb_backend_address(b, address);
	jsonw_object(out, NULL);
	jsonw_str(out, "id", b->id);
	jsonw_str(out, "tenant_id", b->tenant_id);
	jsonw_str(out, "pool", b->pool_name);
	jsonw_str(out, "pool_id", b->pool_id);
	jsonw_str(out, "address", address);
	if (b->client_id != 0)
		jsonw_int(out, "client_id", b->client_id);
	else
		jsonw_null(out, "client_id");
	jsonw_uint(out, "weight", b->weight);
	if (status != NULL)
		jsonw_str(out, "status", status);
	jsonw_str_or_null(out, "region", b->region);
	jsonw_bool(out, "backup", b->backup);
	jsonw_uint(out, "max_connections", b->max_connections);
	if (json_object_size(b->settings) > 0)
		knobs_print_own(&lb_health_knobs, b->settings, out);
	else
		jsonw_null(out, "health_check");
	jsonw_int(out, "version", b->version);
	jsonw_time(out, "created_at", b->created_ms);
	jsonw_time(out, "updated_at", b->updated_ms);
	jsonw_end_object(out);
}

static void name_if(bool differs, const char *name, struct buf *fields)
{
	if (differs)
		buf_printf(fields, ",%s", name);
}

void lb_backend_diff(const struct lb_backend *a, const struct lb_backend *b, struct buf *fields)
{
	name_if(!str_eq(a->pool_id, b->pool_id), "pool", fields);
	name_if(!str_eq(a->host, b->host) || a->port != b->port, "address", fields);
	name_if(a->client_id != b->client_id, "client_id", fields);
	name_if(a->weight != b->weight, "weight", fields);
	name_if(!str_eq(a->region, b->region), "region", fields);
	name_if(a->backup != b->backup, "backup", fields);
	name_if(a->max_connections != b->max_connections, "max_connections", fields);
	knobs_diff(&lb_health_knobs, a->settings, b->settings, fields);
}

int lb_backend_log(struct db *tx, const struct lb_backend *b, const char *op, const char *fields,
	const struct lb_actor *by, struct err *e)
{
	struct buf object;
	int rc;

	buf_init(&object, LB_POOL_OBJECT_MAX);
	lb_backend_print(&object, b, NULL);
	const struct change c = { .time_ms = by->now_ms,
		.tenant = b->tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "backend",
		.op = op,
		.subject = b->id,
		.fields = fields,
		.object = buf_cstr(&object) };
	rc = changes_append(tx, &c, NULL, e);
	buf_free(&object);
	return rc;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	(void)str_copy(dst, size, s != NULL ? s : "");
}

static int load(struct lb_backend *b, struct query *q, struct err *e)
{
	load_text(b->id, sizeof b->id, q, 0);
	load_text(b->tenant_id, sizeof b->tenant_id, q, 1);
	load_text(b->pool_id, sizeof b->pool_id, q, 2);
	load_text(b->pool_name, sizeof b->pool_name, q, 3);
	load_text(b->host, sizeof b->host, q, 4);
	b->port = (uint16_t)query_int(q, 5);
	b->client_id = query_int(q, 6);
	b->dial_any = query_int(q, 7) != 0;
	b->weight = (uint32_t)query_int(q, 8);
	load_text(b->region, sizeof b->region, q, 9);
	b->backup = query_int(q, 10) != 0;
	b->max_connections = (uint32_t)query_int(q, 11);
	b->version = query_int(q, 13);
	b->created_ms = query_int(q, 14);
	b->updated_ms = query_int(q, 15);
	b->state = (enum backend_state_kind)query_int(q, 16);
	return knobs_load(&b->settings, query_text(q, 12), e);
}

int lb_backend_get(struct db *db, const char *tenant_id, const char *id, struct lb_backend *b, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 0)
		rc = err_set(e, ERR_BACKEND_NOT_FOUND, NULL, "there is no backend '%s'", id);
	else if (rc == 1)
		rc = load(b, q, e);
	query_end(q);
	return rc;
}

int lb_backend_list(struct db *db, const struct lb_backend_filter *f, lb_backend_fn fn, void *arg, struct err *e)
{
	const struct bind binds[] = { bind_s(f->tenant_id), bind_s(f->after), bind_s(f->region), bind_i(f->limit),
		bind_s(f->pool_id) };
	const bool one_pool = f->pool_id[0] != '\0';
	struct lb_backend b;
	struct query *q;
	int rc, more = 0;

	if (db_query_v(db, &q, sql[one_pool ? SQL_OF_POOL : SQL_LIST], e, binds,
		    ARRAY_LEN(binds) - (one_pool ? 0 : 1)) != 0)
		return -1;
	while (more == 0 && (rc = query_next(q, e)) == 1) {
		rc = load(&b, q, e);
		if (rc != 0)
			break;
		more = fn(&b, arg);
		lb_backend_fini(&b);
	}
	query_end(q);
	return more == 0 && rc != 0 ? -1 : 0;
}

int lb_backend_count(struct db *db, const char *pool_id, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNT], e, bind_s(pool_id)) != 0)
		return -1;
	rc = query_next(q, e);
	*n = rc == 1 ? query_int(q, 0) : 0;
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static int write_row(struct db *tx, const char *statement, const struct lb_backend *b, struct err *e)
{
	char address[LB_BACKEND_ADDRESS_SIZE];
	const char *const texts[] = { b->pool_name, b->region, NULL };
	const struct search_object words = { "backend", b->id, b->tenant_id, address, texts };
	char *settings = knobs_store(b->settings);
	int rc;

	if (settings == NULL)
		return err_set(e, ERR_NOMEM, NULL, "backend %s: out of memory", b->id);
	lb_backend_address(b, address);
	rc = db_exec(tx, statement, e, bind_s(b->id), bind_s(b->tenant_id), bind_s(b->pool_id), bind_s(b->host),
		bind_i(b->port), bind_i(b->client_id), bind_i(b->dial_any), bind_i(b->weight), bind_s(b->region),
		bind_i(b->backup), bind_i(b->max_connections), bind_s(settings), bind_i(b->version),
		bind_i(b->created_ms), bind_i(b->updated_ms));
	free(settings);
	return rc < 0 ? -1 : search_put(tx, &words, e);
}

int lb_backend_insert(struct db *tx, const struct lb_backend *b, struct err *e)
{
	return write_row(tx, sql[SQL_INSERT], b, e);
}

int lb_backend_update(struct db *tx, const struct lb_backend *b, struct err *e)
{
	return write_row(tx, sql[SQL_UPDATE], b, e);
}

int lb_backend_delete(struct db *tx, const char *id, struct err *e)
{
	if (db_exec(tx, sql[SQL_DELETE], e, bind_s(id)) < 0 || lb_standing_forget(tx, id, e) != 0)
		return -1;
	return search_drop(tx, "backend", id, e);
}
