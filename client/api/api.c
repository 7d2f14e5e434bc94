#include "client/api/api.h"

#include "client/api/session.h"
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BACKOFF_BASE_MS 250
#define BACKOFF_CAP_MS  4000
#define WAIT_MAX_MS     10000 /* a Retry-After beyond it is for people to wait */

struct api {
	struct http *http;
	struct session session;
	char url[PROFILE_URL_SIZE];
	char ca_file[PROFILE_URL_SIZE];
	unsigned tries;
	uint64_t timeout_ms;
};

static const char *first_of(const char *given, const char *variable)
{
	const char *v = given != NULL ? given : getenv(variable);

	return v != NULL && v[0] != '\0' ? v : NULL;
}

/* A password in an address would end up in logs and in argv; a path may stand there, a query may not. */
static int take_url(struct api *a, const char *url, struct failure *f)
{
	size_t n = strlen(url);

	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return failure_set(f, EXIT_USAGE, "the address '%s' must begin with http:// or https://", url);
	if (strpbrk(url, "@?# \t\r\n") != NULL)
		return failure_set(f, EXIT_USAGE, "the address of controld is like https://controld.example:8443");
	while (n > 0 && url[n - 1] == '/')
		n--;
	if (str_fmt(a->url, sizeof a->url, "%.*s", (int)n, url) != 0)
		return failure_set(f, EXIT_USAGE, "the address of controld is longer than %d", PROFILE_URL_SIZE - 1);
	return 0;
}

static int set_up(struct api *a, const struct api_conf *conf, struct failure *f)
{
	const char *profile = first_of(conf->profile, "PORTWAY_PROFILE");
	const char *url = first_of(conf->url, "PORTWAY_URL"), *ca = first_of(conf->ca_file, "PORTWAY_CA");
	const struct profile *kept = &a->session.profile;
	struct err e;

	if (session_init(&a->session, profile != NULL ? profile : "default", conf->login_only, &e) != 0)
		return failure_from_err(f, e.code == ERR_VALIDATION ? EXIT_USAGE : EXIT_CREDENTIALS, &e);
	if (url == NULL)
		url = kept->url[0] != '\0' ? kept->url : API_URL_DEFAULT;
	if (take_url(a, url, f) != 0)
		return -1;
	session_bind(&a->session, a->url);
	if (conf->anonymous)
		a->session.kind = SESSION_NOBODY;
	if (ca == NULL && strcmp(kept->url, a->url) == 0)
		ca = kept->ca;
	if (str_copy(a->ca_file, sizeof a->ca_file, ca != NULL ? ca : "") != 0)
		return failure_set(f, EXIT_USAGE, "the path of the CA's file is too long");
	a->tries = conf->tries != 0 ? conf->tries : API_TRIES;
	a->timeout_ms = conf->timeout_ms != 0 ? conf->timeout_ms : API_TIMEOUT_MS;
	if (http_new(&a->http, a->ca_file[0] != '\0' ? a->ca_file : NULL, &e) != 0)
		return failure_from_err(f, EXIT_BAD_NEWS, &e);
	return 0;
}

int api_open(struct api **out, const struct api_conf *conf, struct failure *f)
{
	struct api *a = calloc(1, sizeof *a);

	if (a == NULL)
		return failure_set(f, EXIT_BAD_NEWS, "out of memory");
	if (set_up(a, conf, f) != 0) {
		api_close(a);
		return -1;
	}
	*out = a;
	return 0;
}

void api_close(struct api *a)
{
	if (a == NULL)
		return;
	http_free(a->http);
	session_fini(&a->session);
	free(a);
}

const char *api_url(const struct api *a)
{
	return a->url;
}

bool api_has_credentials(const struct api *a)
{
	return a->session.kind != SESSION_NOBODY;
}

const char *api_who(const struct api *a)
{
	return session_who(&a->session);
}

const char *api_profile_name(const struct api *a)
{
	return a->session.profile.name;
}

const char *api_ca_file(const struct api *a)
{
	return a->ca_file;
}

