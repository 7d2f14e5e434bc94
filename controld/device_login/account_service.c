#include "controld/device_login/account_service.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/out/outbound.h"

#include <stdlib.h>
#include <string.h>

#define CLIENT_ID   "hytale-server"
#define SCOPE       "openid offline auth:server"
#define GRANT_CODE  "urn:ietf:params:oauth:grant-type:device_code"
#define ANSWER_MAX  (256 * 1024)
#define FORM_MAX    (3 * (SERVICE_TOKEN_MAX + 1024))
#define FORM_HEADER "Content-Type: application/x-www-form-urlencoded"
#define JSON_HEADER "Content-Type: application/json"
#define BEARER      "Authorization: Bearer "

static const char *const domains[] = { "hytale.com", "arcanitegames.ca" }; /* production, staging */

static void address(char dst[SERVICE_URL_MAX + 1], const char *own, const char *host, const char *domain)
{
	size_t n;

	if (*own == '\0') {
		(void)str_fmt(dst, SERVICE_URL_MAX + 1, "https://%s.%s", host, domain);
		return;
	}
	(void)str_copy(dst, SERVICE_URL_MAX + 1, own);
	for (n = strlen(dst); n > 0 && dst[n - 1] == '/'; n--)
		dst[n - 1] = '\0';
}

void account_service_of(
	struct account_service *s, bool staging, const char *oauth, const char *accounts, const char *sessions)
{
	const bool own = *oauth != '\0' || *accounts != '\0' || *sessions != '\0';

	(void)str_copy(s->name, sizeof s->name, own ? "own" : staging ? "staging" : "production");
	address(s->oauth, oauth, "oauth.accounts", domains[staging]);
	address(s->accounts, accounts, "account-data", domains[staging]);
	address(s->sessions, sessions, "sessions", domains[staging]);
}

bool service_token_ok(const char *token)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
	const size_t n = strlen(token);

	return n > 0 && n <= SERVICE_TOKEN_MAX && strspn(token, letters) == n;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

void service_answer_fini(struct service_answer *a)
{
	json_decref(a->body);
	a->body = NULL;
}

const char *service_text(const struct service_answer *a, const char *name)
{
	const char *s = json_string_value(json_object_get(a->body, name));

	return s != NULL ? s : "";
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static int call(const struct service_call *c, struct outbound_request *rq, struct service_answer *out, struct err *e)
{
	struct outbound_answer answer;

	rq->timeout_ms = SERVICE_TIMEOUT_MS;
	rq->answer_max = ANSWER_MAX;
	rq->stop = c->stop;
	rq->arg = c->arg;
	if (outbound_send(c->outbound, rq, &answer, e) != 0)
		return -1;
	out->status = answer.status;
	out->body = json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL);
	if (out->body != NULL && !json_is_object(out->body))
		service_answer_fini(out);
	if (answer.body.data != NULL)
		seal_wipe(answer.body.data, answer.body.len); /* it may hold tokens */
	outbound_answer_fini(&answer);
	return 0;
}

/* A percent-encoded member of a form. */
static void put(struct buf *b, const char *name, const char *value)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	buf_printf(b, "%s%s=", b->len > 0 ? "&" : "", name);
	for (const char *p = value; *p != '\0'; p++)
		if (strchr(plain, *p) != NULL)
			buf_put(b, p, 1);
		else
			buf_printf(b, "%%%02X", (unsigned)(unsigned char)*p);
}

static int post_form(
	const struct service_call *c, const char *path, struct buf *form, struct service_answer *out, struct err *e)
{
	static const char *const headers[] = { FORM_HEADER, "Accept: application/json", NULL };
	char url[SERVICE_URL_MAX + 64];
	struct outbound_request rq = { .method = "POST", .url = url, .headers = headers };
	int rc;

	(void)str_fmt(url, sizeof url, "%s%s", c->service->oauth, path);
	rq.body = buf_cstr(form);
	rq.body_n = form->len;
	rc = form->failed ? err_set(e, ERR_TOO_LARGE, NULL, "the token is too long") : call(c, &rq, out, e);
	if (form->data != NULL)
		seal_wipe(form->data, form->len);
	buf_free(form);
	return rc;
}

