#define _GNU_SOURCE
#include "client/commands/quick_account.h"

#include "client/commands/quick.h"
#include "client/commands/quick_mapping.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 1024

/* ---- calls to controld -------------------------------------------------------------------------------------------- */

int quick_account_call(struct quick *q, const char *method, const json_t *body, json_t **out, const char *fmt, ...)
{
	struct http_answer answer = { .body = NULL };
	char path[PATH_BYTES];
	const struct api_request rq = { .method = method, .path = path, .body = body, .keyed = str_eq(method, "POST") };
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(path, sizeof path, fmt, ap);
	va_end(ap);
	r = api_call(q->api, &rq, &answer, &q->f);
	if (r == 0 && out != NULL)
		*out = json_incref(answer.body);
	http_answer_fini(&answer);
	return r;
}

static int failed(struct quick *q, const struct err *e)
{
	return failure_from_err(&q->f, EXIT_BAD_NEWS, e);
}

int quick_account_save(struct quick *q)
{
	struct err e;

	return quick_client_save(&q->client, &e) == 0 ? 0 : failed(q, &e);
}

static void client_name(char name[128])
{
	char host[100] = "";

	(void)gethostname(host, sizeof host - 1);
	(void)str_fmt(name, 128, "quick@%s", host);
	str_make_utf8(name);
}

static int take_client(struct quick *q, const json_t *id, const json_t *secret)
{
	q->client.id = json_integer_value(id);
	(void)str_copy(
		q->client.secret, sizeof q->client.secret, json_is_string(secret) ? json_string_value(secret) : "");
	q->client.mapping[0] = '\0';
	return quick_account_save(q);
}

static int make_client(struct quick *q)
{
	json_t *body, *made = NULL;
	char name[128];
	int r;

	client_name(name);
	body = json_pack("{s:s}", "name", name);
	r = quick_account_call(q, "POST", body, &made, "/api/v1/clients");
	json_decref(body);
	if (r == 0)
		r = take_client(q, json_object_get(made, "id"), json_object_get(made, "secret_key"));
	json_decref(made);
	return r;
}

/* ---- without an account ------------------------------------------------------------------------------------------- */

void quick_account_forget(struct quick *q)
{
	if (q->token != NULL)
		explicit_bzero(q->token, strlen(q->token));
	free(q->token);
	q->token = NULL;
}

/* Calls are made as the client from now on. */
static int use_token(struct quick *q, const json_t *grant)
{
	const char *token = json_string_value(json_object_get(grant, "token"));

	quick_account_forget(q);
	q->token = strdup(token != NULL ? token : "");
	if (q->token == NULL)
		return failure_set(&q->f, EXIT_BAD_NEWS, "out of memory");
	api_use_token(q->api, q->token);
	return 0;
}

/* Its tokens live for minutes, the secret as long as the client. */
int quick_account_log_in(struct quick *q)
{
	json_t *body = json_pack("{s:I, s:s}", "client_id", (json_int_t)q->client.id, "secret_key", q->client.secret);
	json_t *grant = NULL;
	int r;

	r = quick_account_call(q, "POST", body, &grant, "/api/v1/client-tokens");
	json_decref(body);
	if (r == 0)
		r = use_token(q, grant);
	json_decref(grant);
	return r;
}

static int come_through_the_door(struct quick *q)
{
	json_t *body, *came = NULL;
	char name[128], why[sizeof q->f.message];
	int r;

	client_name(name);
	body = json_pack("{s:s}", "name", name);
	r = quick_account_call(q, "POST", body, &came, "/api/v1/anonymous/clients");
	json_decref(body);
	if (r == 0)
		r = use_token(q, came);
	else if (q->f.exit == EXIT_CREDENTIALS) {
		(void)str_copy(why, sizeof why, q->f.message);
		(void)failure_set(&q->f, EXIT_CREDENTIALS,
			"nobody is logged in at %s (portway login), and without an account: %s", api_url(q->api), why);
	}
	if (r == 0)
		r = take_client(q, json_object_get(came, "client_id"), json_object_get(came, "secret_key"));
	json_decref(came);
	return r;
}

/* What it may do may have changed since it came. */
static int take_limits(struct quick *q)
{
	json_t *self = NULL;

	if (quick_account_call(q, "GET", NULL, &self, "/api/v1/self") != 0)
		return -1;
	q->bandwidth = json_integer_value(json_object_get(json_object_get(self, "config"), "bandwidth_limit"));
	json_decref(self);
	return 0;
}

/* ---- the client ---------------------------------------------------------------------------------------------------- */

/* Whether controld still has the remembered client; 1: it has not. */
static int look_for_client(struct quick *q)
{
	int r;

	if (q->anonymous)
		r = quick_account_log_in(q);
	else
		r = quick_account_call(q, "GET", NULL, NULL, "/api/v1/clients/%" PRId64, q->client.id);
	return r == 0 ? 0 : q->f.exit == EXIT_NOT_FOUND || (q->anonymous && q->f.exit == EXIT_CREDENTIALS) ? 1 : -1;
}

/* The remembered one; what a killed command left there goes first. */
int quick_account_open(struct quick *q)
{
	struct err e;
	int r = 1;

	if (quick_client_open(&q->client, q->anonymous ? "anonymous" : api_profile_name(q->api), api_url(q->api), &e) !=
		0)
		return failed(q, &e);
	q->opened = &q->client;
	if (q->client.id != 0)
		r = look_for_client(q);
	if (r == 1)
		r = q->anonymous ? come_through_the_door(q) : make_client(q);
	else if (r == 0 && q->client.mapping[0] != '\0')
		r = quick_mapping_delete(q, q->client.mapping);
	q->client.mapping[0] = '\0';
	return r == 0 && q->anonymous ? take_limits(q) : r;
}

void quick_account_disown(struct quick *q)
{
	struct err e;

	q->client.id = 0;
	explicit_bzero(q->client.secret, sizeof q->client.secret);
	(void)!quick_client_save(&q->client, &e);
}

void quick_account_close(struct quick *q)
{
	if (q->opened != NULL)
		quick_client_close(q->opened);
	quick_account_forget(q);
	explicit_bzero(&q->client, sizeof q->client);
}
