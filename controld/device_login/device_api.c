/* The routes of a login itself: a code, what became of it, new tokens. Errors are those of RFC 8628, in its words. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/device_login/room.h"
#include "controld/identity/identity.h"

#include <stdlib.h>
#include <string.h>

#define INTERVAL_S     5
#define INTERVAL_MAX_S 300
#define LIFE_S         900
#define LIFE_MAX_S     3600
#define REUSE_MS       (10 * 60 * 1000) /* a refresh token that was used up is answered with its successor for so long */

/* What has become of a grant: an error that OAuth has a word for. */
static int reply_error(struct reply *rp, const char *error, const char *words, int64_t interval_s)
{
	json_t *body = json_pack("{s:b, s:s, s:s}", "success", 0, "error", error, "error_description", words);

	if (interval_s > 0)
		(void)json_object_set_new(body, "interval", json_integer(interval_s));
	reply_json(rp, 400, body);
	return 0;
}

static int64_t number(const struct service_answer *a, const char *name, int64_t otherwise, int64_t most)
{
	const json_t *v = json_object_get(a->body, name);
	const int64_t n = json_is_integer(v) ? json_integer_value(v) : otherwise;

	return n > 0 ? MIN(n, most) : otherwise;
}

/* ---- a code ------------------------------------------------------------------------------------------------------ */

struct beginning {
	const struct caller *caller;
	struct flow flow;
};

static int work_begin(struct db *tx, void *arg, struct err *e)
{
	const struct beginning *b = arg;

	return flow_insert(tx, &b->flow, e) != 0 ? -1 : caller_note_in(tx, b->caller, "device_code", json_object(), e);
}

static int begin(
	struct device_login *d, const struct caller *c, const struct service_answer *a, struct reply *rp, struct err *e)
{
	const char *code = service_text(a, "device_code"), *whole = service_text(a, "verification_uri_complete");
	const int64_t interval_s = number(a, "interval", INTERVAL_S, INTERVAL_MAX_S);
	const int64_t life_s = number(a, "expires_in", LIFE_S, LIFE_MAX_S);
	struct beginning b = { .caller = c };
	json_t *body;

	if (a->status != 200 || *code == '\0' || strlen(code) > SERVICE_CODE_MAX ||
		*service_text(a, "user_code") == '\0')
		return caller_refused(d, a, e);
	token_hash(b.flow.hash, code);
	(void)str_copy(b.flow.tenant_id, sizeof b.flow.tenant_id, caller_tenant(c));
	(void)str_copy(b.flow.environment, sizeof b.flow.environment, c->service.name);
	b.flow.interval_ms = interval_s * 1000;
	b.flow.expires_ms = clock_wall_ms() + life_s * 1000;
	if (store_write(d->conf.store, STORE_LOGGED, work_begin, &b, e) != 0)
		return -1;
	body = json_pack("{s:b, s:s, s:s, s:s, s:I, s:I}", "success", 1, "device_code", code, "user_code",
		service_text(a, "user_code"), "verification_uri", service_text(a, "verification_uri"), "expires_in",
		(json_int_t)life_s, "interval", (json_int_t)interval_s);
	if (*whole != '\0')
		(void)json_object_set_new(body, "verification_uri_complete", json_string(whole));
	reply_json(rp, 200, body);
	return 0;
}

int device_api_code(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct device_login *d = feature;
	struct service_answer answer;
	struct caller c;
	int rc;

	if (caller_open(d, &c, rq, e) != 0 || service_device(&c.call, &answer, e) != 0)
		return -1;
	rc = begin(d, &c, &answer, rp, e);
	service_answer_fini(&answer);
	return rc;
}

/* ---- what became of it ------------------------------------------------------------------------------------------- */

static int reply_tokens(struct reply *rp, const struct account *a, bool kept)
{
	const int64_t left_s = MAX((a->access_expires_ms - clock_wall_ms()) / 1000, 0);

	reply_json(rp, 200,
		json_pack("{s:b, s:s, s:s, s:s, s:I, s:s, s:b}", "success", 1, "access_token", a->access,
			"refresh_token", a->refresh, "token_type", "Bearer", "expires_in", (json_int_t)left_s,
			"account_id", a->account_id, "kept", kept));
	return 0;
}

struct polling {
	struct flow flow;
	struct caller *caller;
	int turn;
};

static int work_turn(struct db *tx, void *arg, struct err *e)
{
	struct polling *p = arg;

	p->turn = flow_take_turn(tx, &p->flow, clock_wall_ms(), e);
	return MIN(p->turn, 0);
}

static int work_slow_down(struct db *tx, void *arg, struct err *e)
{
	return flow_slow_down(tx, ((struct polling *)arg)->flow.hash, e);
}

