#include "relayd/health/health.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "common/net/verdict.h"
#include "common/uv/worker.h"
#include "proto/dial_rule.h"
#include "relayd/conf/object.h"
#include "relayd/health/probe.h"
#include "relayd/lb/upstream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MS       UINT64_C(1000000)
#define FIRST_MS 500                    /* within which new backends are tried */
#define FRESH_NS (UINT64_C(60000) * MS) /* for so long a change is told */

/* One backend. Marked L: under the lock; the checking worker writes them, and the control thread. The rest is the worker's, or never changes. */
struct patient {
	struct room *room;
	const struct pool_backend *conf;
	const struct pool_health *how;
	struct upstream *up;              /* L; NULL: somebody else's by now */
	struct verdict verdict;           /* L */
	bool ejected;                     /* L */
	char reason[BACKEND_REASON_SIZE]; /* L */
	int64_t since_ms;                 /* L */
	uint64_t changed_ns;              /* L; 0: never */
	uint32_t flaps;                   /* L */
	struct timer timer;
	struct probe *probe;
};

/* One pool: the object of one moment with its backends. */
struct room {
	struct health *health;
	const struct object *object; /* a reference */
	void *pool;
	struct tls_ctx *tls, *tls_h2; /* NULL: in clear; the latter for gRPC */
	bool dirty;                   /* L */
	bool panic;                   /* the control thread's, as the next */
	int64_t panic_ms;
	struct task start, end;
	struct list in; /* of the worker's rooms, between start and end */
	uint32_t n;
	struct patient patients[];
};

struct health {
	struct worker *worker;
	struct agents *agents; /* NULL: this relay takes none */
	struct health_ops ops;
	void *arg;
	pthread_mutex_t lock;
	uv_async_t async;
	struct map rooms;    /* by id; the control thread's */
	struct list running; /* the worker's */
	struct backend_state *states;
	struct pool_panic *panics;
};

/* ---- what turned -------------------------------------------------------------------------------------------------- */

static bool is_checked(const struct patient *p)
{
	return p->how->type != POOL_CHECK_NONE;
}

static void turn(struct patient *p, bool known, const char *reason)
{
	p->since_ms = clock_wall_ms();
	p->changed_ns = clock_mono_ns();
	p->flaps += known;
	str_copy(p->reason, sizeof p->reason, reason);
	str_make_utf8(p->reason);
	p->room->dirty = true;
}

static void tell(const struct patient *p)
{
	const struct object *o = p->room->object;

	if (p->verdict.is == VERDICT_UP)
		log_info("backend_up", log_s("pool", o->id), log_s("backend", p->conf->id),
			log_s("host", p->conf->host), log_u("port", p->conf->port));
	else
		log_warn("backend_down", log_s("pool", o->id), log_s("backend", p->conf->id),
			log_s("host", p->conf->host), log_u("port", p->conf->port), log_s("reason", p->reason));
}

/* ---- the checking worker ------------------------------------------------------------------------------------------ */

static void arm(struct patient *p, uint64_t ms)
{
	struct worker *w = p->room->health->worker;

	wheel_arm(&w->wheel, &p->timer, w->now_ns + ms * MS);
}

static void on_probed(void *arg, const struct probe_result *r)
{
	struct patient *p = arg;
	struct health *h = p->room->health;
	bool turned = false;

	p->probe = NULL;
	/* Not all at once: many that began together drift apart. */
	arm(p, p->how->interval_ms - rand_below(p->how->interval_ms / 10 + 1));
	pthread_mutex_lock(&h->lock);
	if (p->up != NULL) {
		const bool known = p->verdict.is != VERDICT_UNKNOWN;

		turned = verdict_hear(&p->verdict, r->why == NULL, p->how->rise, p->how->fall);
		if (turned) {
			turn(p, known, r->why != NULL ? r->why->msg : "");
			upstream_set_down(p->up, UPSTREAM_UNHEALTHY, r->why != NULL, clock_mono_ns());
			tell(p);
		}
	}
	pthread_mutex_unlock(&h->lock);
	if (turned)
		uv_async_send(&h->async);
}

static bool on_may(const struct addr *to, void *arg)
{
	const struct patient *p = arg;
	const struct pool_conf *pool = &p->room->object->pool;

	return dial_rule_grants(pool->dial_any || p->conf->dial_any, &pool->dial_allow, to);
}

