#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/fold.h"
#include "controld/identity/grant.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/token.h"
#include "controld/identity/user.h"

#include <inttypes.h>
#include <string.h>

/* ---- POST /auth/login -------------------------------------------------------------------------------------------- */

struct login {
	struct identity_service *s;
	const struct request *rq;
	char account[USER_EMAIL_MAX + 1]; /* folded */
	char address[ADDR_STRLEN];
	char site[ADDR_STRLEN]; /* whom the throttle slows down */
	bool known;
	struct user user;        /* with the tenant and role that it will act in */
	char home[RAND_ID_SIZE]; /* the tenant that the account belongs to */
	struct session session;
};

/* Failures are told apart in the log, not in the answer. */
static int work_login_failed(struct db *tx, void *arg, struct err *e)
{
	const struct login *l = arg;
	const struct change c = {
		.tenant = l->known ? l->home : "",
		.actor = l->known ? l->user.id : "",
		.kind = "login",
		.op = "login_failed",
		.subject = l->known ? l->user.id : "",
	};

	return audit_append(tx, l->rq, c, json_pack("{s:s, s:s}", "account", l->account, "address", l->address), e);
}

/* Checking a password takes long and holds no lock: what became of the account meanwhile counts. */
static int login_check_still(struct db *tx, const char *user_id, const char *verified, struct err *e)
{
	struct user now;

	if (user_get(tx, "", user_id, &now, NULL) == 0 && strcmp(now.status, "active") == 0 &&
		strcmp(now.password_hash, verified) == 0)
		return 0;
	return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "the account was changed meanwhile: log in again");
}

static int work_login(struct db *tx, void *arg, struct err *e)
{
	const struct login *l = arg;
	const struct change c = {
		.tenant = l->session.tenant_id,
		.actor = l->user.id,
		.kind = "login",
		.op = "login",
		.subject = l->user.id,
	};

	if (login_check_still(tx, l->user.id, l->user.password_hash, e) != 0 ||
		session_insert(tx, &l->session, e) != 0 ||
		user_touch_login(tx, l->home, l->user.id, l->session.created_ms, e) != 0)
		return -1;
	return audit_append(
		tx, l->rq, c, json_pack("{s:s, s:s}", "session_id", l->session.id, "address", l->address), e);
}

static int login_prepare(struct login *l, struct identity_service *s, const struct request *rq, struct err *e)
{
	const json_t *body = request_body(rq);
	const char *account = json_string_value(json_object_get(body, "email"));

	*l = (struct login){ .s = s, .rq = rq };
	if (account == NULL)
		account = json_string_value(json_object_get(body, "username"));
	if (account == NULL) {
		err_set(e, ERR_MISSING_FIELD, "email", "email: needed, or username");
		return err_detail(e, "required", "");
	}
	fold_key(l->account, sizeof l->account, account);
	addr_print_ip(request_peer(rq), l->address);
	addr_print_site(request_peer(rq), l->site);
	return 0;
}

static int login_throttle(struct login *l, struct reply *rp, struct err *e)
{
	uint64_t wait;

	if (throttle_attempt(l->s->throttle, l->site, l->account, clock_wall_ms(), &wait, e) != 0)
		return -1;
	if (wait == 0)
		return 0;
	identity_retry_after(rp, wait);
	return err_set(e, ERR_RATE_LIMITED, NULL, "too many failed logins for this account: wait %" PRIu64 " s",
		wait / 1000 + 1);
}

/* 1 when the password is right, 0 when not or the account is unknown (after the same time), -1. */
static int login_check_password(struct login *l, const char *password, struct err *e)
{
	struct db *db;
	int found;

	if (store_read_begin(l->s->store, &db, e) != 0)
		return -1;
	found = user_find(db, l->account, &l->user, e);
	store_read_end(db);
	if (found < 0)
		return -1;
	if (!found) {
		password_verify_dummy(password);
		return 0;
	}
	l->known = true;
	(void)str_copy(l->home, sizeof l->home, l->user.tenant_id);
	return password_verify(l->user.password_hash, password);
}

/* Only the owner of the password learns that the account is off, or which tenants it has. */
static int login_enter(struct login *l, struct err *e)
{
	const char *tenant = json_string_value(json_object_get(request_body(l->rq), "tenant_id"));
	struct db *db;
	int rc;

	if (strcmp(l->user.status, "active") != 0)
		return err_set(e, ERR_FORBIDDEN, NULL, "this account is %s", l->user.status);
	if (store_read_begin(l->s->store, &db, e) != 0)
		return -1;
	rc = user_enter(db, &l->user, tenant != NULL ? tenant : "", e);
	store_read_end(db);
	return rc;
}

static int login_refuse(struct login *l, struct err *e)
{
	atomic_fetch_add(&l->s->logins_failed, 1);
	if (store_write(l->s->store, STORE_LOGGED, work_login_failed, l, e) != 0)
		return -1;
	return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "account or password is wrong");
}

