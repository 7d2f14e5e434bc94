/*
 * room - the inside of struct device_login, for the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_ROOM_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_ROOM_H

#include "controld/device_login/account.h"
#include "controld/device_login/account_service.h"
#include "controld/device_login/device_login.h"
#include "controld/device_login/game_session.h"
#include "controld/device_login/key_cache.h"

#include <jansson.h>
#include <pthread.h>

struct device_login {
	struct device_login_conf conf;
	struct key_cache *keys;
	pthread_mutex_t lock;
	char keys_of[SERVICE_NAME_SIZE]; /* under the lock: whose keys these are */
};

/* The service of now. */
int device_login_service(struct device_login *d, struct account_service *out, struct err *e) MUST_CHECK;

/* ---- caller.c: who asks, and with what --------------------------------------------------------------------------- */
struct caller {
	const struct request *rq;
	const struct identity *who; /* NULL: came without a key */
	struct account_service service;
	struct service_call call; /* with that service */
	bool kept;                /* the token is an account's that we keep: */
	struct account account;
	char token[SERVICE_TOKEN_MAX + 1]; /* an access token of the service, in the clear */
};
/* For routes that are open: a key may be missing, if the setting says so. */
int caller_open(struct device_login *d, struct caller *c, const struct request *rq, struct err *e) MUST_CHECK;
/* For those that need a token: account_id with a key (its token is refreshed when it is about to end), or Bearer. */
int caller_token(struct device_login *d, struct caller *c, const struct request *rq, struct err *e) MUST_CHECK;
/* The account that the body names, of the key's tenant, into c->account; c->kept says whether one was named. */
int caller_account(struct device_login *d, struct caller *c, struct err *e) MUST_CHECK;
/* What an account has is shown to the service that gave it, and to no other: ERR_CONFLICT when this is another one. */
int caller_same_service(const struct caller *c, struct err *e) MUST_CHECK;
/* The token of the Authorization header; ERR_AUTHENTICATION_FAILED when there is none. */
int caller_bearer(struct caller *c, struct err *e) MUST_CHECK;
void caller_fini(struct caller *c);                /* wipes */
const char *caller_tenant(const struct caller *c); /* "" without a key */
/* A row of the audit log about it; takes object. */
int caller_note_in(struct db *tx, const struct caller *c, const char *op, json_t *object, struct err *e) MUST_CHECK;
int caller_note(
	struct device_login *d, const struct caller *c, const char *op, json_t *object, struct err *e) MUST_CHECK;
/* What an answer means that is no success. Answers -1. */
int caller_refused(const struct device_login *d, const struct service_answer *a, struct err *e);

/* ---- refresher.c ------------------------------------------------------------------------------------------------- */
/* A new pair for the account as it was read; when somebody else is getting one, his. ERR_INVALID_TOKEN: a login is needed. */
int refresher_refresh(struct device_login *d, const struct service_call *call, struct account *a, const char *actor,
	struct err *e) MUST_CHECK;
/* Tokens of an answer of the service: 0 and into a, with the times when they end. */
int refresher_take(struct account *a, const struct service_answer *answer, int64_t now_ms, struct err *e) MUST_CHECK;
int run_device_login_refresh(void *feature, struct job_run *r, struct err *e);

/* ---- game_session_work.c ----------------------------------------------------------------------------------------- */
/* A new session; both tokens are checked. s->profile_uuid says of which profile. */
int session_begin(struct device_login *d, const struct service_call *call, const char *access, struct game_session *s,
	struct err *e) MUST_CHECK;
/* New tokens for a kept one: by its own token, and if that is not taken any more, by a new session of its account. */
int session_prolong(struct device_login *d, const struct service_call *call, struct account *a, struct game_session *s,
	struct err *e) MUST_CHECK;
/* Tokens of an answer, checked against the service's keys. */
int session_take(
	struct device_login *d, const struct service_answer *answer, struct game_session *s, struct err *e) MUST_CHECK;

/* ---- the routes -------------------------------------------------------------------------------------------------- */
extern const struct route device_login_rows[];
extern const size_t device_login_rows_n;
int device_api_code(void *feature, struct request *rq, struct reply *rp, struct err *e);
int device_api_token(void *feature, struct request *rq, struct reply *rp, struct err *e);
int device_api_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e);
int profile_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int profile_api_select(void *feature, struct request *rq, struct reply *rp, struct err *e);
int game_session_api_new(void *feature, struct request *rq, struct reply *rp, struct err *e);
int game_session_api_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e);
int game_session_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);

#endif