static struct tls_ctx *tls_of(const struct patient *p)
{
	switch (p->how->type) {
	case POOL_CHECK_TCP:
		return NULL;
	case POOL_CHECK_GRPC:
		return p->room->tls_h2;
	default:
		return p->room->tls;
	}
}

static const char *server_name(const struct patient *p)
{
	const char *name = p->room->object->pool.server_name;

	return name[0] != '\0' ? name : p->conf->host;
}

static void on_due(struct timer *t)
{
	struct patient *p = CONTAINER_OF(t, struct patient, timer);
	const struct probe_conf conf = { .how = p->how,
		.host = p->conf->host,
		.port = p->conf->port,
		.agents = p->room->health->agents,
		.client = p->conf->client,
		.backend = p->conf->id,
		.tls = tls_of(p),
		.server_name = server_name(p),
		.may = on_may,
		.on_done = on_probed,
		.arg = p };

	p->probe = probe_start(p->room->health->worker, &conf);
	if (p->probe == NULL) /* that the relay is short of something says nothing of the backend */
		arm(p, p->how->interval_ms);
}

static void on_start(struct task *t)
{
	struct room *room = CONTAINER_OF(t, struct room, start);

	list_push_back(&room->health->running, &room->in);
	for (uint32_t i = 0; i < room->n; i++)
		if (is_checked(&room->patients[i]))
			arm(&room->patients[i], rand_below(MIN(FIRST_MS, 1 + 10 * (uint64_t)room->n)));
}

static void rest(struct room *room)
{
	for (uint32_t i = 0; i < room->n; i++) {
		wheel_disarm(&room->patients[i].timer);
		probe_cancel(room->patients[i].probe);
		room->patients[i].probe = NULL;
	}
}

static void room_free(struct room *room)
{
	rest(room);
	list_remove(&room->in);
	list_remove(&room->start.link);
	list_remove(&room->end.link);
	tls_ctx_unref(room->tls);
	tls_ctx_unref(room->tls_h2);
	object_unref(room->object);
	free(room);
}

static void on_end(struct task *t)
{
	room_free(CONTAINER_OF(t, struct room, end));
}

/* ---- pools -------------------------------------------------------------------------------------------------------- */

static bool same_check(const struct patient *a, const struct patient *b)
{
	const struct pool_health *x = a->how, *y = b->how;

	if (!str_eq(a->conf->host, b->conf->host) || a->conf->port != b->conf->port || x->type != y->type ||
		!str_eq(a->conf->client, b->conf->client))
		return false;
	if (x->type == POOL_CHECK_NONE)
		return true;
	return x->port == y->port && str_eq(x->method, y->method) && str_eq(x->path, y->path) &&
	       str_eq(x->host, y->host) && str_eq(x->service, y->service) && str_eq(x->body, y->body) &&
	       x->n_statuses == y->n_statuses &&
	       (x->n_statuses == 0 || memcmp(x->statuses, y->statuses, x->n_statuses * sizeof *x->statuses) == 0);
}

static void take_over(struct patient *p, const struct room *before)
{
	for (uint32_t i = 0; before != NULL && i < before->n; i++) {
		const struct patient *was = &before->patients[i];

		if (!str_eq(was->conf->id, p->conf->id))
			continue;
		p->ejected = was->ejected;
		if (!same_check(was, p))
			return;
		p->verdict = was->verdict;
		memcpy(p->reason, was->reason, sizeof p->reason);
		p->since_ms = was->since_ms;
		p->changed_ns = was->changed_ns;
		p->flaps = was->flaps;
		return;
	}
}

static void patient_init(struct patient *p, struct room *room, const struct pool_backend *b, struct upstream *up)
{
	p->room = room;
	p->conf = b;
	p->how = b->own_health ? &b->health : &room->object->pool.health;
	p->up = up;
	p->since_ms = clock_wall_ms();
	timer_init(&p->timer, on_due);
}

static bool any_is(const struct room *room, uint8_t type)
{
	for (uint32_t i = 0; i < room->n; i++)
		if (room->patients[i].how->type == type)
			return true;
	return false;
}

