#include "relayd/http/http_service.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "relayd/http/exchange.h"
#include "relayd/http/exchange_probe.h"
#include "relayd/http/h1_back.h"
#include "relayd/http/h1_front.h"
#include "relayd/http/h2_front.h"
#include "relayd/http/http_service_inside.h"
#include "relayd/http/mirror.h"
#include "relayd/http/tls_gate.h"
#include "relayd/loop/workers.h"
#include "relayd/vhost/front.h"

#include <stdlib.h>
#include <unistd.h>

#define TICK_MS 1000 /* ejections end, success rates are compared, hosts are tried again */

/* ---- passive health ------------------------------------------------------------------------------------------------- */

/* On any worker. */
static void on_outlier(void *arg, struct upstream *u, enum lb_outlier_why why, double rate)
{
	struct pool *p = arg;
	struct http_service *s = CONTAINER_OF(p->by_id, struct http_service, pools);

	uv_mutex_lock(&s->lock);
	if (s->n_ejections < EJECTIONS_MAX)
		s->ejections[s->n_ejections++] = (struct ejection){ p, u, why, rate };
	uv_mutex_unlock(&s->lock);
	uv_async_send(&s->wake);
}

static struct backend *backend_in(const struct pool *p, const struct upstream *up)
{
	for (uint32_t i = 0; p->version != NULL && i < p->version->n; i++)
		if (p->version->ups[i] == up)
			return p->version->backends[i];
	return NULL;
}

static bool is_known(const struct http_service *s, const struct pool *p)
{
	struct pool *at;
	size_t it = 0;

	while ((at = map_next(&s->pools, &it)) != NULL)
		if (at == p)
			return true;
	return false;
}

static void tell_ejections(struct http_service *s)
{
	struct ejection all[EJECTIONS_MAX];
	unsigned n;

	uv_mutex_lock(&s->lock);
	n = s->n_ejections;
	for (unsigned i = 0; i < n; i++)
		all[i] = s->ejections[i];
	s->n_ejections = 0;
	uv_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++) {
		struct backend *b = is_known(s, all[i].pool) ? backend_in(all[i].pool, all[i].up) : NULL;

		if (b == NULL)
			continue;
		pool_refresh(all[i].pool);
		if (s->observer.ejected != NULL)
			s->observer.ejected(s->observer.arg, all[i].pool, b, all[i].why, all[i].rate);
	}
}

static void on_wake(uv_async_t *async)
{
	struct http_service *s = async->data;

	lives_reap(&s->site.lives);
	tell_ejections(s);
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static void work_cut(struct worker *w, void *arg)
{
	struct http_desk *d = ((struct http_service *)arg)->desks[w->index];
	struct list *first;

	d->closing = true;
	exchange_probes_cancel(d, NULL);
	while ((first = list_first(&d->connections)) != NULL)
		h1_front_close(h1_front_of(first), true);
	while ((first = list_first(&d->h2_fronts)) != NULL)
		h2_front_cut(h2_front_of(first));
	while ((first = list_first(&d->tls_gates)) != NULL)
		tls_gate_cut(tls_gate_of(first));
	while ((first = list_first(&d->mirrors)) != NULL)
		mirror_cut(mirror_of(first));
	while ((first = list_first(&d->backs_all)) != NULL)
		h1_back_close(h1_back_of_all(first), true);
}

static void on_tick(uv_timer_t *timer)
{
	struct http_service *s = timer->data;
	const uint64_t now_ns = clock_mono_ns();
	struct pool *p;
	size_t it = 0;

	while ((p = map_next(&s->pools, &it)) != NULL) {
		struct pool_version *v = p->version;

		if (v != NULL && lb_outlier_tick(&v->outlier, v->ups, v->n, now_ns) > 0)
			pool_refresh(p);
	}
	http_change_retry(s);
	if (s->drain_ms != 0 && clock_mono_ms() >= s->drain_ms) {
		s->drain_ms = 0;
		workers_call(s->env.workers, work_cut, s);
	}
}

/* ---- the service ---------------------------------------------------------------------------------------------------- */

static void apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	http_change_apply(self, old, new_);
}

