#include "relayd/tunnel/agents.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "relayd/conf/snapshot.h"
#include "relayd/loop/workers.h"
#include "relayd/tunnel/agent_door.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/agent_table.h"
#include "relayd/tunnel/client_gate.h"
#include "relayd/tunnel/friends.h"
#include "relayd/tunnel/registry.h"
#include "relayd/tunnel/target_view.h"
#include "relayd/tunnel/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG     4096
#define RETRY_MS    2000
#define KEY         "agents" /* of the listening socket at a handover */
#define LOOK_MS     20       /* after the first of several changes */
#define AWAY_MIN_MS 200      /* agents that are sent away come back within this, */
#define AWAY_PER_MS 4        /* and so much for each, */
#define AWAY_MAX_MS 10000    /* at most */

struct agents {
	struct service_env env;
	struct agents_conf conf;
	struct allow *proxies;
	struct registry *registry;
	struct agent_table *tables; /* by worker */
	unsigned n;
	int fd;          /* -1: not listening (yet) */
	bool configured; /* before, it would tell every agent that it knows no such client */
	bool quiet;
	uv_async_t changed;
	uv_mutex_t lock;
	struct map gates; /* struct client_gate by client, under lock */
	uv_timer_t retry, look;
	struct target_view *view;
	struct friends *friends;
	unsigned handles; /* libuv's, to be closed */
	/* For a call to the workers. */
	struct snapshot *old, *new_;
	struct tls_ctx *tls;
	char node[PROTO_ID_SIZE];
	uint32_t away_ms;
};

static struct agent_table *table_of(const struct agents *a, const struct worker *w)
{
	return &a->tables[w->index];
}

/* ---- listening ---------------------------------------------------------------------------------------------------- */

static int make_socket(const char *listen_at, struct err *e)
{
	struct addr at;
	int fd, one = 1;

	if (addr_parse(&at, listen_at) != 0)
		return err_set(
			e, ERR_VALIDATION, "agents.listen", "agents.listen: '%s' is not address:port", listen_at);
	fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set_sys(e, ERR_IO, errno, "agents.listen %s", listen_at);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, &at.sa, at.len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	err_set_sys(e, errno == EADDRINUSE ? ERR_ADDR_IN_USE : ERR_IO, errno, "agents.listen %s", listen_at);
	close(fd);
	return -1;
}

static void work_open_door(struct worker *w, void *arg)
{
	const struct agents *a = arg;
	struct agent_table *t = table_of(a, w);

	if (t->door == NULL && agent_door_open(&t->door, t, a->fd) != 0)
		log_error("agents_not_accepted", log_u("worker", w->index), log_s("reason", "out of memory"));
}

static void work_close_door(struct worker *w, void *arg)
{
	struct agent_table *t = table_of(arg, w);

	agent_door_close(t->door);
	t->door = NULL;
}

static void on_retry(uv_timer_t *t);

static void start_listening(struct agents *a)
{
	struct err e;

	if (a->quiet || !a->configured || a->tables[0].tls == NULL)
		return;
	if (a->fd < 0 && (a->fd = make_socket(a->conf.listen, &e)) < 0) {
		log_error("agents_not_listening", log_err(&e));
		uv_timer_start(&a->retry, on_retry, RETRY_MS, 0);
		return;
	}
	workers_call(a->env.workers, work_open_door, a);
}

static void on_retry(uv_timer_t *t)
{
	start_listening(t->data);
}