const struct profile *api_profile(const struct api *a)
{
	return a->session.kind == SESSION_PROFILE ? &a->session.profile : NULL;
}

int api_credentials(const struct api *a, char *dst, size_t size)
{
	return size >= SESSION_HEADER_SIZE ? session_header(&a->session, dst) : -1;
}

/* ---- one try ----------------------------------------------------------------------------------------------------- */

struct call {
	struct api *a;
	const struct api_request *rq;
	const char *url;
	char *body;   /* JSON text */
	char key[96]; /* Idempotency-Key header */
	unsigned tried;
	bool refreshed; /* because it was refused: not twice */
	bool unsure;    /* a try before may have been done */
	struct http_answer answer;
};

static int send_once(struct call *c, struct err *e)
{
	char who[SESSION_HEADER_SIZE] = "", match[96] = "";
	const char *headers[4] = { NULL };
	size_t n = 0;
	struct http_request rq = {
		.method = c->rq->method,
		.url = c->url,
		.headers = headers,
		.body = c->body,
		.timeout_ms = c->a->timeout_ms,
	};
	int rc;

	if (!c->rq->public && session_header(&c->a->session, who) != 0)
		return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "the token is no token");
	if (who[0] != '\0')
		headers[n++] = who;
	if (c->key[0] != '\0')
		headers[n++] = c->key;
	if (c->rq->if_match != NULL && str_fmt(match, sizeof match, "If-Match: %s", c->rq->if_match) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "the ETag is too long");
	if (match[0] != '\0')
		headers[n] = match;
	rc = http_send(c->a->http, &rq, &c->answer, e);
	explicit_bzero(who, sizeof who);
	return rc;
}

/* The tokens of a login are renewed when their time comes, and when controld does not take them any more. */
static int renew(struct call *c, bool refused, struct err *e)
{
	if (c->rq->public || c->a->session.kind != SESSION_PROFILE)
		return 0;
	if (!refused && !session_is_stale(&c->a->session, clock_wall_ms()))
		return 0;
	return session_refresh(&c->a->session, c->a->http, refused, c->a->timeout_ms, e);
}

static int attempt(struct call *c, struct err *e)
{
	if (renew(c, false, e) != 0 || send_once(c, e) != 0)
		return -1;
	if (c->answer.status != 401 || c->refreshed || c->rq->public || c->a->session.kind != SESSION_PROFILE)
		return 0;
	c->refreshed = true;
	http_answer_fini(&c->answer);
	if (renew(c, true, e) != 0)
		return -1;
	return send_once(c, e);
}

/* ---- again? ------------------------------------------------------------------------------------------------------ */

static bool repeatable(const struct call *c)
{
	return strcmp(c->rq->method, "POST") != 0 || c->key[0] != '\0';
}

static bool again_after_error(struct call *c, const struct err *e)
{
	if (e->code != ERR_UNAVAILABLE && e->code != ERR_TIMEOUT && e->code != ERR_IO)
		return false;
	c->unsure |= e->code != ERR_UNAVAILABLE;
	return e->code == ERR_UNAVAILABLE || repeatable(c);
}

static bool again_after_answer(struct call *c)
{
	const long s = c->answer.status;

	if (c->answer.retry_after_ms > WAIT_MAX_MS)
		return false;
	if (s == 429)
		return true;
	if (s != 502 && s != 503 && s != 504)
		return false;
	c->unsure = true;
	return repeatable(c);
}