static int make_tls(struct room *room, struct err *e)
{
	const struct pool_conf *pool = &room->object->pool;
	const bool verify = pool->tls && pool->tls_verify; /* as requests do */
	struct tls_conf conf = { .ca_pem = verify && pool->ca[0] != '\0' ? pool->ca : NULL,
		.system_cas = verify && pool->ca[0] == '\0',
		.min_version = 12 };

	if ((pool->tls || any_is(room, POOL_CHECK_TLS)) && tls_ctx_new(&room->tls, &conf, e) != 0)
		return -1;
	conf.alpn = "\2h2";
	conf.alpn_n = 3;
	return pool->tls && any_is(room, POOL_CHECK_GRPC) ? tls_ctx_new(&room->tls_h2, &conf, e) : 0;
}

static struct room *room_new(struct health *h, const struct object *object, struct upstream *const *ups, void *pool)
{
	const uint32_t n = object->pool.n_backends;
	struct room *room = calloc(1, sizeof *room + n * sizeof room->patients[0]);

	if (room == NULL)
		return NULL;
	room->health = h;
	room->object = object_ref(object);
	room->pool = pool;
	room->n = n;
	list_init(&room->in);
	task_init(&room->start, on_start);
	task_init(&room->end, on_end);
	for (uint32_t i = 0; i < n; i++)
		patient_init(&room->patients[i], room, &object->pool.backends[i], ups[i]);
	return room;
}

/* From now on nothing of it touches what is not its own; it goes when its worker has let go of it. */
static void room_close(struct room *room)
{
	struct health *h = room->health;

	pthread_mutex_lock(&h->lock);
	for (uint32_t i = 0; i < room->n; i++)
		room->patients[i].up = NULL;
	pthread_mutex_unlock(&h->lock);
	worker_post(h->worker, &room->end);
}

/* What was known holds for the new one from its first request on. */
static void open_patients(struct room *room, const struct room *before)
{
	const uint64_t now = clock_mono_ns();

	pthread_mutex_lock(&room->health->lock);
	for (uint32_t i = 0; i < room->n; i++) {
		struct patient *p = &room->patients[i];

		take_over(p, before);
		upstream_set_down(p->up, UPSTREAM_UNHEALTHY, is_checked(p) && p->verdict.is == VERDICT_DOWN, now);
	}
	pthread_mutex_unlock(&room->health->lock);
}

int health_pool_set(
	struct health *h, const struct object *object, struct upstream *const *ups, void *pool, struct err *e)
{
	struct room *before = map_remove_str(&h->rooms, object->id);
	struct room *room = room_new(h, object, ups, pool);

	if (room == NULL || map_put_str(&h->rooms, room->object->id, room, NULL) != 0) {
		err_set(e, ERR_NOMEM, NULL, "health of a pool: out of memory");
		goto fail;
	}
	if (make_tls(room, e) != 0) {
		map_remove_str(&h->rooms, object->id);
		goto fail;
	}
	open_patients(room, before);
	if (before != NULL) {
		room->panic = before->panic;
		room->panic_ms = before->panic_ms;
		room_close(before);
	}
	worker_post(h->worker, &room->start);
	return 0;
fail:
	if (room != NULL)
		room_free(room);
	if (before != NULL)
		room_close(before);
	return -1;
}

void health_pool_gone(struct health *h, const char *id)
{
	struct room *room = map_remove_str(&h->rooms, id);

	if (room != NULL)
		room_close(room);
}

static struct patient *find(struct health *h, const char *pool, const char *backend)
{
	struct room *room = map_get_str(&h->rooms, pool);

	for (uint32_t i = 0; room != NULL && i < room->n; i++)
		if (str_eq(room->patients[i].conf->id, backend))
			return &room->patients[i];
	return NULL;
}

void health_ejected(struct health *h, const char *pool, const char *backend, bool ejected, const char *why)
{
	struct patient *p = find(h, pool, backend);

	if (p == NULL || p->ejected == ejected)
		return;
	pthread_mutex_lock(&h->lock);
	p->ejected = ejected;
	turn(p, true, why);
	pthread_mutex_unlock(&h->lock);
	log_warn(ejected ? "backend_ejected" : "backend_back", log_s("pool", pool), log_s("backend", backend),
		log_s("reason", why));
	uv_async_send(&h->async);
}

void health_panic(struct health *h, const char *pool, bool panic)
{
	struct room *room = map_get_str(&h->rooms, pool);

	if (room == NULL || room->panic == panic)
		return;
	room->panic = panic;
	room->panic_ms = clock_wall_ms();
	log_warn(panic ? "pool_panics" : "pool_calm", log_s("pool", pool));
	h->ops.hurry(h->arg);
}