static void stop_listening(struct agents *a)
{
	uv_timer_stop(&a->retry);
	workers_call(a->env.workers, work_close_door, a);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

/* ---- who this relay is -------------------------------------------------------------------------------------------- */

static void work_set_tls(struct worker *w, void *arg)
{
	const struct agents *a = arg;
	struct agent_table *t = table_of(a, w);

	tls_ctx_unref(t->tls);
	t->tls = tls_ctx_ref(a->tls);
	str_copy(t->node, sizeof t->node, a->node);
}

int agents_set_identity(
	struct agents *a, const char *node, const char *cert, const char *ca, const char *key, struct err *e)
{
	size_t n = strlen(cert) + strlen(ca) + 1;
	char *chain = malloc(n); /* the CA at its end: agents know its fingerprint */
	const struct tls_conf conf = { .server = true, .cert_pem = chain, .key_pem = key, .bulk = true };
	int r;

	if (chain == NULL)
		return err_set(e, ERR_NOMEM, NULL, "agents: out of memory");
	str_fmt(chain, n, "%s%s", cert, ca);
	r = tls_ctx_new(&a->tls, &conf, e);
	free(chain);
	if (r != 0)
		return -1;
	str_copy(a->node, sizeof a->node, node);
	workers_call(a->env.workers, work_set_tls, a);
	tls_ctx_unref(a->tls);
	a->tls = NULL;
	start_listening(a);
	return 0;
}

/* ---- targets ------------------------------------------------------------------------------------------------------ */

/* Whether an agent besides this one has nothing against it: each of them listens on a machine of its own. */
static bool others_listen(const struct seat *s, const struct agent_link *l, const char *mapping)
{
	LIST_FOREACH (it, &s->links) {
		const struct agent_link *other = CONTAINER_OF(it, struct agent_link, in_seat);

		if (!str_eq(other->hello.instance, l->hello.instance) && standings_get(&other->shut, mapping) == NULL)
			return true;
	}
	return false;
}

static void look_at_doors(struct agents *a, const struct seat *seat, const struct agent_link *l)
{
	const struct standing *s;
	size_t it = 0;

	while ((s = map_next(&l->shut.by_mapping, &it)) != NULL)
		target_view_add_shut(a->view, &l->hello, s, others_listen(seat, l, s->mapping));
}

static void look_at_seat(struct agents *a, const struct seat *s)
{
	LIST_FOREACH (it, &s->links)
		look_at_doors(a, s, CONTAINER_OF(it, struct agent_link, in_seat));
	LIST_FOREACH (it, &s->watches) {
		const char *mapping = CONTAINER_OF(it, struct watch, in_seat)->object->id;

		LIST_FOREACH (of, &s->links) {
			const struct agent_link *l = CONTAINER_OF(of, struct agent_link, in_seat);

			target_view_add(a->view, mapping, &l->hello, standings_get(&l->standings, mapping));
		}
	}
}

static void look_for_doubts(struct agents *a, const struct seat *s, uint64_t now_ns)
{
	LIST_FOREACH (of, &s->links) {
		const struct agent_link *l = CONTAINER_OF(of, struct agent_link, in_seat);
		const struct standing *doubted;
		size_t it = 0;

		while ((doubted = standings_next_doubted(&l->standings, &it, now_ns)) != NULL)
			target_view_doubt(a->view, &l->hello, doubted);
	}
}

static void work_look(struct worker *w, void *arg)
{
	const struct agent_table *t = table_of(arg, w);
	const struct seat *s;
	size_t it = 0;

	while ((s = map_next(&t->seats, &it)) != NULL) {
		look_at_seat(arg, s);
		look_for_doubts(arg, s, w->now_ns);
	}
}

static void look(struct agents *a)
{
	target_view_begin(a->view);
	workers_call(a->env.workers, work_look, a);
	target_view_end(a->view);
}

static void on_look(uv_timer_t *t)
{
	struct agents *a = t->data;

	look(a);
	if (a->conf.on_change != NULL)
		a->conf.on_change(a->conf.arg);
}

static void look_soon(struct agents *a)
{
	if (!uv_is_active((const uv_handle_t *)&a->look))
		uv_timer_start(&a->look, on_look, LOOK_MS, 0);
}

/* ---- the service -------------------------------------------------------------------------------------------------- */

static struct client_gate *gate_of(struct agents *a, const char *client)
{
	struct client_gate *g = map_get_str(&a->gates, client);

	if (g != NULL || (g = client_gate_new(client)) == NULL)
		return g;
	if (map_put_str(&a->gates, g->id, g, NULL) == 0)
		return g;
	client_gate_unref(g);
	return NULL;
}

struct client_gate *agents_gate(struct agents *a, const char *client)
{
	struct client_gate *g;

	uv_mutex_lock(&a->lock);
	g = gate_of(a, client);
	if (g != NULL)
		client_gate_ref(g);
	uv_mutex_unlock(&a->lock);
	return g;
}

/* Who still serves a client that is gone keeps its gate. */
static void on_client(const struct object *old, const struct object *new_, void *arg)
{
	struct agents *a = arg;
	struct client_gate *g = NULL;

	if ((new_ != NULL ? new_ : old)->kind != OBJECT_CLIENT)
		return;
	uv_mutex_lock(&a->lock);
	if (new_ == NULL)
		client_gate_unref(map_remove_str(&a->gates, old->id));
	else
		g = gate_of(a, new_->id);
	uv_mutex_unlock(&a->lock);
	if (g != NULL)
		client_gate_set(g, &new_->client, clock_mono_ns());
}

static void work_apply(struct worker *w, void *arg)
{
	const struct agents *a = arg;

	agent_table_apply(table_of(a, w), a->old, a->new_);
}

static void agents_apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	struct agents *a = self;

	snapshot_diff(old, new_, on_client, a);
	a->old = old;
	a->new_ = new_;
	workers_call(a->env.workers, work_apply, a);
	if (target_view_apply(a->view, old, new_))
		look_soon(a);
	if (a->configured)
		return;
	a->configured = true;
	start_listening(a);
}

