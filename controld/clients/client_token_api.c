#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/clients/client_secret.h"
#include "controld/clients/client_token.h"
#include "controld/clients/room.h"
#include "controld/identity/identity.h"
#include "controld/identity/service.h"
#include "controld/identity/session.h"
#include "controld/store/changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

static const char *member(const struct request *rq, const char *name)
{
	return json_string_value(json_object_get(request_body(rq), name));
}

static int answer(struct clients *c, struct reply *rp, int status, const struct client *client,
	const struct client_session *s, struct err *e)
{
	struct buf *b = reply_open(rp, status, JSON_TYPE);
	int rc;

	jsonw_object(b, NULL);
	rc = client_token_grant(c->conf.identity, client, s, clock_wall_ms(), b, e);
	jsonw_end_object(b);
	return rc;
}

/* ---- a pair for a client ------------------------------------------------------------------------------------------ */

struct granting {
	struct clients *c;
	const struct request *rq;
	const char *secret;    /* what the client shows; NULL: somebody of its tenant asks */
	const char *tenant_id; /* "": any */
	int64_t client_id, now_ms;
	struct client client;
	struct client_session session;
};

static int log_tokens(struct db *tx, const struct granting *g, const char *op, struct err *e)
{
	const struct identity *who = request_identity(g->rq);
	char id[PROTO_ID_SIZE], actor[PROTO_ID_SIZE + sizeof IDENTITY_CLIENT];
	const struct change change = { .time_ms = g->now_ms,
		.tenant = g->client.tenant_id,
		.actor = who != NULL ? who->actor : actor,
		.request_id = request_id(g->rq),
		.kind = "client_token",
		.op = op,
		.subject = id,
		.fields = "" };

	client_id_print(id, g->client.id);
	str_fmt(actor, sizeof actor, IDENTITY_CLIENT "%s", id);
	return changes_append(tx, &change, NULL, e);
}

/* Who has no secret learns nothing about which clients there are. */
static int check_secret(const struct granting *g, bool known, struct err *e)
{
	if (known && client_secret_matches(&g->client, g->secret, g->now_ms) && g->client.active &&
		g->client.owner_active && (g->client.conf.expires_ms == 0 || g->client.conf.expires_ms > g->now_ms))
		return 0;
	return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "client_id and secret_key do not open anything");
}

static int work_grant(struct db *tx, void *arg, struct err *e)
{
	struct granting *g = arg;
	struct err *why = g->secret == NULL ? e : NULL;
	const bool known = client_get(tx, g->tenant_id, g->client_id, &g->client, why) == 0;

	if (!known && g->secret == NULL)
		return -1;
	if (g->secret != NULL && check_secret(g, known, e) != 0)
		return -1;
	client_session_make(&g->session, &g->client, g->now_ms);
	if (client_session_insert(tx, &g->session, e) != 0)
		return -1;
	return log_tokens(tx, g, "grant", e);
}

static int grant(struct granting *g, struct reply *rp, struct err *e)
{
	if (store_write(g->c->store, STORE_LOGGED, work_grant, g, e) != 0)
		return -1;
	return answer(g->c, rp, 201, &g->client, &g->session, e);
}

static int id_of(const struct request *rq, int64_t *id, struct err *e)
{
	const char *text = request_param(rq, "id");

	if (client_id_parse(text, id) == 0)
		return 0;
	return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", text);
}

int client_token_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct granting g = {
		.c = feature, .rq = rq, .tenant_id = request_identity(rq)->tenant_id, .now_ms = clock_wall_ms()
	};

	return id_of(rq, &g.client_id, e) != 0 ? -1 : grant(&g, rp, e);
}

/*
 * Guessing waits for nobody and nobody for it: what is refused is refused from a snapshot, and only what will be written takes
 * the place of a writer, where it is looked at again.
 */
static int failed(struct clients *c)
{
	__atomic_fetch_add(&c->logins_failed, 1, __ATOMIC_RELAXED);
	return -1;
}

static int prove(struct granting *g, struct err *e)
{
	struct db *db;
	bool known;
	int rc;

	if (store_read_begin(g->c->store, &db, e) != 0)
		return -1;
	known = client_get(db, g->tenant_id, g->client_id, &g->client, NULL) == 0;
	rc = check_secret(g, known, e);
	store_read_end(db);
	return rc == 0 ? 0 : failed(g->c);
}

int client_token_api_login(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct granting g = { .c = feature, .rq = rq, .tenant_id = "", .now_ms = clock_wall_ms() };

	g.client_id = json_integer_value(json_object_get(request_body(rq), "client_id"));
	g.secret = member(rq, "secret_key");
	return prove(&g, e) == 0 ? grant(&g, rp, e) : -1;
}

