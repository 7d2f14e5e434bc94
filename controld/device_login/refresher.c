/* New tokens in the place of old ones: one at a time for an account, whoever wants them and wherever he runs. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/device_login/room.h"
#include "controld/jobs/job_run.h"
#include "controld/store/changes.h"

#include <string.h>
#include <time.h>

#define REFRESH_DAYS  30               /* how long the service's refresh tokens are good */
#define EARLY_MS      (10 * 60 * 1000) /* before an access token ends */
#define HOLD_MS       (SERVICE_TIMEOUT_MS + 5000)
#define LOOK_MS       50 /* between two looks at what another one is getting */
#define BACKOFF_MS    30000
#define BACKOFF_MAX   (10 * 60 * 1000)
#define EXPIRES_MAX_S (30 * 24 * 3600)
#define ELSEWHERE_MS  (3600 * 1000) /* until one of another service than that of now is looked at again */
#define ELSEWHERE     "it is of another environment"

/* ---- an answer --------------------------------------------------------------------------------------------------- */

static int take_token(const struct service_answer *a, const char *name, char dst[SERVICE_TOKEN_MAX + 1], struct err *e)
{
	const char *token = service_text(a, name);

	if (!service_token_ok(token))
		return err_set(e, ERR_UNAVAILABLE, NULL, "the account service's answer has no %s", name);
	return str_copy(dst, SERVICE_TOKEN_MAX + 1, token);
}

int refresher_take(struct account *a, const struct service_answer *answer, int64_t now_ms, struct err *e)
{
	const json_t *expires = json_object_get(answer->body, "expires_in");
	int64_t life_ms = 3600 * 1000;

	if (take_token(answer, "access_token", a->access, e) != 0)
		return -1;
	/* a service that does not rotate sends none */
	if (*service_text(answer, "refresh_token") != '\0' || a->refresh[0] == '\0') {
		if (take_token(answer, "refresh_token", a->refresh, e) != 0)
			return -1;
		a->refresh_expires_ms = now_ms + (int64_t)REFRESH_DAYS * 24 * 3600 * 1000;
	}
	if (json_is_integer(expires) && json_integer_value(expires) > 0)
		life_ms = MIN(json_integer_value(expires), EXPIRES_MAX_S) * 1000;
	a->access_expires_ms = now_ms + life_ms;
	a->due_ms = a->access_expires_ms - MIN((int64_t)EARLY_MS, life_ms / 2);
	return 0;
}

/* ---- whose turn it is -------------------------------------------------------------------------------------------- */

struct turn {
	struct account *account;
	const char *actor, *op, *error;
	bool expired, ours;
	int64_t now_ms, due_ms;
};

static int work_hold(struct db *tx, void *arg, struct err *e)
{
	struct turn *t = arg;
	const int rc = account_hold(tx, t->account, t->now_ms, t->now_ms + HOLD_MS, e);

	t->ours = rc > 0;
	return MIN(rc, 0);
}

static int note(struct db *tx, const struct turn *t, struct err *e)
{
	const struct change c = { .time_ms = t->now_ms,
		.tenant = t->account->tenant_id,
		.actor = t->actor,
		.kind = "device_login",
		.op = t->op,
		.subject = t->account->account_id };

	return changes_append(tx, &c, NULL, e);
}

static int work_renew(struct db *tx, void *arg, struct err *e)
{
	struct turn *t = arg;
	const int rc = account_renew(tx, t->account, t->now_ms, e);

	t->ours = rc > 0;
	return rc > 0 ? note(tx, t, e) : rc;
}

static int work_failed(struct db *tx, void *arg, struct err *e)
{
	struct turn *t = arg;
	const int rc = account_failed(tx, t->account, t->expired, t->due_ms, t->error, e);

	return rc > 0 && t->expired ? note(tx, t, e) : MIN(rc, 0);
}

static int read_again(struct device_login *d, struct account *a, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	rc = account_get(db, a->id, a, e);
	store_read_end(db);
	return rc;
}

/* ---- refreshing -------------------------------------------------------------------------------------------------- */

static int failed(struct device_login *d, struct turn *t, const char *error, struct err *e)
{
	struct err ignored;

	t->op = "expired";
	t->error = error;
	t->due_ms =
		t->now_ms + (int64_t)MIN((uint64_t)BACKOFF_MAX, (uint64_t)BACKOFF_MS << MIN(t->account->failures, 10));
	if (store_write(d->conf.store, t->expired ? STORE_LOGGED : STORE_OPERATIONAL, work_failed, t, &ignored) != 0)
		log_warn("device_login_not_noted", log_s("account", t->account->account_id), log_err(&ignored));
	if (t->expired)
		return err_set(e, ERR_INVALID_TOKEN, "account_id",
			"the account service takes the refresh token no more: the account must log in again");
	return err_set(e, ERR_UNAVAILABLE, NULL, "the account service gave no new token: %.120s", error);
}