static int work_drop(struct db *tx, void *arg, struct err *e)
{
	struct polling *p = arg;

	if (flow_delete(tx, p->flow.hash, e) != 0)
		return -1;
	return caller_note_in(tx, p->caller, "login_refused", json_object(), e);
}

/* The service has no word for who it was; its tokens and its list of profiles have. */
static void name_account(struct caller *c)
{
	struct account *a = &c->account;
	json_t *claims = jwks_unchecked(a->access);
	const char *sub = json_string_value(json_object_get(claims, "sub"));
	struct service_answer profiles = { .body = NULL };

	if (sub == NULL && service_profiles(&c->call, a->access, &profiles, NULL) == 0)
		sub = service_text(&profiles, "owner");
	if (sub == NULL || *sub == '\0' || strlen(sub) > ACCOUNT_ID_MAX)
		rand_id(a->account_id, "acc");
	else
		(void)str_copy(a->account_id, sizeof a->account_id, sub);
	service_answer_fini(&profiles);
	json_decref(claims);
}

static int work_keep(struct db *tx, void *arg, struct err *e)
{
	struct polling *p = arg;
	struct account *a = &p->caller->account;

	if (p->flow.tenant_id[0] != '\0') {
		(void)str_copy(a->tenant_id, sizeof a->tenant_id, p->flow.tenant_id);
		if (account_put(tx, a, clock_wall_ms(), e) != 0 || flow_done(tx, p->flow.hash, a->id, e) != 0)
			return -1;
	} else if (flow_delete(tx, p->flow.hash, e) != 0) {
		return -1;
	}
	return caller_note_in(tx, p->caller, "login", json_pack("{s:b}", "kept", p->flow.tenant_id[0] != '\0'), e);
}

static int agreed(
	struct device_login *d, struct polling *p, const struct service_answer *answer, struct reply *rp, struct err *e)
{
	struct account *a = &p->caller->account;

	if (refresher_take(a, answer, clock_wall_ms(), e) != 0)
		return -1;
	(void)str_copy(a->environment, sizeof a->environment, p->caller->service.name);
	name_account(p->caller);
	if (store_write(d->conf.store, STORE_LOGGED, work_keep, p, e) != 0)
		return -1;
	return reply_tokens(rp, a, p->flow.tenant_id[0] != '\0');
}

/* What is no success: passed on in its own word. Only three of them let the flow go on. */
static int not_yet(
	struct device_login *d, struct polling *p, const struct service_answer *answer, struct reply *rp, struct err *e)
{
	const char *error = service_text(answer, "error"), *words = service_text(answer, "error_description");
	const bool slower = str_eq(error, "slow_down");

	if (error[0] == '\0' || strspn(error, "abcdefghijklmnopqrstuvwxyz_") != strlen(error) || strlen(error) > 64)
		return caller_refused(d, answer, e);
	if (slower && store_write(d->conf.store, STORE_OPERATIONAL, work_slow_down, p, e) != 0)
		return -1;
	if (!slower && !str_eq(error, "authorization_pending") && answer->status < 500 &&
		store_write(d->conf.store, STORE_LOGGED, work_drop, p, e) != 0)
		return -1;
	return reply_error(rp, error, words, (p->flow.interval_ms + (slower ? FLOW_SLOWER_MS : 0)) / 1000);
}

static int poll_service(struct device_login *d, struct polling *p, const char *code, struct reply *rp, struct err *e)
{
	struct service_answer answer;
	int rc;

	if (service_poll(&p->caller->call, code, &answer, e) != 0)
		return -1;
	if (*service_text(&answer, "access_token") != '\0')
		rc = agreed(d, p, &answer, rp, e);
	else
		rc = not_yet(d, p, &answer, rp, e);
	service_answer_fini(&answer);
	return rc;
}

/* 1; 0: nobody began it here, or its time is over. */
static int find_flow(struct device_login *d, struct polling *p, const char *code, struct err *e)
{
	char hash[TOKEN_HASH_SIZE];
	struct db *db;
	int rc;

	token_hash(hash, code);
	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	rc = flow_get(db, hash, clock_wall_ms(), &p->flow, e);
	/* an answer that was lost is given again, to the key that began it */
	if (rc == 1 && p->flow.account[0] != '\0' && account_get(db, p->flow.account, &p->caller->account, e) != 0)
		rc = -1;
	store_read_end(db);
	/* what a key has begun is its tenant's */
	return rc == 1 && !str_eq(p->flow.tenant_id, caller_tenant(p->caller)) ? 0 : rc;
}

