#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/grant.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/token.h"
#include "controld/identity/user.h"

#include <string.h>
#include <strings.h>

/* ---- POST /auth/refresh ------------------------------------------------------------------------------------------ */

struct refresh {
	struct identity_service *s;
	const struct request *rq;
	char session_id[RAND_ID_SIZE];
	int64_t presented;
	enum session_verdict verdict;
	struct session session;
	struct user user;
};

static int refresh_audit_reuse(struct db *tx, const struct refresh *r, struct err *e)
{
	const struct change c = {
		.tenant = r->session.tenant_id,
		.actor = r->session.user_id,
		.kind = "login",
		.op = "token_reuse",
		.subject = r->session.user_id,
	};
	char address[ADDR_STRLEN];

	addr_print_ip(request_peer(r->rq), address);
	return audit_append(tx, r->rq, c, json_pack("{s:s, s:s}", "session_id", r->session.id, "address", address), e);
}

static int refresh_read_user(struct db *tx, struct refresh *r, struct err *e)
{
	if (user_get(tx, "", r->session.user_id, &r->user, NULL) != 0 || strcmp(r->user.status, "active") != 0 ||
		user_enter(tx, &r->user, r->session.tenant_id, NULL) != 0)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token is not valid: its account is off");
	return 0;
}

/* A reuse is no failure here: what it does to the session must be committed. */
static int work_refresh(struct db *tx, void *arg, struct err *e)
{
	struct refresh *r = arg;
	int64_t now_ms = clock_wall_ms();
	int found = session_find(tx, r->session_id, now_ms, &r->session, e);

	if (found < 0)
		return -1;
	r->verdict = found ? session_judge(r->session.used, r->presented) : SESSION_UNKNOWN;
	switch (r->verdict) {
	case SESSION_UNKNOWN:
		return 0;
	case SESSION_REUSED:
		return session_end(tx, r->session.tenant_id, r->session.id, e) < 0 ? -1 : refresh_audit_reuse(tx, r, e);
	case SESSION_AGAIN:
		return refresh_read_user(tx, r, e);
	case SESSION_NEW:
		r->session.used = r->presented;
		r->session.expires_ms = now_ms + (int64_t)r->s->conf.refresh_ms;
		return refresh_read_user(tx, r, e) != 0 ? -1 : session_advance(tx, &r->session, e);
	}
	return -1;
}

/* In the body, or where printed clients put it: in place of the access token. */
static const char *refresh_shown(const struct request *rq)
{
	const char *token = json_string_value(json_object_get(request_body(rq), "refresh_token"));
	const char *header = request_header(rq, "Authorization");

	if (token == NULL && header != NULL && strncasecmp(header, "Bearer ", 7) == 0)
		token = header + 7 + strspn(header + 7, " ");
	return token;
}

static int on_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct refresh r = { .s = s, .rq = rq };
	const char *token = refresh_shown(rq);
	json_t *answer;

	if (token == NULL) {
		err_set(e, ERR_MISSING_FIELD, "refresh_token", "refresh_token: needed, or as Bearer token");
		return err_detail(e, "required", "");
	}
	if (session_token_parse(token, s->refresh_key, r.session_id, &r.presented) != 0)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token is not valid");
	if (store_write(s->store, STORE_LOGGED, work_refresh, &r, e) != 0)
		return -1;
	if (r.verdict == SESSION_UNKNOWN)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token is not valid: its session has ended");
	if (r.verdict == SESSION_REUSED) {
		resolver_forget(s->resolver);
		atomic_fetch_add(&s->token_reuses, 1);
		return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token was used before: its session is ended now");
	}
	if ((answer = grant_answer(s, &r.user, &r.session, "refreshed", e)) == NULL)
		return -1;
	atomic_fetch_add(&s->refreshes, 1);
	reply_json(rp, 200, answer);
	return 0;
}

/* ---- POST /auth/logout, GET /auth/me ----------------------------------------------------------------------------- */

