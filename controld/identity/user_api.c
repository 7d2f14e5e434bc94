#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/api_key.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/identity/scope.h"
#include "controld/identity/session.h"
#include "controld/identity/tenant.h"
#include "controld/identity/user.h"

#include <string.h>

enum { USER_FIELDS_SIZE = 128 };

/* One request that changes one user; the transaction's function sees nothing else. */
struct user_change {
	struct identity_service *s;
	const struct request *rq;
	const char *scope; /* the tenant whose users there are; "": all */
	const char *id;
	const json_t *body;            /* members to take */
	char hash[PASSWORD_HASH_SIZE]; /* "": the password stays */
	char fields[USER_FIELDS_SIZE]; /* what changed, by comma */
	struct user user;              /* as it is afterwards */
};

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static int user_refuse(struct err *e)
{
	return err_set(e, ERR_FORBIDDEN, "role", "role: nobody may manage an account above his own role");
}

/* Whoever acts stays able to act: this is also why a tenant never loses its last administrator to a slip. */
static int user_check_self(const struct user_change *c, const struct user *before, struct err *e)
{
	const struct identity *who = request_identity(c->rq);
	const struct user *after = &c->user;

	if (strcmp(who->user_id, before->id) != 0)
		return 0;
	if (strcmp(after->status, "active") != 0)
		return err_set(e, ERR_CONFLICT, "status", "status: nobody may switch himself off");
	if (after->role < before->role || (before->system_admin && !after->system_admin))
		return err_set(e, ERR_CONFLICT, "role", "role: nobody may take rights from himself");
	return 0;
}

/* As at /auth/password: whoever knows a password logs in with it, and revoking the key does not help any more. */
static int user_check_password(const struct user_change *c, struct err *e)
{
	const struct identity *who = request_identity(c->rq);

	if (json_object_get(c->body, "password") == NULL || !who->api_key || strcmp(who->user_id, c->id) != 0)
		return 0;
	return err_set(e, ERR_FORBIDDEN, "password", "password: an API key cannot change that of its own user");
}

static bool user_is_above_viewer(const struct user *u)
{
	return u->role > ROLE_VIEWER || u->system_admin;
}

static bool user_login_changes(const struct user_change *c, const struct user *before)
{
	return c->hash[0] != '\0' || strcmp(before->email, c->user.email) != 0 ||
	       strcmp(before->username, c->user.username) != 0;
}

/*
 * A login has no scopes: a key that is limited by some would get around them with an account of its making, or with
 * somebody's that it gives another password. So such a key gives no role above viewer, nor a login to whoever has one.
 * before: NULL for a new one.
 */
static int user_check_scopes(const struct user_change *c, const struct user *before, struct err *e)
{
	const struct identity *who = request_identity(c->rq);
	const struct user *after = &c->user;

	if (!who->api_key || scope_is_all(who->scopes))
		return 0;
	if (user_is_above_viewer(after) &&
		(before == NULL || after->role > before->role || (after->system_admin && !before->system_admin)))
		return err_set(e, ERR_FORBIDDEN, "role",
			"role: an API key limited by scopes gives no role above viewer; that needs the scope *");
	if (before != NULL && user_is_above_viewer(before) && user_login_changes(c, before))
		return err_set(e, ERR_FORBIDDEN, c->hash[0] != '\0' ? "password" : "email",
			"password, email and username: an API key that is limited by scopes changes those of viewers "
			"only; the others' need the scope *");
	return 0;
}

static int user_audit(struct db *tx, const struct user_change *c, const char *op, struct err *e)
{
	const struct change row = {
		.tenant = c->user.tenant_id,
		.kind = "user",
		.op = op,
		.subject = c->user.id,
		.fields = c->fields,
	};

	return audit_append(tx, c->rq, row, user_json(&c->user), e);
}

/* Writes c->user and ends what it may no longer have. */
static int user_write(struct db *tx, struct user_change *c, const char *op, struct err *e)
{
	bool off = strcmp(c->user.status, "active") != 0;

	if (user_update(tx, &c->user, clock_wall_ms(), e) != 0)
		return -1;
	if ((off || c->hash[0] != '\0') && session_end_user(tx, c->user.id, "", e) < 0)
		return -1;
	return user_audit(tx, c, op, e);
}