/* Connections end with the answer under way: their next request goes to whoever serves then. */
static void work_close_idle(struct worker *w, void *arg)
{
	struct http_desk *d = ((struct http_service *)arg)->desks[w->index];

	d->closing = true;
	LIST_FOREACH_SAFE (it, &d->connections)
		h1_front_drain(h1_front_of(it));
	LIST_FOREACH_SAFE (it, &d->h2_fronts)
		h2_front_drain(h2_front_of(it));
}

static void quiesce(void *self, bool handed_over)
{
	struct http_service *s = self;

	(void)handed_over;
	workers_call(s->env.workers, work_close_idle, s);
}

static void drain(void *self, uint64_t deadline_mono_ms)
{
	struct http_service *s = self;

	s->drain_ms = deadline_mono_ms;
	workers_call(s->env.workers, deadline_mono_ms == 0 ? work_cut : work_close_idle, s);
}

void http_service_counts(const struct http_service *s, struct http_counts *out)
{
	*out = (struct http_counts){ .connections_now = 0 };
	for (unsigned i = 0; i < workers_count(s->env.workers); i++) {
		const struct http_counts *c = &s->desks[i]->counts;

		for (unsigned k = 0; k < HTTP_COUNTERS_N; k++)
			out->value[k] += __atomic_load_n(&c->value[k], __ATOMIC_RELAXED);
		for (unsigned k = 0; k < HTTP_TROUBLES_N; k++)
			out->troubles[k] += __atomic_load_n(&c->troubles[k], __ATOMIC_RELAXED);
		out->connections_now += __atomic_load_n(&c->connections_now, __ATOMIC_RELAXED);
		out->requests_now += __atomic_load_n(&c->requests_now, __ATOMIC_RELAXED);
		out->mirrors_now += __atomic_load_n(&c->mirrors_now, __ATOMIC_RELAXED);
		out->backends_now += __atomic_load_n(&c->backends_now, __ATOMIC_RELAXED);
	}
}

static void stats(void *self, struct service_stats *out)
{
	struct http_counts c;

	http_service_counts(self, &c);
	out->connections = c.connections_now;
	out->fds = c.connections_now + c.backends_now;
}

struct listing {
	struct http_service *s;
	const char *route; /* NULL: all */
	conn_info_fn fn;
	void *arg;
	bool enough;
};

static void tell(struct listing *l, const struct conn_info *info)
{
	if (info->mapping[0] != '\0' && (l->route == NULL || str_eq(info->mapping, l->route)))
		l->enough = !l->fn(info, l->arg);
}

static void work_list(struct worker *w, void *arg)
{
	struct listing *l = arg;
	struct http_desk *d = l->s->desks[w->index];
	struct conn_info info;

	LIST_FOREACH (it, &d->connections) {
		if (l->enough)
			return;
		h1_front_info(h1_front_of(it), &info);
		tell(l, &info);
	}
	LIST_FOREACH (it, &d->h2_fronts) {
		if (l->enough)
			return;
		h2_front_info(h2_front_of(it), l->route, &info);
		tell(l, &info);
	}
}

static void list(void *self, const char *mapping, conn_info_fn fn, void *arg)
{
	struct http_service *s = self;
	struct listing l = { s, mapping != NULL && mapping[0] != '\0' ? mapping : NULL, fn, arg, false };

	workers_call_each(s->env.workers, work_list, &l);
}

struct cutting {
	struct http_service *s;
	uint64_t conn;
	bool found;
};

static void work_cut_one(struct worker *w, void *arg)
{
	struct cutting *c = arg;
	struct http_desk *d = c->s->desks[w->index];

	LIST_FOREACH (it, &d->connections) {
		if (h1_front_id(h1_front_of(it)) != c->conn)
			continue;
		h1_front_close(h1_front_of(it), true);
		c->found = true;
		return;
	}
	LIST_FOREACH (it, &d->h2_fronts) {
		if (h2_front_id(h2_front_of(it)) != c->conn)
			continue;
		h2_front_cut(h2_front_of(it));
		c->found = true;
		return;
	}
}

static bool cut(void *self, uint64_t conn)
{
	struct http_service *s = self;
	struct cutting c = { s, conn, false };

	workers_call_each(s->env.workers, work_cut_one, &c);
	return c.found;
}

