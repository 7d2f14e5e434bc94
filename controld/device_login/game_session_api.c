/* The routes of game sessions. Of an account that is kept, they are, too; of others they are passed through. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/device_login/room.h"

#include <stdlib.h>

struct work {
	struct device_login *d;
	struct caller caller;
	struct game_session session;
};

static const char *sent(const struct work *w, const char *name)
{
	const char *s = json_string_value(json_object_get(request_body(w->caller.rq), name));

	return s != NULL ? s : "";
}

static struct work *work_new(void *feature, struct err *e)
{
	struct work *w = calloc(1, sizeof *w);

	if (w == NULL)
		err_set(e, ERR_NOMEM, NULL, "game session: out of memory");
	else
		w->d = feature;
	return w;
}

static void work_free(struct work *w)
{
	if (w == NULL)
		return;
	caller_fini(&w->caller);
	game_session_wipe(&w->session);
	free(w);
}

static void reply_session(struct reply *rp, const struct work *w)
{
	const struct game_session *s = &w->session;
	char ends[CLOCK_RFC3339_SIZE];
	json_t *body;

	clock_rfc3339(ends, s->expires_ms);
	body = json_pack("{s:b, s:s, s:s, s:s, s:I}", "success", 1, "session_token", s->session, "identity_token",
		s->identity, "expires_at", ends, "expires_in",
		(json_int_t)MAX((s->expires_ms - clock_wall_ms()) / 1000, 0));
	if (s->id[0] != '\0')
		(void)json_object_set_new(body, "session_id", json_string(s->id));
	if (s->profile_uuid[0] != '\0')
		(void)json_object_set_new(body, "profile_uuid", json_string(s->profile_uuid));
	reply_json(rp, 200, body);
}

static json_t *about(const struct work *w)
{
	return json_pack("{s:s, s:s}", "session_id", w->session.id, "profile_uuid", w->session.profile_uuid);
}

/* ---- new --------------------------------------------------------------------------------------------------------- */

static int work_begun(struct db *tx, void *arg, struct err *e)
{
	struct work *w = arg;

	if (w->caller.kept) {
		(void)str_copy(w->session.tenant_id, sizeof w->session.tenant_id, w->caller.account.tenant_id);
		(void)str_copy(w->session.account, sizeof w->session.account, w->caller.account.id);
		if (game_session_insert(tx, &w->session, clock_wall_ms(), e) != 0)
			return -1;
	}
	return caller_note_in(tx, &w->caller, "game_session_new", about(w), e);
}

static int begin(struct work *w, const struct request *rq, struct reply *rp, struct err *e)
{
	const char *profile;

	if (caller_token(w->d, &w->caller, rq, e) != 0)
		return -1;
	profile = *sent(w, "profile_uuid") != '\0' ? sent(w, "profile_uuid") : w->caller.account.profile_uuid;
	if (*profile == '\0' || str_copy(w->session.profile_uuid, sizeof w->session.profile_uuid, profile) != 0) {
		err_set(e, *profile == '\0' ? ERR_MISSING_FIELD : ERR_VALIDATION, "profile_uuid",
			"profile_uuid: must be a UUID, unless select-profile chose one for the account");
		return err_detail(e, *profile == '\0' ? "required" : "format", profile);
	}
	if (session_begin(w->d, &w->caller.call, w->caller.token, &w->session, e) != 0 ||
		store_write(w->d->conf.store, STORE_LOGGED, work_begun, w, e) != 0)
		return -1;
	reply_session(rp, w);
	return 0;
}

int game_session_api_new(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct work *w = work_new(feature, e);
	int rc = w != NULL ? begin(w, rq, rp, e) : -1;

	work_free(w);
	return rc;
}

/* ---- the one that is meant ---------------------------------------------------------------------------------------- */

/* Of an account that is kept: by session_id or profile_uuid. Of others the Bearer is the session's own token. */
static int find(struct work *w, const struct request *rq, struct err *e)
{
	struct db *db;
	int rc;

	if (caller_token(w->d, &w->caller, rq, e) != 0)
		return -1;
	if (!w->caller.kept)
		return str_copy(w->session.session, sizeof w->session.session, w->caller.token);
	if (store_read_begin(w->d->conf.store, &db, e) != 0)
		return -1;
	rc = game_session_find(
		db, w->caller.account.id, sent(w, "session_id"), sent(w, "profile_uuid"), &w->session, e);
	store_read_end(db);
	return rc;
}

static int pass_through(struct work *w, struct err *e)
{
	struct service_answer answer;
	int rc;

	if (service_session_refresh(&w->caller.call, w->session.session, &answer, e) != 0)
		return -1;
	rc = answer.status == 200 || answer.status == 201 ? session_take(w->d, &answer, &w->session, e)
	                                                  : caller_refused(w->d, &answer, e);
	service_answer_fini(&answer);
	return rc;
}

static int refresh(struct work *w, const struct request *rq, struct reply *rp, struct err *e)
{
	if (find(w, rq, e) != 0)
		return -1;
	if (w->caller.kept ? session_prolong(w->d, &w->caller.call, &w->caller.account, &w->session, e) != 0
			   : pass_through(w, e) != 0)
		return -1;
	if (caller_note(w->d, &w->caller, "game_session_refresh", about(w), e) != 0)
		return -1;
	reply_session(rp, w);
	return 0;
}

int game_session_api_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct work *w = work_new(feature, e);
	int rc = w != NULL ? refresh(w, rq, rp, e) : -1;

	work_free(w);
	return rc;
}

/* ---- ended -------------------------------------------------------------------------------------------------------- */

static int work_ended(struct db *tx, void *arg, struct err *e)
{
	struct work *w = arg;

	if (w->caller.kept && game_session_end(tx, w->session.id, e) != 0)
		return -1;
	return caller_note_in(tx, &w->caller, "game_session_delete", about(w), e);
}

/* One that the service does not know any more has ended. */
static bool is_over(int status)
{
	return (status >= 200 && status < 300) || status == 401 || status == 404;
}

static int end(struct work *w, const struct request *rq, struct reply *rp, struct err *e)
{
	struct service_answer answer;
	int rc = 0;

	if (find(w, rq, e) != 0 || service_session_end(&w->caller.call, w->session.session, &answer, e) != 0)
		return -1;
	if (!is_over(answer.status) || (!w->caller.kept && answer.status >= 400))
		rc = caller_refused(w->d, &answer, e);
	service_answer_fini(&answer);
	if (rc != 0 || store_write(w->d->conf.store, STORE_LOGGED, work_ended, w, e) != 0)
		return -1;
	reply_json(rp, 200, json_pack("{s:b, s:s}", "success", 1, "message", "The game session has ended"));
	return 0;
}

int game_session_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct work *w = work_new(feature, e);
	int rc = w != NULL ? end(w, rq, rp, e) : -1;

	work_free(w);
	return rc;
}