static void wait_ms(uint64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void back_off(const struct call *c)
{
	uint64_t jitter = rand_backoff_ms(c->tried, BACKOFF_BASE_MS, BACKOFF_CAP_MS);

	wait_ms(c->answer.retry_after_ms + jitter);
}

static int fail(struct call *c, const struct err *e, struct failure *f)
{
	switch (e->code) {
	case ERR_AUTHENTICATION_FAILED:
	case ERR_PERMISSION:
		return failure_from_err(f, EXIT_CREDENTIALS, e);
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_IO:
		failure_from_err(f, EXIT_NO_ANSWER, e);
		if (c->unsure && strcmp(c->rq->method, "GET") != 0)
			(void)str_fmt(f->message, sizeof f->message, "%s; it may have been done all the same", e->msg);
		return -1;
	case ERR_VALIDATION:
		return failure_from_err(f, EXIT_USAGE, e);
	default:
		return failure_from_err(f, EXIT_BAD_NEWS, e);
	}
}

/* Who has no login is told how to get one, in place of what the API asks of programs. */
static int fail_answer(const struct call *c, struct failure *f)
{
	if (c->answer.status == 401 && !c->rq->public && c->a->session.kind == SESSION_NOBODY)
		return failure_set(f, EXIT_CREDENTIALS,
			"nobody is logged in: portway login --url %s, or set PORTWAY_API_KEY", c->a->url);
	return failure_from_answer(f, &c->answer, c->rq->path);
}

/* What the try before has removed is gone: that was asked for. */
static bool gone_before(const struct call *c)
{
	return c->unsure && c->answer.status == 404 && strcmp(c->rq->method, "DELETE") == 0;
}

static int run(struct call *c, struct failure *f)
{
	struct err e;

	for (;;) {
		bool again;
		int rc = attempt(c, &e);

		c->tried++;
		if (rc == 0 && (c->rq->any_status || c->answer.status / 100 == 2 || gone_before(c)))
			return 0;
		again = rc != 0 ? again_after_error(c, &e) : again_after_answer(c);
		if (!again || c->tried >= c->a->tries)
			return rc != 0 ? fail(c, &e, f) : fail_answer(c, f);
		back_off(c);
		http_answer_fini(&c->answer);
	}
}

int api_call(struct api *a, const struct api_request *rq, struct http_answer *out, struct failure *f)
{
	const size_t size = strlen(a->url) + strlen(rq->path) + 1;
	struct call c = { .a = a, .rq = rq };
	char *url = malloc(size), id[RAND_ID_SIZE];
	int rc;

	if (rq->body != NULL)
		c.body = json_dumps(rq->body, JSON_COMPACT | JSON_ENCODE_ANY);
	if (url == NULL || (rq->body != NULL && c.body == NULL)) {
		rc = failure_set(f, EXIT_BAD_NEWS, "out of memory");
	} else {
		(void)str_fmt(url, size, "%s%s", a->url, rq->path);
		c.url = url;
		if (rq->keyed) {
			rand_id(id, "cli");
			(void)str_fmt(c.key, sizeof c.key, "Idempotency-Key: %s", id);
		}
		rc = run(&c, f);
	}
	if (c.body != NULL)
		explicit_bzero(c.body, strlen(c.body)); /* it may hold a password */
	free(c.body);
	free(url);
	if (rc == 0 && out != NULL)
		*out = c.answer;
	else
		http_answer_fini(&c.answer);
	return rc;
}

int api_get(struct api *a, const char *path, struct http_answer *out, struct failure *f)
{
	const struct api_request rq = { .method = "GET", .path = path };

	return api_call(a, &rq, out, f);
}

void api_use_token(struct api *a, const char *token)
{
	a->session.kind = SESSION_TOKEN;
	a->session.secret = token;
}

int api_keep_login(struct api *a, const json_t *grant, struct failure *f)
{
	const char *email = json_string_value(json_object_get(json_object_get(grant, "user"), "email"));
	struct session *s = &a->session;
	struct err e;
	int lock, rc;

	if (session_take(s, grant, clock_wall_ms(), &e) != 0 || profile_lock(s->profile.name, &lock, &e) != 0)
		return failure_from_err(f, EXIT_BAD_NEWS, &e);
	s->kind = SESSION_PROFILE;
	(void)str_copy(s->profile.url, sizeof s->profile.url, a->url);
	(void)str_copy(s->profile.ca, sizeof s->profile.ca, a->ca_file);
	(void)str_copy(s->profile.email, sizeof s->profile.email, email != NULL ? email : "");
	rc = profile_save(&s->profile, &e);
	profile_unlock(lock);
	return rc == 0 ? 0 : failure_from_err(f, EXIT_BAD_NEWS, &e);
}