/* ---- POST /api/v1/users ------------------------------------------------------------------------------------------ */

/* The caller's tenant; a system administrator may name another. */
static const char *user_create_tenant(const struct request *rq)
{
	const struct identity *who = request_identity(rq);
	const char *named = json_string_value(json_object_get(request_body(rq), "tenant_id"));

	return named != NULL ? named : who->tenant_id;
}

static int work_user_create(struct db *tx, void *arg, struct err *e)
{
	struct user_change *c = arg;
	struct tenant t;

	if (tenant_get(tx, c->scope, c->user.tenant_id, &t, e) != 0 || tenant_check_users(&t, e) != 0 ||
		user_insert(tx, &c->user, e) != 0)
		return -1;
	return user_audit(tx, c, "create", e);
}

static int user_hash_body(struct user_change *c, struct err *e)
{
	const char *password = json_string_value(json_object_get(c->body, "password"));

	return password != NULL ? password_hash(c->hash, password, e) : 0;
}

static int user_create_in(
	struct identity_service *s, struct request *rq, const char *tenant_id, struct reply *rp, struct err *e)
{
	struct user_change c = {
		.s = s, .rq = rq, .scope = identity_scope(request_identity(rq)), .body = request_body(rq)
	};

	user_init(&c.user, tenant_id, clock_wall_ms());
	user_apply(&c.user, c.body, c.fields, sizeof c.fields);
	if (!user_may_manage(request_identity(rq), c.user.role, c.user.system_admin))
		return user_refuse(e);
	if (user_check_scopes(&c, NULL, e) != 0 || user_hash_body(&c, e) != 0)
		return -1;
	(void)str_copy(c.user.password_hash, sizeof c.user.password_hash, c.hash);
	if (store_write(s->store, STORE_LOGGED, work_user_create, &c, e) != 0)
		return -1;
	reply_etag(rp, c.user.version);
	reply_json(rp, 201, user_json(&c.user));
	return 0;
}

static int on_user_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return user_create_in(feature, rq, user_create_tenant(rq), rp, e);
}

/* ---- GET --------------------------------------------------------------------------------------------------------- */

static int user_reply(struct identity_service *s, const char *scope, const char *id, struct reply *rp, struct err *e)
{
	struct user u;
	struct db *db;
	int rc;

	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	rc = user_get(db, scope, id, &u, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_etag(rp, u.version);
	reply_json(rp, 200, user_json(&u));
	return 0;
}

static int on_user_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return user_reply(feature, identity_scope(request_identity(rq)), request_param(rq, "id"), rp, e);
}

static int on_user_row(const struct user *u, void *items)
{
	return json_array_append_new(items, user_json(u));
}

static int user_read(struct db *db, struct identity_list *l, struct err *e)
{
	const struct user_filter f = {
		.scope = identity_scope(request_identity(l->rq)),
		.tenant_id = identity_query(l->rq, "tenant_id"),
		.status = identity_query(l->rq, "status"),
		.role = identity_query(l->rq, "role"),
		.email = identity_query(l->rq, "email"),
		.username = identity_query(l->rq, "username"),
		.search = identity_query(l->rq, "q"),
		.after = l->page.after,
		.limit = l->rows,
	};

	return user_list(db, &f, on_user_row, l->items, e);
}

static int on_user_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return identity_list(rq, rp, feature, "id", user_read, e);
}

/* ---- PUT, suspend, activate -------------------------------------------------------------------------------------- */

static int work_user_update(struct db *tx, void *arg, struct err *e)
{
	struct user_change *c = arg;
	const struct identity *who = request_identity(c->rq);
	struct user before;

	if (user_get(tx, c->scope, c->id, &before, e) != 0 || identity_match(c->rq, before.version, e) != 0)
		return -1;
	c->user = before;
	user_apply(&c->user, c->body, c->fields, sizeof c->fields);
	if (c->hash[0] != '\0') {
		size_t used = strlen(c->fields);

		(void)str_copy(c->user.password_hash, sizeof c->user.password_hash, c->hash);
		(void)str_fmt(c->fields + used, sizeof c->fields - used, "%spassword", used > 0 ? "," : "");
	}
	if (!user_may_manage(who, before.role, before.system_admin) ||
		!user_may_manage(who, c->user.role, c->user.system_admin))
		return user_refuse(e);
	if (user_check_self(c, &before, e) != 0 || user_check_scopes(c, &before, e) != 0)
		return -1;
	return c->fields[0] != '\0' ? user_write(tx, c, "update", e) : 0;
}

