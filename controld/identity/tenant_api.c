#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/tenant.h"
#include "controld/identity/tenant_plan.h"
#include "controld/identity/user.h"

#include <string.h>

enum { TENANT_FIELDS_SIZE = 64 };

/* One request that changes one tenant. */
struct tenant_change {
	const struct request *rq;
	const char *id;
	const json_t *body;
	char fields[TENANT_FIELDS_SIZE];
	struct tenant tenant; /* as it is afterwards */
};

static int tenant_audit(struct db *tx, const struct tenant_change *c, const char *op, struct err *e)
{
	const struct change row = {
		.tenant = c->tenant.id,
		.kind = "tenant",
		.op = op,
		.subject = c->tenant.id,
		.fields = c->fields,
	};

	return audit_append(tx, c->rq, row, tenant_json(&c->tenant), e);
}

/* Whoever acts in a tenant cannot switch it off under himself. */
static int tenant_check_own(const struct tenant_change *c, struct err *e)
{
	if (strcmp(c->tenant.status, "active") == 0 || strcmp(request_identity(c->rq)->tenant_id, c->tenant.id) != 0)
		return 0;
	return err_set(e, ERR_CONFLICT, "status", "status: the tenant that you act in cannot be switched off");
}

static int tenant_write(struct db *tx, struct tenant_change *c, const char *op, struct err *e)
{
	if (tenant_check_own(c, e) != 0 || tenant_update(tx, &c->tenant, clock_wall_ms(), e) != 0)
		return -1;
	if (strcmp(c->tenant.status, "active") != 0 && session_end_tenant(tx, c->tenant.id, e) < 0)
		return -1;
	return tenant_audit(tx, c, op, e);
}

/* ---- POST /api/v1/tenants ---------------------------------------------------------------------------------------- */

static int work_tenant_create(struct db *tx, void *arg, struct err *e)
{
	struct tenant_change *c = arg;

	if (tenant_insert(tx, &c->tenant, e) != 0)
		return -1;
	return tenant_audit(tx, c, "create", e);
}

static int on_tenant_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct tenant_change c = { .rq = rq };

	tenant_init(&c.tenant, "", clock_wall_ms());
	if (tenant_apply(&c.tenant, request_body(rq), c.fields, sizeof c.fields, e) != 0 ||
		store_write(s->store, STORE_LOGGED, work_tenant_create, &c, e) != 0)
		return -1;
	reply_etag(rp, c.tenant.version);
	reply_json(rp, 201, tenant_json(&c.tenant));
	return 0;
}

/* ---- GET --------------------------------------------------------------------------------------------------------- */

static int on_tenant_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct tenant t;
	struct db *db;
	int rc;

	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	rc = tenant_get(db, identity_scope(request_identity(rq)), request_param(rq, "id"), &t, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_etag(rp, t.version);
	reply_json(rp, 200, tenant_json(&t));
	return 0;
}

static int on_tenant_row(const struct tenant *t, void *items)
{
	return json_array_append_new(items, tenant_json(t));
}

static int tenant_read(struct db *db, struct identity_list *l, struct err *e)
{
	return tenant_list(db, identity_scope(request_identity(l->rq)), identity_query(l->rq, "status"), l->page.after,
		l->rows, on_tenant_row, l->items, e);
}

static int on_tenant_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return identity_list(rq, rp, feature, "id", tenant_read, e);
}

/* ---- PUT, DELETE ------------------------------------------------------------------------------------------------- */

static int tenant_change_begin(struct db *tx, struct tenant_change *c, struct err *e)
{
	if (tenant_get(tx, identity_scope(request_identity(c->rq)), c->id, &c->tenant, e) != 0)
		return -1;
	return identity_match(c->rq, c->tenant.version, e);
}

static int work_tenant_update(struct db *tx, void *arg, struct err *e)
{
	struct tenant_change *c = arg;

	if (tenant_change_begin(tx, c, e) != 0 ||
		tenant_apply(&c->tenant, c->body, c->fields, sizeof c->fields, e) != 0)
		return -1;
	return c->fields[0] != '\0' ? tenant_write(tx, c, "update", e) : 0;
}

