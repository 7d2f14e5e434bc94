#include "client/agent/target/lookout.h"

#include "client/agent/target/probe.h"
#include "client/agent/target/sessions.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/allow.h"
#include "common/tunnel/frame_check.h"
#include "common/uv/worker.h"

#include <stdlib.h>

#define AGAIN_NS   UINT64_C(1000000000)
#define FORGET_NS  UINT64_C(600000000000)
#define TIMEOUT_MS 3000

struct watched {
	struct lookout *all;
	struct list in;
	struct frame_check_spec spec;
	bool told;  /* that it is away */
	bool first; /* nothing is known of it yet */
	bool keep;
	char why[FRAME_REASON_SIZE];
	int64_t since_ms;
	uint64_t failures; /* connections that found it away */
	uint64_t asked_ns; /* when the last of them did */
	struct probe *probe;
	struct timer timer;
};

static struct watched *watched_in(struct list *in)
{
	return CONTAINER_OF(in, struct watched, in);
}

static struct watched *find(const struct lookout *l, const char *host, uint16_t port)
{
	LIST_FOREACH (it, &l->all)
		if (watched_in(it)->spec.port == port && str_eq(watched_in(it)->spec.host, host))
			return watched_in(it);
	return NULL;
}

static void forget(struct watched *w)
{
	probe_cancel(w->probe);
	wheel_disarm(&w->timer);
	list_remove(&w->in);
	w->all->n--;
	free(w);
}

/* ---- what is known ------------------------------------------------------------------------------------------------ */

static void tell(const struct watched *w, const char *why)
{
	const struct lookout_news news = { .host = w->spec.host, .port = w->spec.port, .why = why };

	w->all->on_change(w->all->arg, &news);
}

static void on_there(struct watched *w)
{
	if (w->told)
		log_info("target_reached", log_s("host", w->spec.host), log_u("port", w->spec.port));
	if (w->told || w->first)
		tell(w, NULL);
	if (!w->keep) {
		forget(w);
		return;
	}
	probe_cancel(w->probe);
	w->probe = NULL;
	wheel_disarm(&w->timer);
	w->told = w->first = false;
	w->failures = 0;
}

static void on_away(struct watched *w, const char *why)
{
	struct worker *worker = w->all->worker;

	str_copy(w->why, sizeof w->why, why);
	if (w->probe == NULL)
		wheel_arm(&worker->wheel, &w->timer, worker->now_ns + AGAIN_NS);
	w->first = false;
	if (w->told)
		return;
	w->told = true;
	w->since_ms = clock_wall_ms();
	tell(w, w->why);
}

/* ---- trying ------------------------------------------------------------------------------------------------------- */

static bool may(const struct addr *to, void *arg)
{
	const struct watched *w = arg;
	const struct allow *allow = sessions_allow(w->all->sessions);

	return allow_has_name(allow, w->spec.host, w->spec.port) || allow_has_addr(allow, to);
}

static void on_probed(void *arg, const struct err *why)
{
	struct watched *w = arg;

	w->probe = NULL;
	if (why == NULL)
		on_there(w);
	else
		on_away(w, why->msg);
}

static void on_due(struct timer *t)
{
	static const struct probe_ops ops = { .may = may, .on_done = on_probed };
	struct watched *w = CONTAINER_OF(t, struct watched, timer);
	struct worker *worker = w->all->worker;

	if (!w->keep && worker->now_ns - w->asked_ns > FORGET_NS) {
		forget(w);
		return;
	}
	w->probe = probe_start(worker, &w->spec, &ops, w);
	if (w->probe == NULL) /* that the agent is short of something says nothing of the target */
		wheel_arm(&worker->wheel, &w->timer, worker->now_ns + AGAIN_NS);
}

static struct watched *add(struct lookout *l, const char *host, uint16_t port)
{
	struct watched *w = l->n < LOOKOUT_MAX ? calloc(1, sizeof *w) : NULL;

	if (w == NULL || str_copy(w->spec.host, sizeof w->spec.host, host) != 0) {
		free(w);
		return NULL;
	}
	w->all = l;
	w->first = true;
	w->spec.type = FRAME_CHECK_TCP;
	w->spec.port = port;
	w->spec.timeout_ms = TIMEOUT_MS;
	w->asked_ns = l->worker->now_ns;
	timer_init(&w->timer, on_due);
	list_push_back(&l->all, &w->in);
	l->n++;
	return w;
}

/* ---- for the agent ------------------------------------------------------------------------------------------------ */

void lookout_init(struct lookout *l, struct worker *w, const struct sessions *sessions, lookout_fn on_change, void *arg)
{
	*l = (struct lookout){ .worker = w, .sessions = sessions, .on_change = on_change, .arg = arg };
	list_init(&l->all);
}

void lookout_fini(struct lookout *l)
{
	LIST_FOREACH_SAFE (it, &l->all)
		forget(watched_in(it));
}

void lookout_heard(struct lookout *l, const char *host, uint16_t port, const char *why)
{
	struct watched *w;

	if (why == NULL && l->n == 0)
		return;
	w = find(l, host, port);
	if (why == NULL) {
		if (w != NULL)
			on_there(w);
		return;
	}
	if (w == NULL && (w = add(l, host, port)) == NULL)
		return;
	w->failures++;
	w->asked_ns = l->worker->now_ns;
	on_away(w, why);
}

void lookout_try(struct lookout *l, const char *host, uint16_t port)
{
	struct watched *w = find(l, host, port);

	if (w == NULL && (w = add(l, host, port)) == NULL)
		return;
	w->keep = true;
	if (w->probe == NULL)
		wheel_arm(&l->worker->wheel, &w->timer, l->worker->now_ns);
}

void lookout_print(const struct lookout *l, struct buf *b)
{
	LIST_FOREACH (it, &l->all) {
		const struct watched *w = watched_in(it);

		if (!w->told)
			continue;
		jsonw_object(b, NULL);
		jsonw_str(b, "host", w->spec.host);
		jsonw_int(b, "port", w->spec.port);
		jsonw_str(b, "reason", w->why);
		jsonw_time(b, "since", w->since_ms);
		jsonw_uint(b, "failures", w->failures);
		jsonw_end_object(b);
	}
}
