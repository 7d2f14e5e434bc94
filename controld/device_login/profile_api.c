/* The routes of profiles: which an account has, and which one its sessions are for. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/device_login/room.h"

#include <stdlib.h>

struct listing {
	struct caller caller;
	struct service_answer answer;
};

/* The service's list, for the token that was shown. */
static int list(struct device_login *d, struct listing *l, const struct request *rq, struct err *e)
{
	if (caller_token(d, &l->caller, rq, e) != 0 ||
		service_profiles(&l->caller.call, l->caller.token, &l->answer, e) != 0)
		return -1;
	if (l->answer.status != 200 || !json_is_array(json_object_get(l->answer.body, "profiles")))
		return caller_refused(d, &l->answer, e);
	return 0;
}

static json_t *text_or_null(const char *s)
{
	return *s != '\0' ? json_string(s) : json_null();
}

static int reply_profiles(struct device_login *d, struct listing *l, struct reply *rp, struct err *e)
{
	const json_t *profiles = json_object_get(l->answer.body, "profiles");
	const json_int_t n = (json_int_t)json_array_size(profiles);

	if (caller_note(d, &l->caller, "profiles", json_pack("{s:I}", "profiles", n), e) != 0)
		return -1;
	reply_json(rp, 200,
		json_pack("{s:b, s:o, s:O, s:o}", "success", 1, "owner",
			text_or_null(service_text(&l->answer, "owner")), "profiles", profiles, "selected",
			text_or_null(l->caller.account.profile_uuid)));
	return 0;
}

static void listing_free(struct listing *l)
{
	if (l == NULL)
		return;
	service_answer_fini(&l->answer);
	caller_fini(&l->caller);
	free(l);
}

int profile_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct listing *l = calloc(1, sizeof *l);
	int rc = l != NULL ? list(feature, l, rq, e) : err_set(e, ERR_NOMEM, NULL, "profiles: out of memory");

	if (rc == 0)
		rc = reply_profiles(feature, l, rp, e);
	listing_free(l);
	return rc;
}

/* ---- selecting ---------------------------------------------------------------------------------------------------- */

static const char *find(const struct service_answer *a, const char *uuid)
{
	size_t i;
	const json_t *profile;

	json_array_foreach(json_object_get(a->body, "profiles"), i,
		profile) if (str_eq(json_string_value(json_object_get(profile, "uuid")), uuid))
	{
		const char *name = json_string_value(json_object_get(profile, "username"));

		return name != NULL ? name : "";
	}
	return NULL;
}

static int work_select(struct db *tx, void *arg, struct err *e)
{
	const struct caller *c = arg;

	if (c->kept && account_select(tx, &c->account, e) != 0)
		return -1;
	return caller_note_in(tx, c, "select_profile", json_pack("{s:s}", "profile_uuid", c->account.profile_uuid), e);
}

/* There is no call of the service for this: it is kept here, for an account that is. */
static int choose(struct device_login *d, struct listing *l, const struct request *rq, struct reply *rp, struct err *e)
{
	const char *uuid = json_string_value(json_object_get(request_body(rq), "profile_uuid"));
	const char *name = find(&l->answer, uuid);
	struct account *a = &l->caller.account;

	if (name == NULL) {
		err_set(e, ERR_NOT_FOUND, "profile_uuid", "profile_uuid: the account has no such profile");
		return err_detail(e, "unknown", uuid);
	}
	if (str_copy(a->profile_uuid, sizeof a->profile_uuid, uuid) != 0)
		return err_set(e, ERR_VALIDATION, "profile_uuid", "profile_uuid: is no UUID");
	(void)str_copy(a->profile_name, sizeof a->profile_name, name);
	if (store_write(d->conf.store, STORE_LOGGED, work_select, &l->caller, e) != 0)
		return -1;
	reply_json(rp, 200,
		json_pack("{s:b, s:s, s:s, s:b}", "success", 1, "profile_uuid", uuid, "username", name, "kept",
			l->caller.kept));
	return 0;
}

int profile_api_select(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct listing *l = calloc(1, sizeof *l);
	int rc = l != NULL ? list(feature, l, rq, e) : err_set(e, ERR_NOMEM, NULL, "profiles: out of memory");

	if (rc == 0)
		rc = choose(feature, l, rq, rp, e);
	listing_free(l);
	return rc;
}