static int tenant_update_run(
	struct identity_service *s, struct request *rq, struct reply *rp, store_fn work, struct err *e)
{
	struct tenant_change c = { .rq = rq, .id = request_param(rq, "id"), .body = request_body(rq) };

	if (store_write(s->store, STORE_LOGGED, work, &c, e) != 0)
		return -1;
	resolver_forget(s->resolver);
	tenant_plan_forget(s);
	reply_etag(rp, c.tenant.version);
	reply_json(rp, 200, tenant_json(&c.tenant));
	return 0;
}

static int on_tenant_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return tenant_update_run(feature, rq, rp, work_tenant_update, e);
}

/* Its users and keys have no active tenant any more, so they are off with it; their rows are erased later. */
static int work_tenant_delete(struct db *tx, void *arg, struct err *e)
{
	struct tenant_change *c = arg;

	if (tenant_change_begin(tx, c, e) != 0)
		return -1;
	(void)str_copy(c->tenant.status, sizeof c->tenant.status, "deleting");
	(void)str_copy(c->fields, sizeof c->fields, "status");
	return tenant_write(tx, c, "delete", e);
}

static int on_tenant_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct tenant_change c = { .rq = rq, .id = request_param(rq, "id") };

	if (store_write(s->store, STORE_LOGGED, work_tenant_delete, &c, e) != 0)
		return -1;
	resolver_forget(s->resolver);
	reply_empty(rp, 204);
	return 0;
}

/* ---- /api/tenants: the same for the tenant itself as well ---------------------------------------------------------- */

/* Its administrators name their tenant; what it may have and whether it is on is not theirs to say. */
static int check_right(const struct request *rq, const char *fields, struct err *e)
{
	if (request_identity(rq)->system_admin || fields[0] == '\0' || strcmp(fields, "name") == 0)
		return 0;
	return err_set(e, ERR_FORBIDDEN, fields, "%s: is changed by system administrators", fields);
}

static int work_own_update(struct db *tx, void *arg, struct err *e)
{
	struct tenant_change *c = arg;

	if (tenant_change_begin(tx, c, e) != 0 ||
		tenant_apply(&c->tenant, c->body, c->fields, sizeof c->fields, e) != 0 ||
		check_right(c->rq, c->fields, e) != 0)
		return -1;
	return c->fields[0] != '\0' ? tenant_write(tx, c, "update", e) : 0;
}

static int on_own_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return tenant_update_run(feature, rq, rp, work_own_update, e);
}

/* With its first administrator, whose password is shown this once. */
struct founding {
	struct tenant_change c;
	struct user owner;
	char password[RAND_ID_SIZE];
};

static int work_found(struct db *tx, void *arg, struct err *e)
{
	struct founding *f = arg;
	const struct change row = {
		.tenant = f->c.tenant.id, .kind = "user", .op = "create", .subject = f->owner.id, .fields = ""
	};

	if (work_tenant_create(tx, &f->c, e) != 0)
		return -1;
	if (f->owner.email[0] == '\0')
		return 0;
	if (user_insert(tx, &f->owner, e) != 0)
		return -1;
	return audit_append(tx, f->c.rq, row, user_json(&f->owner), e);
}

static int prepare_owner(struct founding *f, const char *email, struct err *e)
{
	json_t *body;

	user_init(&f->owner, f->c.tenant.id, clock_wall_ms());
	if (email == NULL)
		return 0;
	body = json_pack("{s:s, s:s}", "email", email, "role", "owner");
	user_apply(&f->owner, body, f->c.fields, sizeof f->c.fields);
	json_decref(body);
	f->c.fields[0] = '\0';
	rand_id(f->password, "pw");
	return password_hash(f->owner.password_hash, f->password, e);
}

