#include "client/api/session.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define STALE_MS 30000 /* an access token that lives no longer is renewed first */

static const char *environment(const char *name)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0' ? v : NULL;
}

int session_init(struct session *s, const char *profile_name, bool login_only, struct err *e)
{
	const char *token = login_only ? NULL : environment("PORTWAY_TOKEN");
	const char *key = login_only ? NULL : environment("PORTWAY_API_KEY");
	struct err why;

	*s = (struct session){ .kind = SESSION_NOBODY };
	if (profile_check_name(profile_name, e) != 0)
		return -1;
	if (profile_load(&s->profile, profile_name, &why) == 0) {
		s->kind = s->profile.refresh[0] != '\0' ? SESSION_PROFILE : SESSION_NOBODY;
	} else if (token == NULL && key == NULL && why.code == ERR_PERMISSION) {
		*e = why;
		return -1;
	}
	(void)str_copy(s->profile.name, sizeof s->profile.name, profile_name);
	if (token != NULL || key != NULL) {
		s->kind = token != NULL ? SESSION_TOKEN : SESSION_API_KEY;
		s->secret = token != NULL ? token : key;
	}
	return 0;
}

void session_fini(struct session *s)
{
	explicit_bzero(s, sizeof *s);
}

void session_bind(struct session *s, const char *url)
{
	if (s->kind == SESSION_PROFILE && strcmp(s->profile.url, url) != 0)
		s->kind = SESSION_NOBODY;
}

const char *session_who(const struct session *s)
{
	static const char *const names[] = {
		[SESSION_NOBODY] = "nobody",
		[SESSION_TOKEN] = "PORTWAY_TOKEN",
		[SESSION_API_KEY] = "PORTWAY_API_KEY",
		[SESSION_PROFILE] = "profile",
	};

	return names[s->kind];
}

int session_header(const struct session *s, char dst[SESSION_HEADER_SIZE])
{
	const char *secret = s->kind == SESSION_PROFILE ? s->profile.access : s->secret;

	dst[0] = '\0';
	if (s->kind == SESSION_NOBODY)
		return 0;
	if (strpbrk(secret, "\r\n") != NULL)
		return -1;
	return str_fmt(dst, SESSION_HEADER_SIZE, "%s%s",
		s->kind == SESSION_API_KEY ? "X-API-Key: " : "Authorization: Bearer ", secret);
}

bool session_is_stale(const struct session *s, int64_t now_ms)
{
	return s->kind == SESSION_PROFILE && now_ms + STALE_MS >= s->profile.expires_ms;
}

int session_take(struct session *s, const json_t *grant, int64_t now_ms, struct err *e)
{
	const char *access = json_string_value(json_object_get(grant, "token"));
	const char *refresh = json_string_value(json_object_get(grant, "refresh_token"));
	const json_int_t life_s = json_integer_value(json_object_get(grant, "expires_in"));

	if (access == NULL || refresh == NULL || life_s <= 0 ||
		str_copy(s->profile.access, sizeof s->profile.access, access) != 0 ||
		str_copy(s->profile.refresh, sizeof s->profile.refresh, refresh) != 0)
		return err_set(e, ERR_PROTOCOL, NULL, "the answer holds no tokens: is this a controld?");
	s->profile.expires_ms = now_ms + MIN(life_s, INT32_MAX) * 1000;
	return 0;
}

/* ---- refresh ----------------------------------------------------------------------------------------------------- */

/* What another command has kept meanwhile is taken over: true when it will do. */
static bool taken_over(struct session *s, bool refused)
{
	struct profile now;

	if (profile_load(&now, s->profile.name, NULL) != 0)
		return false;
	if (strcmp(now.url, s->profile.url) != 0 || strcmp(now.access, s->profile.access) == 0)
		return false;
	s->profile = now;
	explicit_bzero(&now, sizeof now);
	return refused || !session_is_stale(s, clock_wall_ms());
}

static int ask(struct session *s, struct http *http, uint64_t timeout_ms, struct err *e)
{
	char url[PROFILE_URL_SIZE + 32];
	struct http_answer answer;
	json_t *body = json_pack("{s:s}", "refresh_token", s->profile.refresh);
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
	struct http_request rq = { .method = "POST", .url = url, .body = text, .timeout_ms = timeout_ms };
	int rc = -1;

	json_decref(body);
	if (text == NULL)
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	if (str_fmt(url, sizeof url, "%s/auth/refresh", s->profile.url) != 0)
		err_set(e, ERR_VALIDATION, NULL, "the address of controld is too long");
	else
		rc = http_send(http, &rq, &answer, e);
	explicit_bzero(text, strlen(text));
	free(text);
	if (rc != 0)
		return -1;
	if (answer.status == 200)
		rc = session_take(s, answer.body, clock_wall_ms(), e);
	else if (answer.status == 400 || answer.status == 401 || answer.status == 403 || answer.status == 422)
		rc = err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "the login has ended: portway login");
	else
		rc = err_set(e, ERR_UNAVAILABLE, NULL, "%s answers %ld", url, answer.status);
	http_answer_fini(&answer);
	return rc;
}

int session_refresh(struct session *s, struct http *http, bool refused, uint64_t timeout_ms, struct err *e)
{
	int lock, rc = 0;

	if (profile_lock(s->profile.name, &lock, e) != 0)
		return -1;
	if (!taken_over(s, refused)) {
		rc = ask(s, http, timeout_ms, e);
		if (rc == 0)
			rc = profile_save(&s->profile, e);
	}
	profile_unlock(lock);
	return rc;
}
