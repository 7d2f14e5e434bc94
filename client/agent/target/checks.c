#include "client/agent/target/checks.h"

#include "client/agent/target/probe.h"
#include "client/agent/target/sessions.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/net/allow.h"
#include "common/net/verdict.h"
#include "common/tunnel/frame_check.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/worker.h"

#include <stdlib.h>

/* One target, tried one way. */
struct check {
	struct checks *all;
	struct list in;     /* checks.all */
	struct list wishes; /* whoever wants to know */
	struct frame_check_spec spec;
	struct verdict verdict;
	char reason[FRAME_REASON_SIZE];
	int64_t since_ms;
	struct probe *probe; /* NULL: none is under way */
	struct timer timer;
};

struct wish {
	struct list in;
	struct check *check;
	struct tunnel_link *link;
	char mapping[FRAME_ID_SIZE];
};

static struct check *check_in(struct list *in)
{
	return CONTAINER_OF(in, struct check, in);
}

static struct wish *wish_in(struct list *in)
{
	return CONTAINER_OF(in, struct wish, in);
}

/* ---- what is told ------------------------------------------------------------------------------------------------- */

static void tell(const struct wish *w)
{
	struct frame_health h = { .up = w->check->verdict.is == VERDICT_UP };

	if (w->check->verdict.is == VERDICT_UNKNOWN || w->link->state != TUNNEL_UP)
		return;
	str_copy(h.mapping, sizeof h.mapping, w->mapping);
	if (!h.up)
		str_copy(h.reason, sizeof h.reason, w->check->reason);
	frame_health_put(&w->link->mux.out, &h);
	tunnel_link_flush(w->link);
}

static void turn(struct check *c, const char *reason)
{
	c->since_ms = clock_wall_ms();
	str_copy(c->reason, sizeof c->reason, reason);
	if (c->verdict.is == VERDICT_UP)
		log_info("target_up", log_s("host", c->spec.host), log_u("port", c->spec.port));
	else
		log_warn("target_down", log_s("host", c->spec.host), log_u("port", c->spec.port),
			log_s("reason", reason));
	LIST_FOREACH (it, &c->wishes)
		tell(wish_in(it));
}

/* ---- trying ------------------------------------------------------------------------------------------------------- */

static bool may(const struct addr *to, void *arg)
{
	const struct check *c = arg;
	const struct allow *allow = sessions_allow(c->all->sessions);

	return allow_has_name(allow, c->spec.host, c->spec.port) || allow_has_addr(allow, to);
}

/* Not all at once: many checks that began together drift apart. */
static void arm(struct check *c)
{
	uint64_t ms = c->spec.interval_ms - rand_below(c->spec.interval_ms / 10 + 1);

	wheel_arm(&c->all->worker->wheel, &c->timer, c->all->worker->now_ns + ms * UINT64_C(1000000));
}

static void on_probed(void *arg, const struct err *why)
{
	struct check *c = arg;

	c->probe = NULL;
	arm(c);
	if (verdict_hear(&c->verdict, why == NULL, c->spec.rise, c->spec.fall))
		turn(c, why != NULL ? why->msg : "");
}

static void on_due(struct timer *t)
{
	static const struct probe_ops ops = { .may = may, .on_done = on_probed };
	struct check *c = CONTAINER_OF(t, struct check, timer);

	c->probe = probe_start(c->all->worker, &c->spec, &ops, c);
	if (c->probe == NULL) /* that the agent is short of something says nothing of the target */
		arm(c);
}

/* ---- who wants to know -------------------------------------------------------------------------------------------- */

static void check_free(struct check *c)
{
	probe_cancel(c->probe);
	wheel_disarm(&c->timer);
	list_remove(&c->in);
	free(c);
}

static void wish_free(struct wish *w)
{
	w->check->all->n_wishes--;
	list_remove(&w->in);
	free(w);
}

static struct check *check_new(struct checks *all, const struct frame_check_spec *spec)
{
	struct check *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->all = all;
	c->spec = *spec;
	list_init(&c->wishes);
	timer_init(&c->timer, on_due);
	list_push_back(&all->all, &c->in);
	wheel_arm(&all->worker->wheel, &c->timer, all->worker->now_ns);
	return c;
}

static struct check *check_of(struct checks *all, const struct frame_check_spec *spec)
{
	LIST_FOREACH (it, &all->all)
		if (frame_check_same(&check_in(it)->spec, spec))
			return check_in(it);
	return check_new(all, spec);
}

/* mapping NULL: all of this link. What nobody wants to know any more is not tried any more. */
static void drop_wishes(struct checks *all, const struct tunnel_link *l, const char *mapping)
{
	LIST_FOREACH_SAFE (it, &all->all) {
		struct check *c = check_in(it);

		LIST_FOREACH_SAFE (of, &c->wishes)
			if (wish_in(of)->link == l && (mapping == NULL || str_eq(wish_in(of)->mapping, mapping)))
				wish_free(wish_in(of));
		if (list_empty(&c->wishes))
			check_free(c);
	}
}

void checks_take(struct checks *all, struct tunnel_link *l, const struct frame_check *c)
{
	struct check *check;
	struct wish *w;

	drop_wishes(all, l, c->mapping);
	if (c->spec.type == FRAME_CHECK_NONE)
		return;
	w = all->n_wishes < CHECKS_MAX ? calloc(1, sizeof *w) : NULL;
	check = w != NULL ? check_of(all, &c->spec) : NULL;
	if (check == NULL) {
		free(w);
		log_warn("target_not_watched", log_s("mapping", c->mapping), log_u("watched", all->n_wishes));
		return;
	}
	w->check = check;
	w->link = l;
	str_copy(w->mapping, sizeof w->mapping, c->mapping);
	list_push_back(&check->wishes, &w->in);
	all->n_wishes++;
	tell(w);
}

void checks_leave(struct checks *all, const struct tunnel_link *l)
{
	drop_wishes(all, l, NULL);
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

void checks_init(struct checks *all, struct worker *w, const struct sessions *sessions)
{
	*all = (struct checks){ .worker = w, .sessions = sessions };
	list_init(&all->all);
}

void checks_fini(struct checks *all)
{
	LIST_FOREACH_SAFE (it, &all->all) {
		struct check *c = check_in(it);

		LIST_FOREACH_SAFE (of, &c->wishes)
			wish_free(wish_in(of));
		check_free(c);
	}
}

void checks_print(const struct checks *all, struct buf *b)
{
	static const char *const verdicts[] = { "unknown", "up", "down" };
	static const char *const types[] = { [FRAME_CHECK_TCP] = "tcp", [FRAME_CHECK_HTTP] = "http" };

	LIST_FOREACH (it, &all->all) {
		const struct check *c = check_in(it);

		jsonw_object(b, NULL);
		jsonw_str(b, "host", c->spec.host);
		jsonw_int(b, "port", c->spec.port);
		jsonw_str(b, "type", types[c->spec.type]);
		jsonw_str(b, "status", verdicts[c->verdict.is]);
		jsonw_str_or_null(b, "reason", c->reason);
		jsonw_time(b, "since", c->since_ms);
		jsonw_end_object(b);
	}
}