/* The sockets are the shared port's. */
static int hand_over(void *self, handover_fn fn, void *arg)
{
	(void)self;
	(void)fn;
	(void)arg;
	return 0;
}

static void adopt(void *self, const struct handover_socket *s)
{
	(void)self;
	close(s->fd);
}

/* ---- made, ended ---------------------------------------------------------------------------------------------------- */

static void free_service(struct http_service *s)
{
	uv_mutex_destroy(&s->lock);
	free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct http_service *s = h->data;

	if (--s->handles == 0)
		free_service(s);
}

/* The workers do not run, so calls to them run here. */
static void end_all(struct http_service *s)
{
	workers_call(s->env.workers, work_cut, s);
	http_change_end(s);
	for (unsigned i = 0; i < workers_count(s->env.workers); i++)
		worker_bury_all(workers_at(s->env.workers, i));
}

static void stop(void *self)
{
	struct http_service *s = self;

	if (s->handles == 2)
		end_all(s);
	s->site.lives.wake = NULL;
	lives_fini(&s->site.lives);
	for (unsigned i = 0; s->desks != NULL && i < workers_count(s->env.workers); i++)
		desk_free(s->desks[i]);
	free(s->desks);
	map_free(&s->pools);
	map_free(&s->routes);
	map_free(&s->sites);
	tally_book_fini(&s->site.tallies);
	tls_clients_fini(&s->site.tls);
	tls_ctx_unref(s->tls);
	if (s->handles == 0) {
		free_service(s);
		return;
	}
	if (s->handles == 2)
		uv_close((uv_handle_t *)&s->timer, on_handle_closed);
	uv_close((uv_handle_t *)&s->wake, on_handle_closed);
}

static const struct service_ops ops = {
	.name = HTTP_SERVICE_NAME,
	.apply = apply,
	.quiesce = quiesce,
	.drain = drain,
	.stop = stop,
	.stats = stats,
	.list = list,
	.cut = cut,
	.hand_over = hand_over,
	.adopt = adopt,
};

static void init(struct http_service *s, const struct service_env *env)
{
	s->env = *env;
	s->conf = env->http;
	s->site.workers = env->workers;
	s->site.region = env->http->region;
	s->site.on_outlier = on_outlier;
	lives_init(&s->site.lives);
	tally_book_init(&s->site.tallies, env->meter);
	tls_clients_init(&s->site.tls);
	map_init(&s->pools);
	map_init(&s->routes);
	map_init(&s->sites);
	uv_mutex_init(&s->lock);
	list_init(&s->pools_todo);
	list_init(&s->sites_todo);
	list_init(&s->routes_gone);
}

int http_service_new(struct service *out, const struct service_env *env, struct err *e)
{
	struct http_service *s = calloc(1, sizeof *s);
	const unsigned n = workers_count(env->workers);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "routes: out of memory");
	init(s, env);
	s->desks = calloc(n, sizeof(*s->desks));
	if (tls_ctx_new(&s->tls, &(struct tls_conf){ .server = true, .by_name = true, .min_version = 12 }, e) != 0)
		goto fail;
	for (unsigned i = 0; s->desks != NULL && i < n; i++) {
		s->desks[i] = desk_new(workers_at(env->workers, i), env, env->http);
		if (s->desks[i] == NULL)
			goto fail;
		s->desks[i]->tls = s->tls;
	}
	if (s->desks == NULL || uv_async_init(env->loop, &s->wake, on_wake) != 0)
		goto fail;
	s->handles++;
	s->wake.data = s;
	s->site.lives.wake = &s->wake;
	if (uv_timer_init(env->loop, &s->timer) != 0)
		goto fail;
	s->handles++;
	s->timer.data = s;
	uv_timer_start(&s->timer, on_tick, TICK_MS, TICK_MS);
	*out = (struct service){ .ops = &ops, .self = s };
	return 0;
fail:
	err_set(e, ERR_NOMEM, NULL, "routes: out of memory for %u workers", n);
	stop(s);
	return -1;
}

void http_service_observe(struct http_service *s, const struct http_observer *o)
{
	s->observer = o != NULL ? *o : (struct http_observer){ .arg = NULL };
}