int service_device(const struct service_call *c, struct service_answer *out, struct err *e)
{
	struct buf form;

	buf_init(&form, FORM_MAX);
	put(&form, "client_id", CLIENT_ID);
	put(&form, "scope", SCOPE);
	return post_form(c, "/oauth2/device/auth", &form, out, e);
}

int service_poll(const struct service_call *c, const char *device_code, struct service_answer *out, struct err *e)
{
	struct buf form;

	buf_init(&form, FORM_MAX);
	put(&form, "client_id", CLIENT_ID);
	put(&form, "grant_type", GRANT_CODE);
	put(&form, "device_code", device_code);
	return post_form(c, "/oauth2/token", &form, out, e);
}

int service_refresh(const struct service_call *c, const char *refresh, struct service_answer *out, struct err *e)
{
	struct buf form;

	buf_init(&form, FORM_MAX);
	put(&form, "client_id", CLIENT_ID);
	put(&form, "grant_type", "refresh_token");
	put(&form, "refresh_token", refresh);
	return post_form(c, "/oauth2/token", &form, out, e);
}

struct bearer_call {
	const char *method, *base, *path, *token;
	const char *body; /* JSON, or NULL */
};

static int call_with(
	const struct service_call *c, const struct bearer_call *b, struct service_answer *out, struct err *e)
{
	const size_t n = strlen(b->token) + sizeof BEARER;
	char *bearer = malloc(n), url[SERVICE_URL_MAX + 64];
	const char *headers[] = { bearer, "Accept: application/json", b->body != NULL ? JSON_HEADER : NULL, NULL };
	struct outbound_request rq = { .method = b->method, .url = url, .headers = headers, .body = b->body };
	int rc;

	if (bearer == NULL)
		return err_set(e, ERR_NOMEM, NULL, "account service: out of memory");
	(void)str_fmt(bearer, n, BEARER "%s", b->token);
	(void)str_fmt(url, sizeof url, "%s%s", b->base, b->path);
	rq.body_n = b->body != NULL ? strlen(b->body) : 0;
	rc = call(c, &rq, out, e);
	seal_wipe(bearer, n);
	free(bearer);
	return rc;
}

int service_profiles(const struct service_call *c, const char *access, struct service_answer *out, struct err *e)
{
	const struct bearer_call b = { "GET", c->service->accounts, "/my-account/get-profiles", access, NULL };

	return call_with(c, &b, out, e);
}

int service_session_new(const struct service_call *c, const char *access, const char *profile,
	struct service_answer *out, struct err *e)
{
	json_t *body = json_pack("{s:s}", "uuid", profile);
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	const struct bearer_call b = { "POST", c->service->sessions, "/game-session/new", access, text };
	int rc =
		text != NULL ? call_with(c, &b, out, e) : err_set(e, ERR_NOMEM, NULL, "account service: out of memory");

	free(text);
	json_decref(body);
	return rc;
}

int service_session_refresh(
	const struct service_call *c, const char *session, struct service_answer *out, struct err *e)
{
	const struct bearer_call b = { "POST", c->service->sessions, "/game-session/refresh", session, NULL };

	return call_with(c, &b, out, e);
}

int service_session_end(const struct service_call *c, const char *session, struct service_answer *out, struct err *e)
{
	const struct bearer_call b = { "DELETE", c->service->sessions, "/game-session", session, NULL };

	return call_with(c, &b, out, e);
}

int service_keys(const struct service_call *c, struct service_answer *out, struct err *e)
{
	static const char *const headers[] = { "Accept: application/json", NULL };
	char url[SERVICE_URL_MAX + 64];
	struct outbound_request rq = { .method = "GET", .url = url, .headers = headers };

	(void)str_fmt(url, sizeof url, "%s/.well-known/jwks.json", c->service->sessions);
	return call(c, &rq, out, e);
}