static int work_end_all(struct db *tx, void *arg, struct err *e)
{
	struct granting *g = arg;

	if (client_get(tx, g->tenant_id, g->client_id, &g->client, e) != 0 ||
		client_session_end_all(tx, g->client_id, e) < 0)
		return -1;
	return log_tokens(tx, g, "revoke", e);
}

int client_token_api_end_all(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct granting g = {
		.c = feature, .rq = rq, .tenant_id = request_identity(rq)->tenant_id, .now_ms = clock_wall_ms()
	};

	if (id_of(rq, &g.client_id, e) != 0 || store_write(g.c->store, STORE_LOGGED, work_end_all, &g, e) != 0)
		return -1;
	clients_changed(g.c);
	reply_empty(rp, 204);
	return 0;
}

/* ---- looking at tokens -------------------------------------------------------------------------------------------- */

static int read_access(
	struct clients *c, const char *token, struct client_token *t, struct client *client, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	struct db *db;
	char *claims;
	int rc;

	if (identity_verify(c->conf.identity, token, &claims, e) != 0)
		return -1;
	rc = client_token_parse(t, claims, identity_issuer(c->conf.identity), now_ms / 1000, e);
	free(claims);
	if (rc != 0 || store_read_begin(c->store, &db, e) != 0)
		return -1;
	rc = client_token_client(db, t, now_ms, client, e);
	store_read_end(db);
	return rc;
}

int client_token_api_validate(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct client_token t;
	struct client client;
	struct buf *b;

	if (read_access(feature, member(rq, "token"), &t, &client, e) != 0)
		return -1;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_bool(b, "valid", true);
	jsonw_int(b, "client_id", t.client_id);
	jsonw_str_or_null(b, "user_id", client.user_id);
	jsonw_str(b, "tenant_id", t.tenant_id);
	jsonw_str(b, "client_type", client_type_name(client.type));
	jsonw_str(b, "token_id", t.jti);
	jsonw_time(b, "expires_at", t.expires_s * 1000);
	jsonw_end_object(b);
	return 0;
}

/* One that is presented: what it means, and what follows from it. */
struct refreshing {
	struct clients *c;
	const struct request *rq;
	char session_id[RAND_ID_SIZE];
	int64_t presented, now_ms;
	bool look; /* change nothing */
	enum session_verdict verdict;
	struct granting g;
};

static int fail_refresh(struct err *e)
{
	return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token is not valid: its session has ended");
}

static int read_session(struct db *db, struct refreshing *r, struct err *e)
{
	struct client_session *s = &r->g.session;
	int found = client_session_find(db, r->session_id, r->now_ms, s, e);

	if (found < 0)
		return -1;
	if (found == 0 || client_get(db, s->tenant_id, s->client_id, &r->g.client, NULL) != 0)
		return fail_refresh(e);
	r->verdict = session_judge(s->used, r->presented);
	if (r->verdict == SESSION_UNKNOWN || !r->g.client.active || !r->g.client.owner_active)
		return fail_refresh(e);
	return 0;
}

/* A reuse is no failure here: what it does to the session must be committed. */
static int work_refresh(struct db *tx, void *arg, struct err *e)
{
	struct refreshing *r = arg;
	struct client_session *s = &r->g.session;

	if (read_session(tx, r, e) != 0)
		return -1;
	if (r->verdict == SESSION_REUSED)
		return client_session_end(tx, s->id, e) < 0 ? -1 : log_tokens(tx, &r->g, "token_reuse", e);
	if (r->verdict == SESSION_AGAIN)
		return 0;
	s->used = r->presented;
	s->expires_ms = r->now_ms + CLIENT_REFRESH_MS;
	if (r->g.client.conf.expires_ms != 0)
		s->expires_ms = MIN(s->expires_ms, r->g.client.conf.expires_ms);
	return client_session_advance(tx, s, e);
}

static int refreshing_begin(struct refreshing *r, struct clients *c, const struct request *rq, struct err *e)
{
	*r = (struct refreshing){ .c = c, .rq = rq, .now_ms = clock_wall_ms() };
	r->g = (struct granting){ .c = c, .rq = rq, .now_ms = r->now_ms };
	if (session_token_parse(member(rq, "refresh_token"), identity_refresh_key(c->conf.identity), r->session_id,
		    &r->presented) == 0)
		return 0;
	return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token is not valid");
}

static int fail_reuse(struct refreshing *r, struct err *e)
{
	clients_changed(r->c);
	return err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token was used before: its session is ended now");
}

/* A session that has ended is no writer's business either. */
static int find_refreshed(struct refreshing *r, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(r->c->store, &db, e) != 0)
		return -1;
	rc = read_session(db, r, e);
	store_read_end(db);
	return rc == 0 ? 0 : failed(r->c);
}

int client_token_api_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct refreshing r;

	if (refreshing_begin(&r, feature, rq, e) != 0 || find_refreshed(&r, e) != 0 ||
		store_write(r.c->store, STORE_LOGGED, work_refresh, &r, e) != 0)
		return -1;
	if (r.verdict == SESSION_REUSED)
		return fail_reuse(&r, e);
	return answer(r.c, rp, 200, &r.g.client, &r.g.session, e);
}

