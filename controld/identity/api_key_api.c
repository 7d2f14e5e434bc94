#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/api_key.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/identity/scope.h"

#include <stdio.h>
#include <string.h>

/* Whose keys a caller sees: administrators all of their tenant, others their own. */
static const char *api_key_owner(const struct identity *who)
{
	return who->system_admin || who->role >= ROLE_ADMIN ? "" : who->user_id;
}

/* A stolen key must not be able to breed, or revoking it would not help. */
static int api_key_refuse_key(const struct identity *who, struct err *e)
{
	if (!who->api_key)
		return 0;
	return err_set(e, ERR_FORBIDDEN, NULL, "an API key cannot make or delete API keys: log in");
}

static int api_key_audit(
	struct db *tx, const struct request *rq, const struct api_key *k, const char *op, struct err *e)
{
	const struct change c = { .tenant = k->tenant_id, .kind = "api_key", .op = op, .subject = k->id };

	return audit_append(tx, rq, c, api_key_json(k), e);
}

/* ---- scopes -------------------------------------------------------------------------------------------------------- */

static int on_resource(const struct route *r, void *arg)
{
	char scope[SCOPE_SIZE];

	identity_scope_of(scope, r);
	scope[strcspn(scope, ":")] = '\0';
	return str_eq(scope, arg);
}

/* All errors are added to the request's. */
static void check_scope(struct request *rq, const char *scope)
{
	char resource[SCOPE_SIZE];
	struct err e;

	if (scope_check(scope, resource, &e) != 0)
		err_list_add(request_errors(rq), ERR_VALIDATION, "scopes", "format", scope, "%s", e.msg);
	else if (!str_eq(resource, "*") && request_each_route(rq, on_resource, resource) == 0)
		err_list_add(request_errors(rq), ERR_VALIDATION, "scopes", "choice", scope,
			"scopes: there is no resource '%.60s'; GET /api/v1/api-keys/scopes tells which there are",
			resource);
}

/* By blank; what was not given is everything. */
static int take_scopes(struct api_key *k, struct request *rq, struct err *e)
{
	const json_t *scopes = json_object_get(request_body(rq), "scopes");
	const json_t *scope;
	size_t i, len = 0;

	if (!json_is_array(scopes))
		return 0;
	k->scopes[0] = '\0';
	json_array_foreach(scopes, i, scope)
	{
		const char *text = json_string_value(scope);

		check_scope(rq, text);
		if (len + strlen(text) + 2 > sizeof k->scopes)
			return err_set(e, ERR_VALIDATION, "scopes", "scopes: longer than %d bytes together",
				IDENTITY_SCOPES_SIZE - 1);
		len += (size_t)snprintf(k->scopes + len, sizeof k->scopes - len, "%s%s", i > 0 ? " " : "", text);
	}
	return request_errors(rq)->n > 0 ? -1 : 0;
}

static int on_scope(const struct route *r, void *arg)
{
	char scope[SCOPE_SIZE];
	json_t *calls;

	if (r->permission == PERM_PUBLIC || r->permission == PERM_CLIENT)
		return 0;
	identity_scope_of(scope, r);
	if ((calls = json_object_get(arg, scope)) == NULL) {
		calls = json_array();
		json_object_set_new(arg, scope, calls);
	}
	json_array_append_new(calls, json_sprintf("%s %s", r->method, r->path));
	return 0;
}

static int on_api_key_scopes(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	json_t *all = json_object(), *items = json_array(), *calls;
	const char *scope;

	(void)feature;
	(void)e;
	(void)request_each_route(rq, on_scope, all);
	json_object_foreach(all, scope, calls)
		json_array_append_new(items, json_pack("{s:s, s:O}", "scope", scope, "calls", calls));
	json_decref(all);
	reply_list(rp, items, NULL);
	return 0;
}

/* ---- POST /api/v1/api-keys --------------------------------------------------------------------------------------- */

struct api_key_create {
	struct identity_service *s;
	const struct request *rq;
	struct api_key key;
	char text[API_KEY_TEXT_SIZE];
};

