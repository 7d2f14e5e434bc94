#include "client/agent/relay/follow.h"

#include "client/agent/credential.h"
#include "client/api/http.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/uv/worker.h"

#include <stdlib.h>
#include <string.h>

#define ASKING     "portway client-relays" /* controld/fleet/client_relays_api.c */
#define HURRY_NS   UINT64_C(10000000000)
#define TIMEOUT_MS 15000
#define URL_SIZE   1024
#define NS_PER_MS  UINT64_C(1000000)
#define BODY_SIZE  256
#define REFUSED    401

/* Has all it needs, as the agent may be gone when libuv's thread is done with it. */
struct follow_job {
	uv_work_t work;
	struct follow *follow; /* NULL: nobody waits */
	char url[URL_SIZE], ca[URL_SIZE], body[BODY_SIZE];
	struct http_answer answer;
	struct err e;
	int rc;
};

/* ---- the answer --------------------------------------------------------------------------------------------------- */

bool follow_has_relay(const struct follow_list *list, const char *one)
{
	const char *relays = list->relays;
	const size_t n = strlen(one);

	for (const char *p = strstr(relays, one); p != NULL; p = strstr(p + 1, one))
		if ((p == relays || p[-1] == ',') && (p[n] == '\0' || p[n] == ','))
			return true;
	return false;
}

int follow_read(const json_t *answer, struct follow_list *out)
{
	const json_t *items = json_object_get(answer, "items"), *one;
	size_t used = 0, i;
	unsigned n = 0;

	*out = (struct follow_list){ .nodes = json_object_get(answer, "nodes") };
	json_array_foreach(items, i, one)
	{
		const char *at = json_string_value(json_object_get(one, "address"));
		struct relay_url url;

		if (at == NULL || strpbrk(at, ", \t\n") != NULL || relay_url_parse(&url, at) != 0 ||
			follow_has_relay(out, at))
			continue;
		if (n == SETTINGS_RELAYS_MAX ||
			str_fmt(out->relays + used, sizeof out->relays - used, "%s%s", n > 0 ? "," : "", at) != 0)
			break;
		used = strlen(out->relays);
		n++;
	}
	return n > 0 ? 0 : -1;
}

bool follow_has_node(const struct follow_list *list, const char *id)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list->nodes, i, one)
	{
		const char *node = json_string_value(one);

		if (node != NULL && str_eq(node, id))
			return true;
	}
	return false;
}

/* ---- one request -------------------------------------------------------------------------------------------------- */

static int sign(struct follow_job *j, const struct credential *c)
{
	const long long now = (long long)clock_wall_ms();
	uint8_t signature[KEY_SIGNATURE_SIZE];
	char message[128], text[(KEY_SIGNATURE_SIZE * 4 + 2) / 3 + 1];

	str_fmt(message, sizeof message, ASKING " %s %lld", c->client, now);
	if (key_sign(c->key, message, strlen(message), signature) != 0)
		return -1;
	str_b64url(text, signature, sizeof signature);
	return str_fmt(j->body, sizeof j->body, "{\"client_id\":%s,\"signed_at\":%lld,\"signature\":\"%s\"}", c->client,
		now, text);
}

static void on_work(uv_work_t *work)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct follow_job *j = work->data;
	const struct http_request rq = {
		.method = "POST", .url = j->url, .headers = headers, .body = j->body, .timeout_ms = TIMEOUT_MS
	};
	struct http *h;

	j->rc = http_new(&h, j->ca[0] != '\0' ? j->ca : NULL, &j->e);
	if (j->rc != 0)
		return;
	j->rc = http_send(h, &rq, &j->answer, &j->e);
	http_free(h);
}

static void arm(struct follow *f)
{
	const uint64_t ms = f->settings->follow_interval_ms;

	/* all of a fleet's agents start together, and shall not ask together */
	wheel_arm(&f->worker->wheel, &f->next, f->worker->now_ns + (ms - ms / 4 + rand_below(ms / 2 + 1)) * NS_PER_MS);
}

static const char *message_of(const struct http_answer *a)
{
	const char *s = json_string_value(json_object_get(a->body, "message"));

	return s != NULL ? s : "an answer that is none of controld's";
}

static void take(struct follow *f, const struct follow_job *j)
{
	struct follow_list list;

	f->error[0] = '\0';
	if (j->rc != 0) {
		str_copy(f->error, sizeof f->error, j->e.msg);
	} else if (j->answer.status == REFUSED) {
		str_copy(f->error, sizeof f->error, message_of(&j->answer));
		log_warn("relays_not_told", log_s("controld", f->settings->controld), log_s("reason", f->error));
		f->on_list(f->arg, NULL);
		return;
	} else if (j->answer.status != 200) {
		str_copy(f->error, sizeof f->error, message_of(&j->answer));
	} else if (follow_read(j->answer.body, &list) != 0) {
		str_copy(f->error, sizeof f->error, "no relay takes agents now");
	} else {
		f->told_ms = clock_wall_ms();
		f->on_list(f->arg, &list);
		return;
	}
	log_warn("relays_not_told", log_s("controld", f->settings->controld), log_s("reason", f->error));
}

static void on_worked(uv_work_t *work, int status)
{
	struct follow_job *j = work->data;
	struct follow *f = j->follow;

	if (f != NULL) {
		f->job = NULL;
		arm(f);
		if (status == 0)
			take(f, j);
	}
	http_answer_fini(&j->answer);
	free(j);
}

static void ask(struct follow *f)
{
	struct follow_job *j = calloc(1, sizeof *j);

	arm(f);
	if (j == NULL)
		return;
	j->follow = f;
	j->work.data = j;
	if (sign(j, f->credential) != 0 ||
		str_fmt(j->url, sizeof j->url, "%s/api/v1/client-relays", f->settings->controld) != 0 ||
		str_copy(j->ca, sizeof j->ca, f->settings->controld_ca) != 0 ||
		uv_queue_work(&f->worker->uv, &j->work, on_work, on_worked) != 0) {
		free(j);
		return;
	}
	f->job = j;
	f->asked_ns = f->worker->now_ns;
}

/* ---- when --------------------------------------------------------------------------------------------------------- */

static void on_due(struct timer *t)
{
	struct follow *f = CONTAINER_OF(t, struct follow, next);

	if (f->job == NULL)
		ask(f);
}

void follow_init(struct follow *f, struct worker *w, follow_fn on_list, void *arg)
{
	*f = (struct follow){ .worker = w, .on_list = on_list, .arg = arg };
	timer_init(&f->next, on_due);
}

void follow_start(struct follow *f, const struct settings *s, const struct credential *c)
{
	f->settings = s;
	f->credential = c;
	f->running = s->controld[0] != '\0';
	if (f->running)
		wheel_arm(&f->worker->wheel, &f->next, f->worker->now_ns);
}

void follow_hurry(struct follow *f)
{
	uint64_t due;

	if (!f->running || f->job != NULL)
		return;
	due = f->asked_ns + MIN(HURRY_NS, f->settings->follow_interval_ms * NS_PER_MS);
	due = MAX(due, f->worker->now_ns) + rand_below(1000) * NS_PER_MS;
	if (due >> WHEEL_TICK_SHIFT < f->next.due)
		wheel_arm(&f->worker->wheel, &f->next, due);
}

void follow_stop(struct follow *f)
{
	wheel_disarm(&f->next);
	if (f->job != NULL) {
		f->job->follow = NULL;
		(void)uv_cancel((uv_req_t *)&f->job->work); /* its end is told all the same */
	}
	f->job = NULL;
	f->running = false;
}