static void work_go_away(struct worker *w, void *arg)
{
	const struct agents *a = arg;

	agent_table_go_away(table_of(a, w), a->away_ms);
}

/* Agents go to the successor, or to another relay, a little spread; their streams here end in peace. */
static void agents_quiesce(void *self, bool handed_over)
{
	struct agents *a = self;
	struct agent_counts counts;

	(void)handed_over;
	a->quiet = true;
	stop_listening(a);
	agents_counts(a, &counts);
	a->away_ms = (uint32_t)MIN(AWAY_MIN_MS + counts.links * AWAY_PER_MS, AWAY_MAX_MS);
	workers_call(a->env.workers, work_go_away, a);
}

static void work_close(struct worker *w, void *arg)
{
	agent_table_close(table_of(arg, w));
}

/* With a deadline the streams' own sessions decide when they end; links without streams hold nothing up. */
static void agents_drain(void *self, uint64_t deadline_mono_ms)
{
	struct agents *a = self;

	if (deadline_mono_ms == 0)
		workers_call(a->env.workers, work_close, a);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct agents *a = h->data;

	if (--a->handles == 0)
		free(a);
}

static void agents_stop(void *self)
{
	struct agents *a = self;
	struct client_gate *g;
	size_t it = 0;

	stop_listening(a);
	for (unsigned i = 0; i < a->n; i++)
		if (a->tables[i].worker != NULL)
			worker_take_posted(a->tables[i].worker); /* links between two workers arrive, to be ended */
	for (unsigned i = 0; i < a->n; i++)
		agent_table_fini(&a->tables[i]);
	free(a->tables);
	registry_free(a->registry);
	target_view_free(a->view);
	friends_free(a->friends);
	allow_unref(a->proxies);
	while ((g = map_next(&a->gates, &it)) != NULL)
		client_gate_unref(map_remove_str(&a->gates, g->id));
	map_free(&a->gates);
	uv_mutex_destroy(&a->lock);
	a->tables = NULL;
	a->n = 0;
	if (a->handles == 0) {
		free(a);
		return;
	}
	uv_close((uv_handle_t *)&a->retry, on_handle_closed);
	uv_close((uv_handle_t *)&a->look, on_handle_closed);
	if (a->handles > 2)
		uv_close((uv_handle_t *)&a->changed, on_handle_closed);
}

static void agents_stats(void *self, struct service_stats *out)
{
	const struct agents *a = self;
	struct agent_counts counts;

	agents_counts(a, &counts);
	out->ports = a->fd >= 0 ? 1 : 0;
	out->fds = out->ports + counts.links;
}

static void agents_list(void *self, const char *mapping, conn_info_fn fn, void *arg)
{
	(void)self, (void)mapping, (void)fn, (void)arg; /* a stream is listed as its client's connection */
}

static bool agents_cut(void *self, uint64_t conn)
{
	(void)self, (void)conn;
	return false;
}

static int agents_hand_over(void *self, handover_fn fn, void *arg)
{
	const struct agents *a = self;
	const struct handover_socket s = { .fd = a->fd, .key = KEY };

	return a->fd >= 0 ? fn(&s, arg) : 0;
}

static void agents_adopt(void *self, const struct handover_socket *s)
{
	struct agents *a = self;

	if (a->fd < 0 && str_eq(s->key, KEY))
		a->fd = s->fd;
	else
		close(s->fd);
}

static const struct service_ops ops = {
	.name = "agents",
	.apply = agents_apply,
	.quiesce = agents_quiesce,
	.drain = agents_drain,
	.stop = agents_stop,
	.stats = agents_stats,
	.list = agents_list,
	.cut = agents_cut,
	.hand_over = agents_hand_over,
	.adopt = agents_adopt,
};

/* On the worker that let an agent in or out. */
static void on_registry(void *arg)
{
	struct agents *a = arg;

	uv_async_send(&a->changed);
}

static void on_changed(uv_async_t *async)
{
	struct agents *a = async->data;

	look_soon(a);
	if (a->conf.on_change != NULL)
		a->conf.on_change(a->conf.arg);
}