static int api_key_take(struct api_key *k, const struct identity *who, const json_t *body, struct err *e)
{
	const char *role = json_string_value(json_object_get(body, "role"));
	const char *expires = json_string_value(json_object_get(body, "expires_at"));

	(void)str_copy(k->tenant_id, sizeof k->tenant_id, who->tenant_id);
	(void)str_copy(k->user_id, sizeof k->user_id, who->user_id);
	(void)str_copy(k->name, sizeof k->name, json_string_value(json_object_get(body, "name")));
	k->system_admin = json_is_true(json_object_get(body, "system_admin"));
	if (role_parse(role, &k->role) != 0 || k->role > who->role || (k->system_admin && !who->system_admin))
		return err_set(e, ERR_FORBIDDEN, "role", "role: a key may have at most your own role, %s",
			role_name(who->role));
	if (expires == NULL)
		return 0;
	if (clock_parse_rfc3339(expires, &k->expires_ms) != 0 || k->expires_ms <= k->created_ms) {
		err_set(e, ERR_VALIDATION, "expires_at", "expires_at: must be a time to come");
		return err_detail(e, "range", expires);
	}
	return 0;
}

static int work_api_key_create(struct db *tx, void *arg, struct err *e)
{
	struct api_key_create *c = arg;
	int64_t n = 0;

	if (api_key_count(tx, c->key.tenant_id, &n, e) != 0)
		return -1;
	if (n >= c->s->conf.api_keys_max)
		return err_set(
			e, ERR_LIMIT, NULL, "the tenant has %u API keys, which is the limit", c->s->conf.api_keys_max);
	if (api_key_insert(tx, &c->key, e) != 0)
		return -1;
	return api_key_audit(tx, c->rq, &c->key, "create", e);
}

static int on_api_key_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct api_key_create c = { .s = feature, .rq = rq };
	json_t *answer;

	api_key_make(&c.key, c.text, clock_wall_ms());
	if (api_key_refuse_key(who, e) != 0 || api_key_take(&c.key, who, request_body(rq), e) != 0 ||
		take_scopes(&c.key, rq, e) != 0 ||
		store_write(c.s->store, STORE_LOGGED, work_api_key_create, &c, e) != 0)
		return -1;
	answer = api_key_json(&c.key);
	json_object_set_new(answer, "key", json_string(c.text)); /* here and never again */
	reply_json(rp, 201, answer);
	return 0;
}

/* ---- GET --------------------------------------------------------------------------------------------------------- */

static int on_api_key_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	const struct identity *who = request_identity(rq);
	struct api_key k;
	struct db *db;
	int rc;

	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	rc = api_key_get(db, identity_scope(who), api_key_owner(who), request_param(rq, "id"), &k, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_json(rp, 200, api_key_json(&k));
	return 0;
}

static int on_api_key_row(const struct api_key *k, void *items)
{
	return json_array_append_new(items, api_key_json(k));
}

static int api_key_read(struct db *db, struct identity_list *l, struct err *e)
{
	const struct identity *who = request_identity(l->rq);
	const struct api_key_filter f = {
		.scope = identity_scope(who),
		.owner = api_key_owner(who),
		.tenant_id = identity_query(l->rq, "tenant_id"),
		.user_id = identity_query(l->rq, "user_id"),
		.role = identity_query(l->rq, "role"),
		.after = l->page.after,
		.limit = l->rows,
	};

	return api_key_list(db, &f, on_api_key_row, l->items, e);
}

static int on_api_key_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return identity_list(rq, rp, feature, "id", api_key_read, e);
}

/* ---- DELETE ------------------------------------------------------------------------------------------------------ */

static int work_api_key_delete(struct db *tx, void *arg, struct err *e)
{
	const struct request *rq = arg;
	const struct identity *who = request_identity(rq);
	struct api_key k;

	if (api_key_get(tx, identity_scope(who), api_key_owner(who), request_param(rq, "id"), &k, e) != 0 ||
		api_key_delete(tx, k.tenant_id, k.id, e) < 0)
		return -1;
	return api_key_audit(tx, rq, &k, "delete", e);
}

static int on_api_key_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;

	if (api_key_refuse_key(request_identity(rq), e) != 0 ||
		store_write(s->store, STORE_LOGGED, work_api_key_delete, rq, e) != 0)
		return -1;
	resolver_forget(s->resolver);
	reply_empty(rp, 204);
	return 0;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *const role_choices[] = { "viewer", "operator", "admin", "owner", NULL };