static int on_found(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct founding f = { .c = { .rq = rq } };
	json_t *answer;

	tenant_init(&f.c.tenant, "", clock_wall_ms());
	if (tenant_apply(&f.c.tenant, request_body(rq), f.c.fields, sizeof f.c.fields, e) != 0 ||
		prepare_owner(&f, json_string_value(json_object_get(request_body(rq), "admin_email")), e) != 0 ||
		store_write(s->store, STORE_LOGGED, work_found, &f, e) != 0)
		return -1;
	f.c.tenant.user_count = f.owner.email[0] != '\0';
	answer = tenant_json(&f.c.tenant);
	if (f.owner.email[0] != '\0')
		json_object_set_new(answer, "admin",
			json_pack("{s:s, s:s, s:s}", "user_id", f.owner.id, "email", f.owner.email, "password",
				f.password));
	reply_etag(rp, f.c.tenant.version);
	reply_json(rp, 201, answer);
	return 0;
}

/* What it used this month, if anybody knows. */
static json_t *with_usage(struct identity_service *s, struct db *db, const struct tenant *t)
{
	json_t *o = tenant_json(t);
	struct tenant_usage u = { 0 };
	struct err e;

	if (s->usage.read != NULL && s->usage.read(s->usage.self, db, t->id, &u, &e) != 0)
		u = (struct tenant_usage){ 0 };
	json_object_set_new(o, "usage",
		json_pack("{s:I, s:f}", "requests_per_month", (json_int_t)u.requests, "bandwidth_gb",
			(double)u.bytes / 1e9));
	return o;
}

static int on_own_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	json_t *answer = NULL;
	struct tenant t;
	struct db *db;
	int rc;

	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	rc = tenant_get(db, identity_scope(request_identity(rq)), request_param(rq, "id"), &t, e);
	if (rc == 0)
		answer = with_usage(s, db, &t);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_etag(rp, t.version);
	reply_json(rp, 200, answer);
	return 0;
}

struct own_rows {
	struct identity_service *s;
	struct db *db;
	json_t *items;
};

static int on_own_row(const struct tenant *t, void *arg)
{
	const struct own_rows *r = arg;

	return json_array_append_new(r->items, with_usage(r->s, r->db, t));
}

static int own_read(struct db *db, struct identity_list *l, struct err *e)
{
	struct own_rows r = { l->service, db, l->items };

	return tenant_list(db, identity_scope(request_identity(l->rq)), identity_query(l->rq, "status"), l->page.after,
		l->rows, on_own_row, &r, e);
}

static int on_own_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return identity_list_as("tenants", rq, rp, feature, own_read, e);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *const status_choices[] = { "active", "suspended", NULL };

static const struct schema_field settings_fields[] = {
	{ .name = "max_users",
		.type = SCHEMA_INT,
		.flags = SCHEMA_NULLABLE,
		.min = 0,
		.max = 1000000,
		.help = "0: no limit" },
	{ .name = "max_requests_per_month",
		.type = SCHEMA_INT,
		.flags = SCHEMA_NULLABLE,
		.min = 0,
		.max = INT64_MAX,
		.help = "through its routes, in a calendar month (UTC); 0: no limit" },
};
static const struct schema settings_schema = { "TenantSettings", settings_fields, ARRAY_LEN(settings_fields), false };

#define TENANT_COMMON_FIELDS                                                                                  \
	{ .name = "dial_allow",                                                                               \
		.type = SCHEMA_ARRAY,                                                                         \
		.flags = SCHEMA_NULLABLE,                                                                     \
		.max = TENANT_DIAL_ALLOW_MAX,                                                                 \
		.item_type = SCHEMA_STRING,                                                                   \
		.format = SCHEMA_FORMAT_CIDR,                                                                 \
		.help = "ranges that relays may dial for this tenant's mappings" },                           \
		{ .name = "plan",                                                                             \
			.type = SCHEMA_STRING,                                                                \
			.flags = SCHEMA_NULLABLE,                                                             \
			.choices = tenant_plans,                                                              \
			.help = "requests per hour of each token: free 100, professional 1,000, enterprise "  \
				"10,000; null: no plan, no limit" },                                          \
		{ .name = "settings",                                                                         \
			.type = SCHEMA_OBJECT,                                                                \
			.flags = SCHEMA_NULLABLE,                                                             \
			.sub = &settings_schema,                                                              \
			.help = "what it may have" },                                                         \
	{                                                                                                     \
		.name = "status", .type = SCHEMA_STRING, .choices = status_choices, .help = "default: active" \
	}