int agents_new(struct agents **out, struct service *service, const struct service_env *env,
	const struct agents_conf *conf, struct err *e)
{
	struct agents *a = calloc(1, sizeof *a);
	const struct registry_conf registry = {
		.workers = workers_count(env->workers), .links_max = conf->links_max, .on_change = on_registry, .arg = a
	};

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "agents: out of memory");
	a->env = *env;
	a->conf = *conf;
	a->fd = -1;
	if (conf->proxies != NULL && conf->proxies[0] != '\0' &&
		allow_parse(&a->proxies, "agents.proxies", conf->proxies, e) != 0) {
		free(a);
		return -1;
	}
	uv_mutex_init(&a->lock);
	map_init(&a->gates);
	a->n = registry.workers;
	a->tables = calloc(a->n, sizeof *a->tables);
	if (a->tables == NULL || registry_new(&a->registry, &registry) != 0 ||
		target_view_new(&a->view, env->refusals) != 0 || friends_new(&a->friends) != 0)
		goto fail;
	for (unsigned i = 0; i < a->n; i++) {
		if (agent_table_init(&a->tables[i], workers_at(env->workers, i), a->registry, &a->conf) != 0)
			goto fail;
		a->tables[i].all = a->tables;
		a->tables[i].n_all = a->n;
		a->tables[i].news = &a->changed;
		a->tables[i].friends = a->friends;
		a->tables[i].proxies = a->proxies;
	}
	a->retry.data = a->look.data = a->changed.data = a;
	if (uv_timer_init(env->loop, &a->retry) != 0 || uv_timer_init(env->loop, &a->look) != 0)
		goto fail; /* neither ever fails */
	a->handles += 2;
	if (uv_async_init(env->loop, &a->changed, on_changed) != 0)
		goto fail;
	a->handles++;
	*service = (struct service){ .ops = &ops, .self = a };
	*out = a;
	return 0;
fail:
	agents_stop(a);
	return err_set(e, ERR_NOMEM, NULL, "agents: out of memory");
}

struct agent_table *agents_table(struct agents *a, const struct worker *w)
{
	return table_of(a, w);
}

/* ---- what others ask ---------------------------------------------------------------------------------------------- */

enum agents_answer agents_find(
	struct agents *a, const struct worker *w, const struct agents_ask *ask, struct agents_found *out)
{
	return agent_table_find(table_of(a, w), ask, out);
}

void agents_tell(struct agents *a, const struct worker *w, const struct agents_ask *ask, bool reached)
{
	agent_table_tell(table_of(a, w), ask, reached);
}

void agents_states(struct agents *a, struct client_states *out)
{
	registry_states(a->registry, out);
	look(a); /* doubts come and go by themselves */
	target_view_troubles(a->view, out);
}

void agents_counts(const struct agents *a, struct agent_counts *out)
{
	*out = (struct agent_counts){ .accepted = 0 };
	for (unsigned i = 0; i < a->n; i++) {
		const struct agent_counts *c = &a->tables[i].counts;
		const struct mux_pool *pool = &a->tables[i].desk.pool;

		out->accepted += __atomic_load_n(&c->accepted, __ATOMIC_RELAXED);
		out->evicted += __atomic_load_n(&c->evicted, __ATOMIC_RELAXED);
		out->junk += __atomic_load_n(&c->junk, __ATOMIC_RELAXED);
		out->gave_up += __atomic_load_n(&c->gave_up, __ATOMIC_RELAXED);
		out->crowded += __atomic_load_n(&c->crowded, __ATOMIC_RELAXED);
		out->delayed += __atomic_load_n(&c->delayed, __ATOMIC_RELAXED);
		out->greeted += __atomic_load_n(&c->greeted, __ATOMIC_RELAXED);
		out->refused += __atomic_load_n(&c->refused, __ATOMIC_RELAXED);
		out->over += __atomic_load_n(&c->over, __ATOMIC_RELAXED);
		out->failed += __atomic_load_n(&c->failed, __ATOMIC_RELAXED);
		out->taken_over += __atomic_load_n(&c->taken_over, __ATOMIC_RELAXED);
		out->links += __atomic_load_n(&c->links, __ATOMIC_RELAXED);
		out->streams += __atomic_load_n(&c->streams, __ATOMIC_RELAXED);
		out->alone += __atomic_load_n(&c->alone, __ATOMIC_RELAXED);
		out->not_alone += __atomic_load_n(&c->not_alone, __ATOMIC_RELAXED);
		out->no_link += __atomic_load_n(&c->no_link, __ATOMIC_RELAXED);
		out->failed_streams += __atomic_load_n(&c->failed_streams, __ATOMIC_RELAXED);
		out->visits += __atomic_load_n(&c->visits, __ATOMIC_RELAXED);
		out->not_theirs += __atomic_load_n(&c->not_theirs, __ATOMIC_RELAXED);
		out->lent += __atomic_load_n(&pool->lent, __ATOMIC_RELAXED);
		out->short_of += __atomic_load_n(&pool->short_of, __ATOMIC_RELAXED);
		out->narrowed += __atomic_load_n(&pool->narrowed, __ATOMIC_RELAXED);
		out->untold += __atomic_load_n(&c->untold, __ATOMIC_RELAXED);
	}
}