static int work_logout(struct db *tx, void *arg, struct err *e)
{
	const struct request *rq = arg;
	const struct identity *id = request_identity(rq);
	const struct change c = { .tenant = id->tenant_id, .kind = "login", .op = "logout", .subject = id->user_id };
	char session_id[RAND_ID_SIZE];

	if (token_session(id->token_id, session_id) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "logout: token %s names no session", id->token_id);
	if (session_end(tx, id->tenant_id, session_id, e) < 0)
		return -1;
	return audit_append(tx, rq, c, json_pack("{s:s}", "session_id", session_id), e);
}

static int on_logout(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;

	if (request_identity(rq)->api_key)
		return err_set(e, ERR_BAD_REQUEST, NULL, "an API key has no session: delete the key instead");
	if (store_write(s->store, STORE_LOGGED, work_logout, rq, e) != 0)
		return -1;
	resolver_forget(s->resolver);
	reply_json(rp, 200, json_pack("{s:b, s:s}", "success", 1, "message", "logged out"));
	return 0;
}

static json_t *read_me(struct identity_service *s, const struct identity *id, struct err *e)
{
	struct user u;
	struct db *db;
	int rc;

	if (store_read_begin(s->store, &db, e) != 0)
		return NULL;
	rc = user_get(db, "", id->user_id, &u, e); /* himself, whichever tenant he acts in */
	store_read_end(db);
	if (rc != 0)
		return NULL;
	(void)str_copy(u.tenant_id, sizeof u.tenant_id, id->tenant_id);
	u.role = id->role;
	u.system_admin = id->system_admin;
	return user_json(&u);
}

static int on_me(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	json_t *user = read_me(feature, request_identity(rq), e);

	if (user == NULL)
		return -1;
	reply_json(rp, 200, json_pack("{s:b, s:o}", "success", 1, "data", user));
	return 0;
}

static int on_profile(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	json_t *user = read_me(feature, request_identity(rq), e);

	if (user == NULL)
		return -1;
	reply_json(rp, 200, user);
	return 0;
}

/* ---- GET /.well-known/jwks.json ---------------------------------------------------------------------------------- */

static int on_key_set(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;

	(void)rq, (void)e;
	reply_header(rp, "Cache-Control", "public, max-age=3600"); /* SIGNING_KEY_LEAD_MS is longer */
	reply_json(rp, 200, signing_keys_set(s->keys, clock_wall_ms()));
	return 0;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const struct schema_field refresh_fields[] = {
	{ .name = "refresh_token",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_SECRET | SCHEMA_NULLABLE,
		.help = "or as Bearer token in the Authorization header" },
};
static const struct schema refresh_schema = { "Refresh", refresh_fields, ARRAY_LEN(refresh_fields), false };

/* Printed clients send their refresh token along; the access token already names the session. */
static const struct schema_field logout_fields[] = {
	{ .name = "refresh_token", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED | SCHEMA_SECRET | SCHEMA_NULLABLE },
};
static const struct schema logout_schema = { "Logout", logout_fields, ARRAY_LEN(logout_fields), false };

const struct route session_routes[] = {
	{ "POST", "/auth/refresh", PERM_PUBLIC, LANE_DB, NULL, &refresh_schema, &grant_schema, 200,
		ROUTE_PER_MINUTE(300), on_refresh, "Exchange a refresh token for new tokens", "auth" },
	{ "POST", "/auth/logout", PERM_SELF, LANE_DB, NULL, &logout_schema, NULL, 200, 0, on_logout,
		"End the session; its tokens are worth nothing at once", "auth" },
	{ "GET", "/auth/me", PERM_SELF, LANE_DB, NULL, NULL, NULL, 200, 0, on_me, "The user that is logged in",
		"auth" },
	{ "GET", "/api/profile", PERM_SELF, LANE_DB, NULL, NULL, &user_schema, 200, 0, on_profile,
		"The user that is logged in, bare", "auth" },
	{ "GET", "/.well-known/jwks.json", PERM_PUBLIC, LANE_LOOP, NULL, NULL, NULL, 200, 0, on_key_set,
		"Public keys of access tokens (RFC 7517)", "auth" },
};
const size_t session_routes_n = ARRAY_LEN(session_routes);