/* The new pair is on disk before anybody has it: the old one is of no use any more. */
static int ask(struct device_login *d, const struct service_call *call, struct turn *t, struct err *e)
{
	struct service_answer answer;
	struct err why = { 0 };
	int rc;

	if (service_refresh(call, t->account->refresh, &answer, &why) != 0)
		return failed(d, t, why.msg, e);
	if (*service_text(&answer, "access_token") == '\0') {
		t->expired = str_eq(service_text(&answer, "error"), "invalid_grant");
		rc = failed(d, t, t->expired ? "invalid_grant" : "it was refused", e);
	} else if (refresher_take(t->account, &answer, clock_wall_ms(), &why) != 0) {
		rc = failed(d, t, why.msg, e);
	} else {
		t->now_ms = clock_wall_ms();
		rc = store_write(d->conf.store, STORE_LOGGED, work_renew, t, e);
		if (rc == 0)
			rc = read_again(d, t->account, e);
	}
	service_answer_fini(&answer);
	return rc;
}

/* True when another one has got a pair, or has failed; a is as it is then. */
static bool other_is_done(struct device_login *d, struct account *a, int64_t version, struct err *e)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };

	nanosleep(&pause, NULL);
	return read_again(d, a, e) != 0 || a->version != version || !str_eq(a->status, "active") ||
	       a->hold_until_ms <= clock_wall_ms();
}

int refresher_refresh(
	struct device_login *d, const struct service_call *call, struct account *a, const char *actor, struct err *e)
{
	const int64_t version = a->version;
	const uint64_t end_ms = clock_mono_ms() + HOLD_MS;

	do {
		struct turn t = { .account = a, .actor = actor, .op = "refresh", .now_ms = clock_wall_ms() };
		struct err why = { 0 };

		if (!str_eq(a->status, "active"))
			return err_set(e, ERR_INVALID_TOKEN, "account_id", "the account must log in again");
		if (a->version != version) /* somebody has got a new pair meanwhile */
			return 0;
		if (store_write(d->conf.store, STORE_OPERATIONAL, work_hold, &t, e) != 0)
			return -1;
		if (t.ours)
			return ask(d, call, &t, e);
		while (clock_mono_ms() < end_ms && !other_is_done(d, a, version, &why))
			;
		if (why.code != 0) {
			*e = why;
			return -1;
		}
	} while (clock_mono_ms() < end_ms);
	return err_set(e, ERR_TIMEOUT, NULL, "the account service does not answer");
}

/* ---- in the background ------------------------------------------------------------------------------------------- */

static bool on_stop(void *arg)
{
	return job_run_stop(arg);
}

/* 1 when one was refreshed, or has failed and is due later; 0: none is due. */
static int refresh_next(struct device_login *d, const struct service_call *call, struct job_run *r, struct err *e)
{
	struct account a;
	struct err why = { 0 };
	char id[RAND_ID_SIZE];
	struct db *db;
	int rc;

	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	if ((rc = account_due(db, clock_wall_ms(), id, e)) == 1 && account_get(db, id, &a, e) != 0)
		rc = -1;
	store_read_end(db);
	if (rc != 1)
		return rc;
	if (!str_eq(a.environment, call->service->name)) {
		struct turn t = { .account = &a, .now_ms = clock_wall_ms(), .error = ELSEWHERE };

		t.due_ms = t.now_ms + ELSEWHERE_MS;
		rc = store_write(d->conf.store, STORE_OPERATIONAL, work_failed, &t, e) != 0 ? -1 : 1;
	} else if (refresher_refresh(d, call, &a, "system", &why) != 0) {
		job_run_log(r, JOB_WARN, "account %s: %s", a.account_id, why.msg);
	}
	account_wipe(&a);
	return rc;
}

static int work_leave(struct db *tx, void *arg, struct err *e)
{
	return MIN(game_session_failed(tx, arg, clock_wall_ms() + ELSEWHERE_MS, ELSEWHERE, e), 0);
}

static int prolong_next(struct device_login *d, const struct service_call *call, struct job_run *r, struct err *e)
{
	struct game_session s = { .version = 0 };
	struct account a = { .version = 0 };
	struct err why = { 0 };
	struct db *db;
	int rc;

	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	if ((rc = game_session_due(db, clock_wall_ms(), &s, e)) == 1 && account_get(db, s.account, &a, e) != 0)
		rc = -1;
	store_read_end(db);
	if (rc == 1 && !str_eq(a.environment, call->service->name))
		rc = store_write(d->conf.store, STORE_OPERATIONAL, work_leave, &s, e) != 0 ? -1 : 1;
	else if (rc == 1 && session_prolong(d, call, &a, &s, &why) != 0)
		job_run_log(r, JOB_WARN, "game session %s: %s", s.id, why.msg);
	account_wipe(&a);
	game_session_wipe(&s);
	return rc;
}

int run_device_login_refresh(void *feature, struct job_run *r, struct err *e)
{
	struct device_login *d = feature;
	struct account_service service;
	const struct service_call call = {
		.outbound = d->conf.outbound, .service = &service, .stop = on_stop, .arg = r
	};
	int64_t done = 0;
	int rc;

	if (device_login_service(d, &service, e) != 0)
		return -1;
	while (!job_run_stop(r) && (rc = refresh_next(d, &call, r, e)) != 0) {
		if (rc < 0)
			return -1;
		job_run_progress(r, ++done, 0, 0);
	}
	while (!job_run_stop(r) && (rc = prolong_next(d, &call, r, e)) != 0) {
		if (rc < 0)
			return -1;
		job_run_progress(r, ++done, 0, 0);
	}
	return job_run_ended(r, e);
}