#define TENANT_NAME_FIELD(f)                                                                           \
	{                                                                                              \
		.name = "name", .type = SCHEMA_STRING, .flags = (f), .min = 1, .max = TENANT_NAME_MAX, \
		.help = "unique"                                                                       \
	}

static const struct schema_field tenant_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },
	TENANT_NAME_FIELD(0),
	TENANT_COMMON_FIELDS,
	{ .name = "user_count", .type = SCHEMA_INT, .flags = SCHEMA_IGNORED },
	{ .name = "usage", .type = SCHEMA_ANY, .flags = SCHEMA_IGNORED },
	{ .name = "created_at", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },
	{ .name = "updated_at", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },
};
static const struct schema tenant_schema = { "Tenant", tenant_fields, ARRAY_LEN(tenant_fields), false };

static const struct schema_field tenant_create_fields[] = {
	TENANT_NAME_FIELD(SCHEMA_REQUIRED),
	TENANT_COMMON_FIELDS,
};
static const struct schema tenant_create_schema = { "TenantCreate", tenant_create_fields,
	ARRAY_LEN(tenant_create_fields), false };

static const struct schema_field tenant_found_fields[] = {
	TENANT_NAME_FIELD(SCHEMA_REQUIRED),
	TENANT_COMMON_FIELDS,
	{ .name = "admin_email",
		.type = SCHEMA_STRING,
		.max = USER_EMAIL_MAX,
		.format = SCHEMA_FORMAT_EMAIL,
		.help = "of its first owner, who is made with a password that the answer shows once" },
};
static const struct schema tenant_found_schema = { "TenantFounding", tenant_found_fields,
	ARRAY_LEN(tenant_found_fields), false };

static const struct schema_field tenant_query_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "status", .type = SCHEMA_STRING, .choices = status_choices },
};
static const struct schema tenant_query_schema = { NULL, tenant_query_fields, ARRAY_LEN(tenant_query_fields), false };

const struct route tenant_routes[] = {
	{ "POST", "/api/v1/tenants", PERM_SYSTEM, LANE_DB, NULL, &tenant_create_schema, &tenant_schema, 201, 0,
		on_tenant_create, "Create a tenant", "tenants" },
	{ "GET", "/api/v1/tenants", PERM_SYSTEM, LANE_DB, &tenant_query_schema, NULL, NULL, 200, 0, on_tenant_list,
		"List tenants", "tenants" },
	{ "GET", "/api/v1/tenants/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, &tenant_schema, 200, 0, on_tenant_get,
		"Show one tenant", "tenants" },
	{ "PUT", "/api/v1/tenants/{id}", PERM_SYSTEM, LANE_DB, NULL, &tenant_schema, &tenant_schema, 200, ROUTE_PARTIAL,
		on_tenant_update, "Change a tenant", "tenants" },
	{ "DELETE", "/api/v1/tenants/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0, on_tenant_delete,
		"Delete a tenant; all it has is off at once", "tenants" },
	{ "GET", "/api/tenants", PERM_READ, LANE_DB, &tenant_query_schema, NULL, NULL, 200, 0, on_own_list,
		"List the tenants that the caller may see: his own, or all", "tenants" },
	{ "POST", "/api/tenants", PERM_SYSTEM, LANE_SLOW, NULL, &tenant_found_schema, NULL, 201, 0, on_found,
		"Create a tenant, with its first owner", "tenants" },
	{ "GET", "/api/tenants/{id}", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, on_own_get,
		"Show a tenant with its usage", "tenants" },
	{ "PUT", "/api/tenants/{id}", PERM_TENANT_ADMIN, LANE_DB, NULL, &tenant_schema, &tenant_schema, 200,
		ROUTE_PARTIAL, on_own_update, "Change a tenant; its own administrators change its name", "tenants" },
	{ "DELETE", "/api/tenants/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0, on_tenant_delete,
		"Delete a tenant; all it has is off at once", "tenants" },
};
const size_t tenant_routes_n = ARRAY_LEN(tenant_routes);
