#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/tenant.h"

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

static int on_tenant_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct tenant_change c = { .rq = rq, .id = request_param(rq, "id"), .body = request_body(rq) };

	if (store_write(s->store, STORE_LOGGED, work_tenant_update, &c, e) != 0)
		return -1;
	resolver_forget(s->resolver);
	reply_etag(rp, c.tenant.version);
	reply_json(rp, 200, tenant_json(&c.tenant));
	return 0;
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

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *const status_choices[] = { "active", "suspended", NULL };

#define TENANT_COMMON_FIELDS                                                                                  \
	{ .name = "dial_allow",                                                                               \
		.type = SCHEMA_ARRAY,                                                                         \
		.flags = SCHEMA_NULLABLE,                                                                     \
		.max = TENANT_DIAL_ALLOW_MAX,                                                                 \
		.item_type = SCHEMA_STRING,                                                                   \
		.format = SCHEMA_FORMAT_CIDR,                                                                 \
		.help = "ranges that relays may dial for this tenant's mappings" },                           \
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
};
const size_t tenant_routes_n = ARRAY_LEN(tenant_routes);
