/* Game sessions at the service: begun, prolonged, their tokens checked. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/device_login/room.h"

#define EARLY_MS    (5 * 60 * 1000)  /* before a session ends */
#define LIFE_MS     (60 * 60 * 1000) /* of one whose answer does not say it */
#define BACKOFF_MS  30000
#define BACKOFF_MAX (10 * 60 * 1000)

static int take_checked(struct device_login *d, const struct service_answer *a, const char *name,
	char dst[SERVICE_TOKEN_MAX + 1], struct err *e)
{
	const char *token = service_text(a, name);
	json_t *claims;
	struct err why = { 0 };

	if (!service_token_ok(token))
		return err_set(e, ERR_UNAVAILABLE, NULL, "the account service's answer has no %s", name);
	if (key_cache_check(d->keys, token, clock_wall_ms() / 1000, &claims, &why) != 0)
		return err_set(e, ERR_UNAVAILABLE, NULL,
			"the %s that the account service gave cannot be trusted: %.120s", name, why.msg);
	json_decref(claims);
	return str_copy(dst, SERVICE_TOKEN_MAX + 1, token);
}

int session_take(struct device_login *d, const struct service_answer *answer, struct game_session *s, struct err *e)
{
	const char *ends = service_text(answer, "expiresAt");
	const int64_t now_ms = clock_wall_ms();

	if (take_checked(d, answer, "sessionToken", s->session, e) != 0 ||
		take_checked(d, answer, "identityToken", s->identity, e) != 0)
		return -1;
	if (*ends == '\0' || clock_parse_rfc3339(ends, &s->expires_ms) != 0)
		s->expires_ms = now_ms + LIFE_MS;
	s->due_ms = s->expires_ms - MIN((int64_t)EARLY_MS, MAX(s->expires_ms - now_ms, 0) / 2);
	return 0;
}

static bool is_good(const struct service_answer *a)
{
	return a->status == 200 || a->status == 201;
}

int session_begin(struct device_login *d, const struct service_call *call, const char *access, struct game_session *s,
	struct err *e)
{
	struct service_answer answer, ended;
	int rc;

	if (service_session_new(call, access, s->profile_uuid, &answer, e) != 0)
		return -1;
	rc = is_good(&answer) ? session_take(d, &answer, s, e) : caller_refused(d, &answer, e);
	/* one that is not used would count for an hour */
	if (rc != 0 && is_good(&answer) && service_token_ok(service_text(&answer, "sessionToken")) &&
		service_session_end(call, service_text(&answer, "sessionToken"), &ended, NULL) == 0)
		service_answer_fini(&ended);
	service_answer_fini(&answer);
	return rc;
}

struct prolonging {
	struct game_session *session;
	const char *error;
	int64_t now_ms, due_ms;
	bool ours; /* nobody has prolonged or ended it meanwhile */
};

static int work_renew(struct db *tx, void *arg, struct err *e)
{
	struct prolonging *p = arg;
	const int n = game_session_renew(tx, p->session, p->now_ms, e);

	p->ours = n > 0;
	return MIN(n, 0);
}

static int work_failed(struct db *tx, void *arg, struct err *e)
{
	const struct prolonging *p = arg;

	return MIN(game_session_failed(tx, p->session, p->due_ms, p->error, e), 0);
}

/* 0, or -1 and *again: its token is not taken any more, a new session may be. */
static int by_token(
	struct device_login *d, const struct service_call *call, struct game_session *s, bool *again, struct err *e)
{
	struct service_answer answer;
	int rc;

	*again = false;
	if (service_session_refresh(call, s->session, &answer, e) != 0)
		return -1;
	rc = is_good(&answer) ? session_take(d, &answer, s, e) : caller_refused(d, &answer, e);
	*again = answer.status == 401 || answer.status == 404;
	service_answer_fini(&answer);
	return rc;
}

/* Another one was first: what he has got is kept. One that was begun here besides would count for an hour. */
static int take_other(
	struct device_login *d, const struct service_call *call, struct game_session *s, bool begun, struct err *e)
{
	const struct game_session ours = *s;
	struct service_answer ended;
	struct db *db;
	int rc;

	if (begun && service_session_end(call, ours.session, &ended, NULL) == 0)
		service_answer_fini(&ended);
	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	rc = game_session_find(db, ours.account, ours.id, "", s, e);
	store_read_end(db);
	return rc;
}

int session_prolong(struct device_login *d, const struct service_call *call, struct account *a, struct game_session *s,
	struct err *e)
{
	struct prolonging p = { .session = s, .now_ms = clock_wall_ms() };
	struct err why = { 0 }, ignored;
	bool again, begun = false;
	int rc = by_token(d, call, s, &again, &why);

	if (rc != 0 && again && (rc = refresher_refresh(d, call, a, "system", &why)) == 0) {
		rc = session_begin(d, call, a->access, s, &why);
		begun = rc == 0;
	}
	if (rc == 0) {
		if (store_write(d->conf.store, STORE_OPERATIONAL, work_renew, &p, e) != 0)
			return -1;
		return p.ours ? 0 : take_other(d, call, s, begun, e);
	}
	p.error = why.msg;
	p.due_ms = p.now_ms + (int64_t)MIN((uint64_t)BACKOFF_MAX, (uint64_t)BACKOFF_MS << MIN(s->failures, 10));
	if (store_write(d->conf.store, STORE_OPERATIONAL, work_failed, &p, &ignored) != 0)
		log_warn("game_session_not_noted", log_s("session", s->id), log_err(&ignored));
	*e = why;
	return -1;
}