/* ---- the control thread ------------------------------------------------------------------------------------------- */

static void on_async(uv_async_t *async)
{
	struct health *h = async->data;
	struct room *room;
	bool any = false;
	size_t it = 0;

	while ((room = map_next(&h->rooms, &it)) != NULL) {
		bool dirty;

		pthread_mutex_lock(&h->lock);
		dirty = room->dirty;
		room->dirty = false;
		pthread_mutex_unlock(&h->lock);
		if (dirty)
			h->ops.changed(h->arg, room->pool);
		any = any || dirty;
	}
	if (any)
		h->ops.hurry(h->arg);
}

static enum backend_state_kind state_of(const struct patient *p)
{
	if (is_checked(p) && p->verdict.is == VERDICT_DOWN)
		return BACKEND_UNHEALTHY;
	if (p->ejected)
		return BACKEND_EJECTED;
	return p->verdict.is == VERDICT_UNKNOWN ? BACKEND_UNKNOWN : BACKEND_HEALTHY;
}

static void add_state(const struct patient *p, uint64_t now_ns, struct backend_states *out)
{
	const enum backend_state_kind state = state_of(p);
	struct backend_state *to;

	if (state == BACKEND_HEALTHY && (p->changed_ns == 0 || now_ns - p->changed_ns > FRESH_NS))
		return;
	if (out->n == BACKEND_STATES_MAX) {
		out->more++;
		return;
	}
	to = &out->items[out->n++];
	str_copy(to->pool, sizeof to->pool, p->room->object->id);
	str_copy(to->backend, sizeof to->backend, p->conf->id);
	str_copy(to->reason, sizeof to->reason, p->reason);
	to->state = (uint8_t)state;
	to->since_ms = p->since_ms;
	to->flaps = p->flaps;
}

void health_states(struct health *h, struct backend_states *out)
{
	const uint64_t now = clock_mono_ns();
	struct room *room;
	size_t it = 0;

	*out = (struct backend_states){ .told = true, .items = h->states, .panics = h->panics };
	pthread_mutex_lock(&h->lock);
	while ((room = map_next(&h->rooms, &it)) != NULL) {
		for (uint32_t i = 0; i < room->n; i++)
			add_state(&room->patients[i], now, out);
		if (!room->panic || out->n_panics == POOL_PANICS_MAX)
			continue;
		str_copy(h->panics[out->n_panics].pool, sizeof h->panics->pool, room->object->id);
		h->panics[out->n_panics++].since_ms = room->panic_ms;
	}
	pthread_mutex_unlock(&h->lock);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int health_new(
	struct health **out, const struct health_env *env, const struct health_ops *ops, void *arg, struct err *e)
{
	struct health *h = calloc(1, sizeof *h);

	if (h != NULL) {
		h->states = calloc(BACKEND_STATES_MAX, sizeof *h->states);
		h->panics = calloc(POOL_PANICS_MAX, sizeof *h->panics);
	}
	if (h == NULL || h->states == NULL || h->panics == NULL || uv_async_init(env->loop, &h->async, on_async) != 0) {
		if (h != NULL) {
			free(h->states);
			free(h->panics);
		}
		free(h);
		return err_set(e, ERR_NOMEM, NULL, "health: out of memory");
	}
	h->async.data = h;
	h->worker = env->worker;
	h->agents = env->agents;
	h->ops = *ops;
	h->arg = arg;
	pthread_mutex_init(&h->lock, NULL);
	map_init(&h->rooms);
	list_init(&h->running);
	*out = h;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct health *h = handle->data;

	pthread_mutex_destroy(&h->lock);
	map_free(&h->rooms);
	free(h->states);
	free(h->panics);
	free(h);
}

void health_halt(struct health *h)
{
	worker_take_posted(h->worker); /* now all stand in `running` that were not at their end */
	LIST_FOREACH (it, &h->running)
		rest(CONTAINER_OF(it, struct room, in));
}

void health_close(struct health *h)
{
	struct list *first;

	if (h == NULL)
		return;
	health_halt(h);
	while ((first = list_first(&h->running)) != NULL)
		room_free(CONTAINER_OF(first, struct room, in));
	worker_bury_all(h->worker);
	uv_close((uv_handle_t *)&h->async, on_closed);
}