static int on_login(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	const char *password = json_string_value(json_object_get(request_body(rq), "password"));
	struct login l;
	json_t *answer;
	int right;

	if (login_prepare(&l, s, rq, e) != 0 || login_throttle(&l, rp, e) != 0)
		return -1;
	if ((right = login_check_password(&l, password, e)) < 0)
		return -1;
	if (!right)
		return login_refuse(&l, e);
	if (throttle_succeed(s->throttle, l.site, l.account, e) != 0 || login_enter(&l, e) != 0)
		return -1;
	grant_session(s, rq, &l.user, &l.session);
	if (store_write(s->store, STORE_LOGGED, work_login, &l, e) != 0)
		return -1;
	l.user.last_login_ms = l.session.created_ms;
	if ((answer = grant_answer(s, &l.user, &l.session, "logged in", e)) == NULL)
		return -1;
	atomic_fetch_add(&s->logins, 1);
	reply_json(rp, 200, answer);
	return 0;
}

/* ---- POST /auth/password ----------------------------------------------------------------------------------------- */

struct new_password {
	const struct request *rq;
	const char *verified; /* hash of the current one */
	char hash[PASSWORD_HASH_SIZE];
};

/* The session that asked goes on, all others end. */
static int work_password(struct db *tx, void *arg, struct err *e)
{
	const struct new_password *p = arg;
	const struct identity *id = request_identity(p->rq);
	struct change c = { .kind = "user", .op = "update", .fields = "password" };
	char session_id[RAND_ID_SIZE];
	struct user u;

	if (login_check_still(tx, id->user_id, p->verified, e) != 0 || user_get(tx, "", id->user_id, &u, e) != 0 ||
		token_session(id->token_id, session_id) != 0)
		return -1;
	(void)str_copy(u.password_hash, sizeof u.password_hash, p->hash);
	if (user_update(tx, &u, clock_wall_ms(), e) != 0 || session_end_user(tx, u.id, session_id, e) < 0)
		return -1;
	c.tenant = u.tenant_id;
	c.subject = u.id;
	return audit_append(tx, p->rq, c, user_json(&u), e);
}

/* Guessing here is throttled like a login. */
static int password_check_current(struct login *l, struct reply *rp, const char *current, struct err *e)
{
	struct db *db;
	int rc;

	if (login_throttle(l, rp, e) != 0 || store_read_begin(l->s->store, &db, e) != 0)
		return -1;
	rc = user_get(db, "", request_identity(l->rq)->user_id, &l->user, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	if (!password_verify(l->user.password_hash, current)) {
		err_set(e, ERR_VALIDATION, "current_password", "current_password is wrong");
		return err_detail(e, "match", "***");
	}
	return throttle_succeed(l->s->throttle, l->site, l->account, e);
}

static int on_password(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	const struct identity *id = request_identity(rq);
	const char *current, *next;
	struct login l = { .s = s, .rq = rq };
	struct new_password p = { .rq = rq, .verified = l.user.password_hash };

	if (id->api_key)
		return err_set(e, ERR_FORBIDDEN, NULL, "an API key cannot change a password");
	current = json_string_value(json_object_get(request_body(rq), "current_password"));
	next = json_string_value(json_object_get(request_body(rq), "new_password"));
	(void)str_copy(l.account, sizeof l.account, id->user_id);
	addr_print_ip(request_peer(rq), l.address);
	addr_print_site(request_peer(rq), l.site);
	if (password_check_current(&l, rp, current, e) != 0 || password_hash(p.hash, next, e) != 0 ||
		store_write(s->store, STORE_LOGGED, work_password, &p, e) != 0)
		return -1;
	resolver_forget(s->resolver);
	reply_json(rp, 200, json_pack("{s:b, s:s}", "success", 1, "message", "password changed"));
	return 0;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const struct schema_field login_fields[] = {
	{ .name = "email", .type = SCHEMA_STRING, .min = 1, .max = USER_EMAIL_MAX, .help = "or username" },
	{ .name = "username", .type = SCHEMA_STRING, .min = 1, .max = USER_EMAIL_MAX, .help = "or email" },
	{ .name = "password", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED | SCHEMA_SECRET, .max = PASSWORD_MAX },
	{ .name = "tenant_id",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.max = RAND_ID_SIZE,
		.help = "needed by accounts of several tenants only" },
};
static const struct schema login_schema = { "Login", login_fields, ARRAY_LEN(login_fields), false };

static const struct schema_field password_fields[] = {
	{ .name = "current_password",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED | SCHEMA_SECRET,
		.max = PASSWORD_MAX },
	{ .name = "new_password",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED | SCHEMA_SECRET,
		.format = SCHEMA_FORMAT_PASSWORD },
};
static const struct schema password_schema = { "PasswordChange", password_fields, ARRAY_LEN(password_fields), false };

const struct route login_routes[] = {
	{ "POST", "/auth/login", PERM_PUBLIC, LANE_SLOW, NULL, &login_schema, &grant_schema, 200,
		ROUTE_LOGIN | ROUTE_PER_MINUTE(120), on_login, "Log in with email or username and password", "auth" },
	{ "POST", "/auth/password", PERM_SELF, LANE_SLOW, NULL, &password_schema, NULL, 200,
		ROUTE_LOGIN | ROUTE_PER_MINUTE(30), on_password, "Change the own password; other sessions end",
		"auth" },
};
const size_t login_routes_n = ARRAY_LEN(login_routes);
