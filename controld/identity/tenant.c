#include "controld/identity/tenant.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/fold.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"

#include <stdlib.h>
#include <string.h>

#define TENANT_COLUMNS                                                                                             \
	"id, name, status, dial_allow, version, created_ms, updated_ms, plan, max_users, max_requests_per_month, " \
	"(SELECT count(*) FROM users u WHERE u.tenant_id = tenants.id AND u.status <> 'deleting')"

enum { SQL_GET, SQL_FIND, SQL_ANY, SQL_LIST, SQL_INSERT, SQL_UPDATE, SQL_LEAVING, SQL_ERASE };
static const char *const sql[] = {
	[SQL_GET] = "SELECT " TENANT_COLUMNS " FROM tenants WHERE id = ?2 AND (?1 = '' OR tenant_id = ?1) "
		    "AND status <> 'deleting'",
	[SQL_FIND] = "SELECT " TENANT_COLUMNS " FROM tenants WHERE name_key = ?1 AND status <> 'deleting'",
	[SQL_ANY] = "SELECT 1 FROM tenants LIMIT 1",
	[SQL_LIST] = "SELECT " TENANT_COLUMNS " FROM tenants WHERE (?1 = '' OR tenant_id = ?1) AND id > ?2 "
		     "AND (?3 = '' OR status = ?3) AND status <> 'deleting' ORDER BY id LIMIT ?4",
	[SQL_INSERT] = "INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		       "updated_ms, plan, max_users, max_requests_per_month) VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, "
		       "?8, ?9, ?10, ?11)",
	[SQL_UPDATE] = "UPDATE tenants SET name = ?2, name_key = ?3, status = ?4, dial_allow = ?5, version = ?6, "
		       "updated_ms = ?7, plan = ?8, max_users = ?9, max_requests_per_month = ?10 WHERE id = ?1 AND "
		       "tenant_id = ?1",
	[SQL_LEAVING] = "SELECT id, updated_ms FROM tenants WHERE status = 'deleting' ORDER BY id LIMIT ?1",
	[SQL_ERASE] = ("DELETE FROM tenants WHERE id = ?1 AND status = 'deleting' AND NOT EXISTS (SELECT 1 FROM users "
		       "WHERE tenant_id = ?1)"),
};
const struct sql_table tenant_sql = { "tenant", sql, ARRAY_LEN(sql) };

/* ---- rules ------------------------------------------------------------------------------------------------------- */

void tenant_init(struct tenant *t, const char *name, int64_t now_ms)
{
	*t = (struct tenant){ .status = "active", .dial_allow = "[]", .version = 1 };
	rand_id(t->id, "ten");
	(void)str_copy(t->name, sizeof t->name, name);
	t->created_ms = t->updated_ms = now_ms;
}

static int tenant_apply_dial_allow(struct tenant *t, const json_t *list, struct err *e)
{
	char *text = json_is_array(list) ? json_dumps(list, JSON_COMPACT) : strdup("[]");
	int rc = text != NULL ? str_copy(t->dial_allow, sizeof t->dial_allow, text) : -1;

	free(text);
	return rc == 0 ? 0
	               : err_set(e, ERR_VALIDATION, "dial_allow", "dial_allow: at most %d ranges",
				 TENANT_DIAL_ALLOW_MAX);
}

/* What each token may ask in an hour. */
static const struct {
	const char *name;
	uint64_t per_hour;
} plans[] = { { "free", 100 }, { "professional", 1000 }, { "enterprise", 10000 } };
const char *const tenant_plans[] = { "free", "professional", "enterprise", NULL };

uint64_t tenant_plan_per_hour(const char *plan)
{
	for (size_t i = 0; i < ARRAY_LEN(plans); i++)
		if (str_eq(plans[i].name, plan))
			return plans[i].per_hour;
	return 0;
}

int tenant_check_users(const struct tenant *t, struct err *e)
{
	if (t->max_users == 0 || t->user_count < t->max_users)
		return 0;
	return err_set(e, ERR_LIMIT, "settings.max_users",
		"the tenant has %lld users, which is the most that it may have", (long long)t->user_count);
}

static void take_limit(const json_t *settings, const char *name, int64_t *limit)
{
	const json_t *v = json_object_get(settings, name);

	if (v != NULL)
		*limit = json_integer_value(v);
}

static void tenant_apply_settings(struct tenant *t, const json_t *body)
{
	const json_t *settings = json_object_get(body, "settings"), *plan = json_object_get(body, "plan");

	if (json_is_null(settings))
		t->max_users = t->max_requests_per_month = 0;
	take_limit(settings, "max_users", &t->max_users);
	take_limit(settings, "max_requests_per_month", &t->max_requests_per_month);
	if (plan != NULL)
		(void)str_copy(t->plan, sizeof t->plan, json_is_string(plan) ? json_string_value(plan) : "");
}

int tenant_apply(struct tenant *t, const json_t *body, char *names, size_t size, struct err *e)
{
	const struct tenant old = *t;
	const json_t *dial_allow = json_object_get(body, "dial_allow");
	struct fold_names changed = { names, size };

	names[0] = '\0';
	fold_take(body, "name", t->name, sizeof t->name);
	fold_take(body, "status", t->status, sizeof t->status);
	tenant_apply_settings(t, body);
	if (dial_allow != NULL && tenant_apply_dial_allow(t, dial_allow, e) != 0)
		return -1;
	fold_note(&changed, "name", strcmp(old.name, t->name) != 0);
	fold_note(&changed, "status", strcmp(old.status, t->status) != 0);
	fold_note(&changed, "plan", strcmp(old.plan, t->plan) != 0);
	fold_note(&changed, "settings",
		old.max_users != t->max_users || old.max_requests_per_month != t->max_requests_per_month);
	fold_note(&changed, "dial_allow", strcmp(old.dial_allow, t->dial_allow) != 0);
	return 0;
}