static int user_change_run(struct user_change *c, struct reply *rp, struct err *e)
{
	if (user_check_password(c, e) != 0 || user_hash_body(c, e) != 0 ||
		store_write(c->s->store, STORE_LOGGED, work_user_update, c, e) != 0)
		return -1;
	resolver_forget(c->s->resolver);
	reply_etag(rp, c->user.version);
	reply_json(rp, 200, user_json(&c->user));
	return 0;
}

static int on_user_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct user_change c = { .s = feature,
		.rq = rq,
		.scope = identity_scope(request_identity(rq)),
		.id = request_param(rq, "id"),
		.body = request_body(rq) };

	return user_change_run(&c, rp, e);
}

static int user_set_status(void *feature, struct request *rq, struct reply *rp, const char *status, struct err *e)
{
	struct user_change c = {
		.s = feature, .rq = rq, .scope = identity_scope(request_identity(rq)), .id = request_param(rq, "id")
	};
	json_t *body = json_pack("{s:s}", "status", status);
	int rc;

	c.body = body;
	rc = user_change_run(&c, rp, e);
	json_decref(body);
	return rc;
}

static int on_user_suspend(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return user_set_status(feature, rq, rp, "suspended", e);
}

static int on_user_activate(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return user_set_status(feature, rq, rp, "active", e);
}

/* ---- DELETE ------------------------------------------------------------------------------------------------------ */

/* Its API keys go with it; the one row in the log stands for them. */
static int work_user_delete(struct db *tx, void *arg, struct err *e)
{
	struct user_change *c = arg;
	const struct identity *who = request_identity(c->rq);
	struct user before;

	if (user_get(tx, c->scope, c->id, &before, e) != 0 || identity_match(c->rq, before.version, e) != 0)
		return -1;
	if (!user_may_manage(who, before.role, before.system_admin))
		return user_refuse(e);
	c->user = before;
	(void)str_copy(c->user.status, sizeof c->user.status, "deleting");
	(void)str_copy(c->fields, sizeof c->fields, "status");
	if (user_check_self(c, &before, e) != 0 || api_key_delete_user(tx, before.id, e) < 0)
		return -1;
	return user_write(tx, c, "delete", e);
}

static int user_delete_run(struct user_change *c, struct reply *rp, struct err *e)
{
	if (store_write(c->s->store, STORE_LOGGED, work_user_delete, c, e) != 0)
		return -1;
	resolver_forget(c->s->resolver);
	reply_empty(rp, 204);
	return 0;
}

static int on_user_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct user_change c = {
		.s = feature, .rq = rq, .scope = identity_scope(request_identity(rq)), .id = request_param(rq, "id")
	};

	return user_delete_run(&c, rp, e);
}

/* ---- the same below a tenant: /api/tenants/{tenant_id}/users ------------------------------------------------------- */

/* Another tenant's do not exist, but for system administrators. */
static int tenant_scope(struct request *rq, const char **scope, struct err *e)
{
	const struct identity *who = request_identity(rq);

	*scope = request_param(rq, "tenant_id");
	if (who->system_admin || strcmp(*scope, who->tenant_id) == 0)
		return 0;
	return err_set(e, ERR_TENANT_NOT_FOUND, NULL, "there is no tenant %s", *scope);
}

static int on_member_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *scope;

	return tenant_scope(rq, &scope, e) != 0 ? -1 : user_create_in(feature, rq, scope, rp, e);
}