/* Looks without using it up: a token whose successor was used is not valid, and nothing more happens. */
int client_token_api_validate_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct refreshing r;
	struct db *db;
	struct buf *b;
	int rc;

	if (refreshing_begin(&r, feature, rq, e) != 0 || store_read_begin(r.c->store, &db, e) != 0)
		return -1;
	rc = read_session(db, &r, e);
	store_read_end(db);
	if (rc == 0 && r.verdict == SESSION_REUSED)
		rc = err_set(e, ERR_INVALID_TOKEN, NULL, "refresh token is not valid: it was used");
	if (rc != 0)
		return -1;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_bool(b, "valid", true);
	jsonw_int(b, "client_id", r.g.client.id);
	jsonw_time(b, "expires_at", r.g.session.expires_ms);
	jsonw_end_object(b);
	return 0;
}

/* ---- revoking: by whoever holds a token of the session ------------------------------------------------------------- */

struct revoking {
	struct granting g;
	const char *session_id;
};

static int work_revoke(struct db *tx, void *arg, struct err *e)
{
	struct revoking *v = arg;
	struct client_session s;
	int rc = client_session_find(tx, v->session_id, v->g.now_ms, &s, e);

	if (rc <= 0) /* it has ended already */
		return rc;
	v->g.client.id = s.client_id;
	str_copy(v->g.client.tenant_id, sizeof v->g.client.tenant_id, s.tenant_id);
	if (client_session_end(tx, s.id, e) < 0)
		return -1;
	return log_tokens(tx, &v->g, "revoke", e);
}

static int find_session(struct clients *c, const struct request *rq, char session_id[RAND_ID_SIZE], struct err *e)
{
	const char *token = member(rq, "token");
	struct refreshing r;
	struct client_token t;
	struct client client;

	if (token == NULL) {
		if (refreshing_begin(&r, c, rq, e) != 0)
			return -1;
		return str_copy(session_id, RAND_ID_SIZE, r.session_id);
	}
	if (read_access(c, token, &t, &client, e) != 0)
		return -1;
	return str_copy(session_id, RAND_ID_SIZE, t.session_id);
}

int client_token_api_revoke(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct revoking v = { .g = { .c = feature, .rq = rq, .now_ms = clock_wall_ms() } };
	char session_id[RAND_ID_SIZE];

	if ((member(rq, "token") == NULL) == (member(rq, "refresh_token") == NULL)) {
		err_set(e, ERR_MISSING_FIELD, "token", "token: either token or refresh_token is needed");
		return err_detail(e, "required", "");
	}
	if (find_session(feature, rq, session_id, e) != 0)
		return -1;
	v.session_id = session_id;
	if (store_write(v.g.c->store, STORE_LOGGED, work_revoke, &v, e) != 0)
		return -1;
	clients_changed(v.g.c);
	reply_empty(rp, 204);
	return 0;
}

/* ---- schemas ------------------------------------------------------------------------------------------------------ */

#define TOKEN(n, f)                                                                                   \
	{                                                                                             \
		.name = n, .type = SCHEMA_STRING, .flags = SCHEMA_SECRET | (f), .min = 1, .max = 4096 \
	}

static const struct schema_field login_fields[] = {
	{ .name = "client_id", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .min = 1, .max = CLIENT_ID_MAX - 1 },
	TOKEN("secret_key", SCHEMA_REQUIRED),
};
const struct schema client_login_schema = { "ClientLogin", login_fields, ARRAY_LEN(login_fields), false };

static const struct schema_field access_fields[] = { TOKEN("token", SCHEMA_REQUIRED) };
const struct schema client_access_schema = { "ClientAccess", access_fields, ARRAY_LEN(access_fields), false };

static const struct schema_field refresh_fields[] = { TOKEN("refresh_token", SCHEMA_REQUIRED) };
const struct schema client_refresh_schema = { "ClientRefresh", refresh_fields, ARRAY_LEN(refresh_fields), false };

static const struct schema_field revoke_fields[] = { TOKEN("token", 0), TOKEN("refresh_token", 0) };
const struct schema client_revoke_schema = { "ClientRevoke", revoke_fields, ARRAY_LEN(revoke_fields), false };

static const struct schema_field pair_fields[] = {
	{ .name = "token", .type = SCHEMA_STRING, .help = "for Authorization: Bearer" },
	{ .name = "refresh_token", .type = SCHEMA_STRING },
	{ .name = "expires_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "of the token" },
	{ .name = "client_id", .type = SCHEMA_INT },
	{ .name = "token_id", .type = SCHEMA_STRING },
};
const struct schema client_pair_schema = { "ClientTokens", pair_fields, ARRAY_LEN(pair_fields), false };