json_t *tenant_json(const struct tenant *t)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:{s:I, s:I}, s:o, s:I, s:o, s:o}", "id", t->id, "name", t->name,
		"status", t->status, "plan", t->plan[0] != '\0' ? json_string(t->plan) : json_null(), "settings",
		"max_users", (json_int_t)t->max_users, "max_requests_per_month", (json_int_t)t->max_requests_per_month,
		"dial_allow", json_loads(t->dial_allow, 0, NULL), "user_count", (json_int_t)t->user_count, "created_at",
		fold_time(t->created_ms), "updated_at", fold_time(t->updated_ms));
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void tenant_load(struct tenant *t, struct query *q)
{
	(void)str_copy(t->id, sizeof t->id, query_text(q, 0));
	(void)str_copy(t->name, sizeof t->name, query_text(q, 1));
	(void)str_copy(t->status, sizeof t->status, query_text(q, 2));
	(void)str_copy(t->dial_allow, sizeof t->dial_allow, query_text(q, 3));
	t->version = query_int(q, 4);
	t->created_ms = query_int(q, 5);
	t->updated_ms = query_int(q, 6);
	(void)str_copy(t->plan, sizeof t->plan, query_text(q, 7));
	t->max_users = query_int(q, 8);
	t->max_requests_per_month = query_int(q, 9);
	t->user_count = query_int(q, 10);
}

/* The single row of a query that was begun; ends it. 1, 0 or -1. */
static int tenant_one(struct query *q, struct tenant *out, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1)
		tenant_load(out, q);
	query_end(q);
	return rc;
}

int tenant_get(struct db *db, const char *scope, const char *id, struct tenant *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(scope), bind_s(id)) != 0 || (rc = tenant_one(q, out, e)) < 0)
		return -1;
	return rc == 1 ? 0 : err_set(e, ERR_TENANT_NOT_FOUND, NULL, "there is no tenant %s", id);
}

int tenant_find(struct db *db, const char *name, struct tenant *out, struct err *e)
{
	char key[sizeof out->name];
	struct query *q;

	fold_key(key, sizeof key, name);
	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(key)) != 0)
		return -1;
	return tenant_one(q, out, e);
}

int tenant_any(struct db *db, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ANY], e) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

int tenant_insert(struct db *tx, const struct tenant *t, struct err *e)
{
	char key[sizeof t->name];

	fold_key(key, sizeof key, t->name);
	if (db_exec(tx, sql[SQL_INSERT], e, bind_s(t->id), bind_s(t->name), bind_s(key), bind_s(t->status),
		    bind_s(t->dial_allow), bind_i(t->version), bind_i(t->created_ms), bind_i(t->updated_ms),
		    bind_s(t->plan), bind_i(t->max_users), bind_i(t->max_requests_per_month)) < 0)
		return fold_taken(e, "name", t->name);
	return 0;
}

int tenant_update(struct db *tx, struct tenant *t, int64_t now_ms, struct err *e)
{
	char key[sizeof t->name];

	/* A tenant that goes gives its name free at once. */
	fold_key(key, sizeof key, strcmp(t->status, "deleting") == 0 ? t->id : t->name);
	t->version++;
	t->updated_ms = now_ms;
	if (db_exec(tx, sql[SQL_UPDATE], e, bind_s(t->id), bind_s(t->name), bind_s(key), bind_s(t->status),
		    bind_s(t->dial_allow), bind_i(t->version), bind_i(t->updated_ms), bind_s(t->plan),
		    bind_i(t->max_users), bind_i(t->max_requests_per_month)) < 0)
		return fold_taken(e, "name", t->name);
	return 0;
}

int tenant_list(struct db *db, const char *scope, const char *status, const char *after, unsigned limit, tenant_fn fn,
	void *arg, struct err *e)
{
	struct tenant t;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(scope), bind_s(after), bind_s(status), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		tenant_load(&t, q);
		if ((rc = fn(&t, arg)) != 0)
			break;
	}
	query_end(q);
	return rc;
}

int tenant_dial_allow(struct db *db, const char *id, struct cidr *out, size_t max, size_t *n, struct err *e)
{
	struct tenant t;
	json_t *list, *item;
	size_t i;

	*n = 0;
	if (tenant_get(db, "", id, &t, e) != 0)
		return -1;
	list = json_loads(t.dial_allow, 0, NULL);
	json_array_foreach(list, i,
		item) if (*n < max && json_is_string(item) && cidr_parse(&out[*n], json_string_value(item)) == 0)++ *n;
	json_decref(list);
	return 0;
}

/* ---- the end of a tenant ----------------------------------------------------------------------------------------- */

int tenant_leaving(struct db *db, unsigned limit, erase_leaving_fn fn, void *arg, struct err *e)
{
	return erase_leaving(db, sql[SQL_LEAVING], limit, fn, arg, e);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	const struct change c = { .time_ms = o->now_ms,
		.tenant = o->id,
		.actor = "system",
		.kind = "tenant",
		.op = "erase",
		.subject = o->id,
		.fields = "status" };
	int gone = 0;

	(void)limit;
	(void)position;
	*n = 0;
	if (o->tenant && o->ripe)
		gone = db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id));
	return gone > 0 ? changes_append(tx, &c, NULL, e) : gone;
}

const struct erasure tenant_erasure = { "tenant", "tenants", erase };