static int poll(struct device_login *d, struct polling *p, const char *code, struct reply *rp, struct err *e)
{
	const int found = find_flow(d, p, code, e);

	if (found < 0)
		return -1;
	if (found == 0)
		return reply_error(
			rp, "expired_token", "this code is not known, or its time is over: ask for a new one", 0);
	if (p->flow.account[0] != '\0')
		return reply_tokens(rp, &p->caller->account, true);
	if (!str_eq(p->flow.environment, p->caller->service.name))
		return reply_error(rp, "expired_token", "this code is of another service: ask for a new one", 0);
	if (store_write(d->conf.store, STORE_OPERATIONAL, work_turn, p, e) != 0)
		return -1;
	if (p->turn == 0)
		return reply_error(rp, "slow_down", "asked before the interval was over, which is longer now",
			(p->flow.interval_ms + FLOW_SLOWER_MS) / 1000);
	return poll_service(d, p, code, rp, e);
}

int device_api_token(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct caller *c = calloc(1, sizeof *c);
	struct polling p = { .caller = c };
	int rc = -1;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "device login: out of memory");
	if (caller_open(feature, c, rq, e) == 0)
		rc = poll(feature, &p, json_string_value(json_object_get(request_body(rq), "device_code")), rp, e);
	caller_fini(c);
	free(c);
	return rc;
}

/* ---- new tokens -------------------------------------------------------------------------------------------------- */

/* Somebody's own refresh token: if it is of an account that we keep, he gets what that has. */
static int find_by_token(struct device_login *d, struct caller *c, const char *token, struct err *e)
{
	char hash[TOKEN_HASH_SIZE];
	struct err why = { 0 };
	struct db *db;
	int rc;

	token_hash(hash, token);
	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	rc = account_by_refresh(db, hash, clock_wall_ms() - REUSE_MS, &c->account, &why);
	store_read_end(db);
	if (rc != 0 && why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	c->kept = rc == 0;
	return c->kept ? caller_same_service(c, e) : 0;
}

static int pass_through(struct device_login *d, struct caller *c, const char *token, struct reply *rp, struct err *e)
{
	struct service_answer answer;
	int rc;

	if (service_refresh(&c->call, token, &answer, e) != 0)
		return -1;
	if (*service_text(&answer, "access_token") == '\0') {
		rc = str_eq(service_text(&answer, "error"), "invalid_grant")
		             ? reply_error(
				       rp, "invalid_grant", "the account service takes this refresh token no more", 0)
		             : caller_refused(d, &answer, e);
	} else {
		(void)str_copy(c->account.refresh, sizeof c->account.refresh, token);
		if ((rc = refresher_take(&c->account, &answer, clock_wall_ms(), e)) == 0) {
			name_account(c);
			rc = caller_note(d, c, "refresh", NULL, e);
		}
		if (rc == 0)
			rc = reply_tokens(rp, &c->account, false);
	}
	service_answer_fini(&answer);
	return rc;
}

/* The pair that is kept; a new one, unless the token that was shown has been used up and this is its successor. */
static int refresh_kept(struct device_login *d, struct caller *c, const char *token, struct reply *rp, struct err *e)
{
	char hash[TOKEN_HASH_SIZE];
	struct err why = { 0 };

	token_hash(hash, token != NULL ? token : "");
	if ((token == NULL || str_eq(hash, c->account.refresh_hash)) &&
		refresher_refresh(d, &c->call, &c->account, c->who != NULL ? c->who->actor : "anonymous", &why) != 0) {
		if (why.code == ERR_INVALID_TOKEN)
			return reply_error(rp, "invalid_grant", why.msg, 0);
		*e = why;
		return -1;
	}
	return reply_tokens(rp, &c->account, true);
}

static int refresh(struct device_login *d, struct caller *c, struct reply *rp, struct err *e)
{
	const char *token = json_string_value(json_object_get(request_body(c->rq), "refresh_token"));

	if (caller_account(d, c, e) != 0)
		return -1;
	if (c->kept)
		return refresh_kept(d, c, NULL, rp, e);
	if (token == NULL) {
		if (caller_bearer(c, e) != 0)
			return -1;
		token = c->token;
	}
	if (!service_token_ok(token))
		return err_set(e, ERR_VALIDATION, "refresh_token", "refresh_token: is no token");
	if (find_by_token(d, c, token, e) != 0)
		return -1;
	return c->kept ? refresh_kept(d, c, token, rp, e) : pass_through(d, c, token, rp, e);
}

int device_api_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct caller *c = calloc(1, sizeof *c);
	int rc = -1;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "device login: out of memory");
	if (caller_open(feature, c, rq, e) == 0)
		rc = refresh(feature, c, rp, e);
	caller_fini(c);
	free(c);
	return rc;
}
