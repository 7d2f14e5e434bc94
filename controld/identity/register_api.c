#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/grant.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/tenant.h"
#include "controld/identity/user.h"

/* A stranger's new tenant, its owner, and his first session. */
struct registration {
	const struct request *rq;
	struct tenant tenant;
	struct user user;
	struct session session;
};

static int work_register(struct db *tx, void *arg, struct err *e)
{
	const struct registration *r = arg;
	struct change c = { .tenant = r->tenant.id, .actor = r->user.id, .op = "create" };

	if (user_insert(tx, &r->user, e) != 0 || tenant_insert(tx, &r->tenant, e) != 0 ||
		session_insert(tx, &r->session, e) != 0)
		return -1;
	c.kind = "tenant";
	c.subject = r->tenant.id;
	if (audit_append(tx, r->rq, c, tenant_json(&r->tenant), e) != 0)
		return -1;
	c.kind = "user";
	c.subject = r->user.id;
	return audit_append(tx, r->rq, c, user_json(&r->user), e);
}

static int registration_allowed(struct identity_service *s, const json_t *body, struct err *e)
{
	if (!s->conf.registration)
		return err_set(e, ERR_FORBIDDEN, NULL, "registration is not open here");
	if (json_is_string(json_object_get(body, "tenant_id")))
		return err_set(
			e, ERR_FORBIDDEN, "tenant_id", "tenant_id: that tenant takes new users by invitation only");
	return 0;
}

static int on_register(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	const json_t *body = request_body(rq);
	const char *email = json_string_value(json_object_get(body, "email"));
	struct registration r = { .rq = rq };
	char fields[128];
	json_t *answer;

	if (registration_allowed(s, body, e) != 0)
		return -1;
	tenant_init(&r.tenant, email, clock_wall_ms());
	user_init(&r.user, r.tenant.id, r.tenant.created_ms);
	user_apply(&r.user, body, fields, sizeof fields);
	r.user.role = ROLE_OWNER;
	if (password_hash(r.user.password_hash, json_string_value(json_object_get(body, "password")), e) != 0)
		return -1;
	grant_session(s, rq, &r.user, &r.session);
	if (store_write(s->store, STORE_LOGGED, work_register, &r, e) != 0 ||
		(answer = grant_answer(s, &r.user, &r.session, "registered", e)) == NULL)
		return -1;
	reply_json(rp, 201, answer);
	return 0;
}

static const struct schema_field register_fields[] = {
	{ .name = "email",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.max = USER_EMAIL_MAX,
		.format = SCHEMA_FORMAT_EMAIL },
	{ .name = "password",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED | SCHEMA_SECRET,
		.format = SCHEMA_FORMAT_PASSWORD },
	{ .name = "username", .type = SCHEMA_STRING, .min = 1, .max = USER_USERNAME_MAX },
	{ .name = "first_name", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .max = USER_NAME_MAX },
	{ .name = "last_name", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .max = USER_NAME_MAX },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .max = RAND_ID_SIZE },
};
static const struct schema register_schema = { "Register", register_fields, ARRAY_LEN(register_fields), false };

const struct route register_routes[] = {
	{ "POST", "/auth/register", PERM_PUBLIC, LANE_SLOW, NULL, &register_schema, &grant_schema, 201,
		ROUTE_LOGIN | ROUTE_PER_MINUTE(20), on_register, "Make a tenant of one's own, where that is open",
		"auth" },
};
const size_t register_routes_n = ARRAY_LEN(register_routes);
