#include "controld/dynamic.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/settings.h"
#include "controld/store/changes.h"
#include "controld/store/store.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WATCHERS_MAX 8

enum kind { KIND_NUMBER, KIND_BOOL, KIND_DURATION };

static const struct row {
	const char *key;
	enum kind kind;
	int64_t min, max;
	const char *what;
} rows[] = {
#define X(name, key, member, kind, min, max, what) { key, KIND_##kind, min, max, what },
	DYNAMIC_KEYS(X)
#undef X
};

#define TABLE "dynamic_config"

enum { SQL_ALL, SQL_PUT, SQL_DROP, SQL_VERSION, SQL_RAISE };
static const char *const sql[] = {
	[SQL_ALL] = "SELECT name, value FROM " TABLE,
	[SQL_PUT] = "INSERT INTO " TABLE " (name, tenant_id, value, updated_ms) VALUES (?1, '', ?2, ?3) ON CONFLICT "
		    "(name) DO UPDATE SET value = excluded.value, updated_ms = excluded.updated_ms",
	[SQL_DROP] = "DELETE FROM " TABLE " WHERE name = ?1",
	[SQL_VERSION] = "SELECT version FROM dynamic_version",
	[SQL_RAISE] = "UPDATE dynamic_version SET version = version + 1",
};
const struct sql_table dynamic_sql = { "dynamic", sql, ARRAY_LEN(sql) };

struct watcher {
	dynamic_fn fn;
	void *arg;
};

struct dynamic {
	struct store *store;
	struct dynamic_values file; /* what the settings say */
	pthread_mutex_t lock;
	struct dynamic_values now;
	bool changed[DYNAMIC_KEYS_N]; /* is not what the file says */
	int64_t version;
	struct watcher watchers[WATCHERS_MAX];
	size_t n_watchers;
};

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* Names that this build does not know are left alone: a newer controld may have written them. */
static int find_key(const char *name)
{
	for (int i = 0; i < DYNAMIC_KEYS_N; i++)
		if (str_eq(rows[i].key, name))
			return i;
	return -1;
}

struct reading {
	struct dynamic_values v;
	bool changed[DYNAMIC_KEYS_N];
	int64_t version;
};