static int member_read(struct db *db, struct identity_list *l, struct err *e)
{
	struct tenant t;
	const struct user_filter f = {
		.scope = request_param(l->rq, "tenant_id"),
		.tenant_id = "",
		.status = identity_query(l->rq, "status"),
		.role = identity_query(l->rq, "role"),
		.email = "",
		.username = "",
		.search = identity_query(l->rq, "q"),
		.after = l->page.after,
		.limit = l->rows,
	};

	if (tenant_get(db, "", f.scope, &t, e) != 0)
		return -1;
	return user_list(db, &f, on_user_row, l->items, e);
}

static int on_member_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *scope;

	return tenant_scope(rq, &scope, e) != 0 ? -1 : identity_list_as("users", rq, rp, feature, member_read, e);
}

static int on_member_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *scope;

	return tenant_scope(rq, &scope, e) != 0 ? -1 : user_reply(feature, scope, request_param(rq, "user_id"), rp, e);
}

static int on_member_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct user_change c = { .s = feature, .rq = rq, .id = request_param(rq, "user_id"), .body = request_body(rq) };

	return tenant_scope(rq, &c.scope, e) != 0 ? -1 : user_change_run(&c, rp, e);
}

static int on_member_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct user_change c = { .s = feature, .rq = rq, .id = request_param(rq, "user_id") };

	return tenant_scope(rq, &c.scope, e) != 0 ? -1 : user_delete_run(&c, rp, e);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *const role_choices[] = { "viewer", "operator", "admin", "owner", NULL };
static const char *const status_choices[] = { "active", "inactive", "suspended", NULL };

/* What only answers carry; clients that send an object back as they got it are not refused for it. */
#define USER_ANSWER_FIELDS                                                                                       \
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },                                        \
		{ .name = "user_id", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED, .help = "the same as id" }, \
		{ .name = "roles", .type = SCHEMA_ARRAY, .flags = SCHEMA_IGNORED, .item_type = SCHEMA_STRING },  \
		{ .name = "created_at", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },                        \
		{ .name = "updated_at", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },                        \
	{                                                                                                        \
		.name = "last_login", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED | SCHEMA_NULLABLE           \
	}
#define USER_COMMON_FIELDS                                                                                          \
	{ .name = "username",                                                                                       \
		.type = SCHEMA_STRING,                                                                              \
		.min = 1,                                                                                           \
		.max = USER_USERNAME_MAX,                                                                           \
		.help = "unique; default: the email" },                                                             \
		{ .name = "first_name", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .max = USER_NAME_MAX },    \
		{ .name = "last_name", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .max = USER_NAME_MAX },     \
		{ .name = "role",                                                                                   \
			.type = SCHEMA_STRING,                                                                      \
			.choices = role_choices,                                                                    \
			.help = "default: viewer; API keys limited by scopes give no other" },                      \
		{ .name = "status", .type = SCHEMA_STRING, .choices = status_choices, .help = "default: active" },  \
	{                                                                                                           \
		.name = "system_admin", .type = SCHEMA_BOOL, .help = "all tenants and the platform; default: false" \
	}
#define USER_EMAIL_FIELD(f)                                                                  \
	{                                                                                    \
		.name = "email", .type = SCHEMA_STRING, .flags = (f), .max = USER_EMAIL_MAX, \
		.format = SCHEMA_FORMAT_EMAIL, .help = "unique"                              \
	}

static const struct schema_field user_fields[] = {
	USER_ANSWER_FIELDS,
	USER_EMAIL_FIELD(0),
	USER_COMMON_FIELDS,
	{ .name = "tenant_id", .type = SCHEMA_STRING },
};
const struct schema user_schema = { "User", user_fields, ARRAY_LEN(user_fields), false };

static const struct schema_field user_create_fields[] = {
	USER_EMAIL_FIELD(SCHEMA_REQUIRED),
	USER_COMMON_FIELDS,
	{ .name = "password",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED | SCHEMA_SECRET,
		.format = SCHEMA_FORMAT_PASSWORD },
	{ .name = "tenant_id",
		.type = SCHEMA_STRING,
		.max = RAND_ID_SIZE,
		.help = "default: the caller's; another one needs a system administrator" },
};
static const struct schema user_create_schema = { "UserCreate", user_create_fields, ARRAY_LEN(user_create_fields),
	false };