static const struct schema_field api_key_create_fields[] = {
	{ .name = "name", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = API_KEY_NAME_MAX },
	{ .name = "role",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.choices = role_choices,
		.help = "what the key may do, at most what its owner may" },
	{ .name = "expires_at",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.format = SCHEMA_FORMAT_TIME,
		.help = "default: never" },
	{ .name = "system_admin", .type = SCHEMA_BOOL, .help = "all tenants and the platform; default: false" },
	{ .name = "scopes",
		.type = SCHEMA_ARRAY,
		.item_type = SCHEMA_STRING,
		.min = 1,
		.max = SCOPES_MAX,
		.help = "what it is for, at most what its role may: mappings:read, clients:*, *:read; "
			"default: *, which it also takes to give users a role above viewer, or a password to "
			"whoever has one" },
};
static const struct schema api_key_create_schema = { "ApiKeyCreate", api_key_create_fields,
	ARRAY_LEN(api_key_create_fields), false };

static const struct schema_field api_key_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING },
	{ .name = "tenant_id", .type = SCHEMA_STRING },
	{ .name = "user_id", .type = SCHEMA_STRING },
	{ .name = "name", .type = SCHEMA_STRING },
	{ .name = "prefix", .type = SCHEMA_STRING, .help = "first characters, to tell keys apart" },
	{ .name = "role", .type = SCHEMA_STRING, .choices = role_choices },
	{ .name = "system_admin", .type = SCHEMA_BOOL },
	{ .name = "created_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME },
	{ .name = "expires_at", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .format = SCHEMA_FORMAT_TIME },
	{ .name = "scopes",
		.type = SCHEMA_ARRAY,
		.item_type = SCHEMA_STRING,
		.help = "what it is for; * is everything" },
	{ .name = "last_used_at",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.format = SCHEMA_FORMAT_TIME,
		.help = "some seconds late" },
	{ .name = "last_used_ip", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE },
	{ .name = "key", .type = SCHEMA_STRING, .help = "in the answer to its creation only" },
};
static const struct schema api_key_schema = { "ApiKey", api_key_fields, ARRAY_LEN(api_key_fields), false };

static const struct schema_field api_key_query_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" },
	{ .name = "cursor", .type = SCHEMA_STRING, .max = RAND_ID_SIZE, .help = "next_cursor of the answer before" },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .max = RAND_ID_SIZE, .help = "for system administrators" },
	{ .name = "user_id", .type = SCHEMA_STRING, .max = RAND_ID_SIZE, .help = "of this user" },
	{ .name = "role", .type = SCHEMA_STRING, .choices = role_choices },
};
static const struct schema api_key_query_schema = { NULL, api_key_query_fields, ARRAY_LEN(api_key_query_fields),
	false };

static const struct schema_field api_key_list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &api_key_schema },
	{ .name = "next_cursor",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.help = "null: this was the last page" },
};
static const struct schema api_key_list_schema = { "ApiKeyList", api_key_list_fields, ARRAY_LEN(api_key_list_fields),
	false };

static const struct schema_field scope_fields[] = {
	{ .name = "scope", .type = SCHEMA_STRING },
	{ .name = "calls", .type = SCHEMA_ARRAY, .item_type = SCHEMA_STRING, .help = "method and path" },
};
static const struct schema scope_schema = { "Scope", scope_fields, ARRAY_LEN(scope_fields), false };
static const struct schema_field scope_list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &scope_schema },
	{ .name = "next_cursor", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .help = "null" },
};
static const struct schema scope_list_schema = { "ScopeList", scope_list_fields, ARRAY_LEN(scope_list_fields), false };

const struct route api_key_routes[] = {
	{ "POST", "/api/v1/api-keys", PERM_SELF, LANE_DB, NULL, &api_key_create_schema, &api_key_schema, 201,
		ROUTE_PER_MINUTE(60), on_api_key_create, "Make an API key; it is shown once", "api-keys" },
	{ "GET", "/api/v1/api-keys", PERM_SELF, LANE_DB, &api_key_query_schema, NULL, &api_key_list_schema, 200, 0,
		on_api_key_list, "List API keys", "api-keys" },
	{ "GET", "/api/v1/api-keys/scopes", PERM_SELF, LANE_DB, NULL, NULL, &scope_list_schema, 200, 0,
		on_api_key_scopes, "The scopes that keys can have, and what each allows", "api-keys" },
	{ "GET", "/api/v1/api-keys/{id}", PERM_SELF, LANE_DB, NULL, NULL, &api_key_schema, 200, 0, on_api_key_get,
		"Show one API key", "api-keys" },
	{ "DELETE", "/api/v1/api-keys/{id}", PERM_SELF, LANE_DB, NULL, NULL, NULL, 204, 0, on_api_key_delete,
		"Delete an API key; it is worth nothing at once", "api-keys" },
};
const size_t api_key_routes_n = ARRAY_LEN(api_key_routes);