static int read_rows(struct db *db, struct reading *r, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ALL], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const int key = find_key(query_text(q, 0));

		if (key < 0)
			continue;
		r->v.of[key] = query_int(q, 1);
		r->changed[key] = true;
	}
	query_end(q);
	if (rc != 0 || db_query(db, &q, sql[SQL_VERSION], e) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		r->version = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* Whether that is news. */
static bool take_over(struct dynamic *d, const struct reading *r)
{
	bool news;

	pthread_mutex_lock(&d->lock);
	news = d->version != r->version;
	d->now = r->v;
	memcpy(d->changed, r->changed, sizeof d->changed);
	d->version = r->version;
	pthread_mutex_unlock(&d->lock);
	return news;
}

static int tell(struct dynamic *d, const struct dynamic_values *v, struct err *e)
{
	for (size_t i = 0; i < d->n_watchers; i++)
		if (d->watchers[i].fn(v, d->watchers[i].arg, e) != 0)
			return -1;
	return 0;
}

int dynamic_reload(struct dynamic *d, struct err *e)
{
	struct reading r = { .v = d->file };
	struct db *db;
	int rc;

	if (store_read_begin(d->store, &db, e) != 0)
		return -1;
	rc = read_rows(db, &r, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	return take_over(d, &r) ? tell(d, &r.v, e) : 0;
}

int dynamic_new(struct dynamic **out, const struct settings *s, struct store *store, struct err *e)
{
	struct dynamic *d = calloc(1, sizeof *d);

	if (d == NULL)
		return err_set(e, ERR_NOMEM, NULL, "dynamic settings: out of memory");
	pthread_mutex_init(&d->lock, NULL);
	d->store = store;
#define X(name, key, member, kind, min, max, what) d->file.of[DYNAMIC_##name] = (int64_t)s->member;
	DYNAMIC_KEYS(X)
#undef X
	if (dynamic_reload(d, e) != 0) {
		dynamic_free(d);
		return -1;
	}
	*out = d;
	return 0;
}

void dynamic_free(struct dynamic *d)
{
	if (d == NULL)
		return;
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int dynamic_watch(struct dynamic *d, dynamic_fn fn, void *arg, struct err *e)
{
	if (d->n_watchers == WATCHERS_MAX)
		return err_set(e, ERR_INTERNAL, NULL, "dynamic settings: too many watchers");
	d->watchers[d->n_watchers++] = (struct watcher){ fn, arg };
	return fn(&d->now, arg, e);
}

/* ---- GET ---------------------------------------------------------------------------------------------------------- */

static void print_value(struct buf *b, const char *key, const struct row *row, int64_t v)
{
	char text[32];

	if (row->kind == KIND_BOOL)
		jsonw_bool(b, key, v != 0);
	else if (row->kind == KIND_NUMBER)
		jsonw_int(b, key, v);
	else {
		str_fmt(text, sizeof text, v % 1000 == 0 ? "%" PRId64 "s" : "%" PRId64 "ms",
			v % 1000 == 0 ? v / 1000 : v);
		jsonw_str(b, key, text);
	}
}

static int print(struct dynamic *d, struct reply *rp)
{
	struct buf *b = reply_open(rp, 200, "application/json; charset=utf-8");

	pthread_mutex_lock(&d->lock);
	jsonw_object(b, NULL);
	jsonw_int(b, "version", d->version);
	jsonw_object(b, "settings");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		print_value(b, rows[i].key, &rows[i], d->now.of[i]);
	jsonw_end_object(b);
	jsonw_array(b, "changed");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (d->changed[i])
			jsonw_str(b, NULL, rows[i].key);
	jsonw_end_array(b);
	jsonw_end_object(b);
	reply_etag(rp, d->version);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int on_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)rq, (void)e;
	return print(feature, rp);
}

/* ---- PUT ---------------------------------------------------------------------------------------------------------- */

struct changing {
	struct dynamic *d;
	struct request *rq;
	struct reading r;
	int64_t wanted[DYNAMIC_KEYS_N];
	enum { LEAVE, SET, RESET } what[DYNAMIC_KEYS_N];
	char fields[512];
};

static int refuse(const struct row *row, const json_t *v, struct err_list *errs)
{
	char *given = json_dumps(v, JSON_ENCODE_ANY), path[96];

	str_fmt(path, sizeof path, "settings.%s", row->key);
	err_list_add(errs, ERR_VALIDATION, path, "range", given,
		"%s: %s must be %s from %" PRId64 " to %" PRId64 "%s (%s)", path, given != NULL ? given : "?",
		row->kind == KIND_BOOL     ? "true or false,"
		: row->kind == KIND_NUMBER ? "a whole number"
					   : "a duration such as \"30s\"",
		row->min, row->max, row->kind == KIND_DURATION ? " ms" : "", row->what);
	free(given);
	return -1;
}

static int read_value(const struct row *row, const json_t *v, int64_t *out)
{
	uint64_t ms;

	if (row->kind == KIND_BOOL) {
		*out = json_is_true(v);
		return json_is_boolean(v) ? 0 : -1;
	}
	*out = json_integer_value(v) * (row->kind == KIND_DURATION ? 1000 : 1);
	if (row->kind == KIND_DURATION && json_is_string(v)) {
		if (str_to_duration_ms(json_string_value(v), &ms) != 0 || ms > (uint64_t)row->max)
			return -1;
		*out = (int64_t)ms;
	} else if (!json_is_integer(v) || json_integer_value(v) > row->max) {
		return -1;
	}
	return *out >= row->min && *out <= row->max ? 0 : -1;
}

static void take(struct changing *c, struct err_list *errs)
{
	const char *name;
	json_t *v;

	json_object_foreach(json_object_get(request_body(c->rq), "settings"), name, v)
	{
		const int key = find_key(name);
		char path[96];

		str_fmt(path, sizeof path, "settings.%s", name);
		if (key < 0)
			err_list_add(errs, ERR_VALIDATION, path, "unknown", "",
				"%s: is not a setting that can be changed here; GET /api/v1/config lists them", path);
		else if (json_is_null(v))
			c->what[key] = RESET;
		else if (read_value(&rows[key], v, &c->wanted[key]) == 0)
			c->what[key] = SET;
		else
			refuse(&rows[key], v, errs);
	}
}

static int write_key(struct db *tx, struct changing *c, int key, int64_t now_ms, struct err *e)
{
	const size_t used = strlen(c->fields);
	int rc;

	str_fmt(c->fields + used, sizeof c->fields - used, "%s%s", used > 0 ? "," : "", rows[key].key);
	if (c->what[key] == SET)
		rc = db_exec(tx, sql[SQL_PUT], e, bind_s(rows[key].key), bind_i(c->wanted[key]), bind_i(now_ms));
	else
		rc = db_exec(tx, sql[SQL_DROP], e, bind_s(rows[key].key));
	return MIN(rc, 0);
}

static int work_change(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;
	const int64_t now_ms = clock_wall_ms();
	const struct change log = { .time_ms = now_ms,
		.tenant = "",
		.actor = request_identity(c->rq)->actor,
		.request_id = request_id(c->rq),
		.kind = "config",
		.op = "update",
		.subject = "config",
		.fields = c->fields };
	char etag[32];

	c->fields[0] = '\0';
	c->r = (struct reading){ .v = c->d->file };
	if (read_rows(tx, &c->r, e) != 0)
		return -1;
	str_fmt(etag, sizeof etag, "v%" PRId64, c->r.version);
	if (request_if_match(c->rq, etag, e) != 0)
		return -1;
	for (int i = 0; i < DYNAMIC_KEYS_N; i++)
		if (c->what[i] != LEAVE && write_key(tx, c, i, now_ms, e) != 0)
			return -1;
	if (c->fields[0] == '\0')
		return 0;
	if (db_exec(tx, sql[SQL_RAISE], e) < 0 || changes_append(tx, &log, NULL, e) != 0)
		return -1;
	c->r = (struct reading){ .v = c->d->file };
	return read_rows(tx, &c->r, e);
}

static int on_put(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct err_list *errs = request_errors(rq);
	struct changing c = { .d = feature, .rq = rq };

	take(&c, errs);
	if (errs->n > 0) {
		if (e != NULL)
			*e = errs->items[0];
		return -1;
	}
	if (store_write(c.d->store, STORE_LOGGED, work_change, &c, e) != 0)
		return -1;
	(void)take_over(c.d, &c.r);
	log_info("settings_changed", log_s("keys", c.fields), log_u("version", (uint64_t)c.r.version));
	return tell(c.d, &c.r.v, e) != 0 ? -1 : print(c.d, rp);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static const struct schema_field fields[] = {
	{ .name = "settings",
		.type = SCHEMA_ANY,
		.flags = SCHEMA_REQUIRED,
		.help = "an object: key to value; null for what the settings file says" },
	{ .name = "version", .type = SCHEMA_INT, .flags = SCHEMA_IGNORED, .help = "rises with each change; the ETag" },
	{ .name = "changed",
		.type = SCHEMA_ANY,
		.flags = SCHEMA_IGNORED,
		.help = "keys that are not what the settings file says" },
};
static const struct schema config_schema = { "DynamicConfig", fields, ARRAY_LEN(fields), false };

static const struct route routes[] = {
	{ "GET", "/api/v1/config", PERM_SYSTEM, LANE_DB, NULL, NULL, &config_schema, 200, 0, on_get,
		"Settings that can be changed while it runs", "Config" },
	{ "PUT", "/api/v1/config", PERM_SYSTEM, LANE_DB, NULL, &config_schema, &config_schema, 200, ROUTE_PARTIAL,
		on_put, "Change those that are sent; in force at once, on every controld", "Config" },
};

struct route_table dynamic_routes(struct dynamic *d)
{
	return (struct route_table){ routes, ARRAY_LEN(routes), d };
}