static const struct schema_field user_update_fields[] = {
	USER_ANSWER_FIELDS,
	USER_EMAIL_FIELD(0),
	USER_COMMON_FIELDS,
	{ .name = "password",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_SECRET,
		.format = SCHEMA_FORMAT_PASSWORD,
		.help = "ends the user's sessions" },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED },
};
static const struct schema user_update_schema = { "UserUpdate", user_update_fields, ARRAY_LEN(user_update_fields),
	false };

static const struct schema_field user_query_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "status", .type = SCHEMA_STRING, .choices = status_choices },
	{ .name = "role", .type = SCHEMA_STRING, .choices = role_choices },
	{ .name = "email", .type = SCHEMA_STRING, .max = USER_EMAIL_MAX },
	{ .name = "username", .type = SCHEMA_STRING, .max = USER_EMAIL_MAX },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .max = RAND_ID_SIZE },
	{ .name = "q",
		.type = SCHEMA_STRING,
		.max = USER_EMAIL_MAX,
		.help = "beginning of email, username, first or last name" },
};
static const struct schema user_query_schema = { NULL, user_query_fields, ARRAY_LEN(user_query_fields), false };

static const struct schema_field member_query_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "status", .type = SCHEMA_STRING, .choices = status_choices },
	{ .name = "role", .type = SCHEMA_STRING, .choices = role_choices },
	{ .name = "q", .type = SCHEMA_STRING, .max = USER_EMAIL_MAX, .help = "beginning of email, username or a name" },
};
static const struct schema member_query_schema = { NULL, member_query_fields, ARRAY_LEN(member_query_fields), false };

const struct route user_routes[] = {
	{ "POST", "/api/v1/users", PERM_TENANT_ADMIN, LANE_SLOW, NULL, &user_create_schema, &user_schema, 201, 0,
		on_user_create, "Create a user", "users" },
	{ "GET", "/api/v1/users", PERM_TENANT_ADMIN, LANE_DB, &user_query_schema, NULL, NULL, 200, 0, on_user_list,
		"List users", "users" },
	{ "GET", "/api/v1/users/{id}", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, &user_schema, 200, 0, on_user_get,
		"Show one user", "users" },
	{ "PUT", "/api/v1/users/{id}", PERM_TENANT_ADMIN, LANE_SLOW, NULL, &user_update_schema, &user_schema, 200,
		ROUTE_PARTIAL, on_user_update, "Change a user", "users" },
	{ "DELETE", "/api/v1/users/{id}", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, NULL, 204, 0, on_user_delete,
		"Delete a user; its sessions, keys and mappings are off at once", "users" },
	{ "POST", "/api/v1/users/{id}/suspend", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, &user_schema, 200, 0,
		on_user_suspend, "Switch a user and its mappings off", "users" },
	{ "POST", "/api/v1/users/{id}/activate", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, &user_schema, 200, 0,
		on_user_activate, "Switch a user and its mappings on again", "users" },
	{ "GET", "/api/tenants/{tenant_id}/users", PERM_TENANT_ADMIN, LANE_DB, &member_query_schema, NULL, NULL, 200, 0,
		on_member_list, "List the users of a tenant", "tenants" },
	{ "POST", "/api/tenants/{tenant_id}/users", PERM_TENANT_ADMIN, LANE_SLOW, NULL, &user_create_schema,
		&user_schema, 201, 0, on_member_create, "Add a user to a tenant", "tenants" },
	{ "GET", "/api/tenants/{tenant_id}/users/{user_id}", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, &user_schema, 200,
		0, on_member_get, "Show a user of a tenant", "tenants" },
	{ "PUT", "/api/tenants/{tenant_id}/users/{user_id}", PERM_TENANT_ADMIN, LANE_SLOW, NULL, &user_update_schema,
		&user_schema, 200, ROUTE_PARTIAL, on_member_update, "Change a user of a tenant", "tenants" },
	{ "DELETE", "/api/tenants/{tenant_id}/users/{user_id}", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, NULL, 204, 0,
		on_member_delete, "Remove a user of a tenant", "tenants" },
};
const size_t user_routes_n = ARRAY_LEN(user_routes);
