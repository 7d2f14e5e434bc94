#include "relayd/site/pool.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "relayd/conf/object.h"
#include "relayd/loop/workers.h"
#include "relayd/site/site_env.h"

#include <stdlib.h>
#include <string.h>

/* ---- versions ------------------------------------------------------------------------------------------------------- */

static void version_free(struct pool_version *v, unsigned workers)
{
	if (v == NULL)
		return;
	for (unsigned i = 0; v->workers != NULL && i < workers; i++)
		lb_worker_fini(&v->workers[i]);
	lb_pool_fini(&v->lb);
	for (uint32_t i = 0; v->backends != NULL && i < v->n; i++)
		if (v->backends[i] != NULL)
			life_unref(&v->backends[i]->life);
	object_unref(v->object);
	free(v->workers);
	free(v->backends);
	free(v->ups);
	free(v);
}

static struct backend *find_backend(const struct pool_version *v, const char *id)
{
	for (uint32_t i = 0; v != NULL && i < v->n; i++)
		if (str_eq(backend_id(v->backends[i]), id))
			return v->backends[i];
	return NULL;
}

static bool has_backend(const struct pool_version *v, const struct backend *b)
{
	for (uint32_t i = 0; v != NULL && i < v->n; i++)
		if (v->backends[i] == b)
			return true;
	return false;
}

static void keep_backend(struct backend *b)
{
	__atomic_fetch_add(&b->life.refs, 1, __ATOMIC_RELAXED);
}

/* A backend that fits stays, with its health, what is in flight there, and its connections. */
static int take_backends(struct pool *p, struct site_env *env, struct pool_version *v, struct err *e)
{
	const struct pool_conf *conf = &v->object->pool;

	for (uint32_t i = 0; i < conf->n_backends; i++) {
		struct backend *b = find_backend(p->version, conf->backends[i].id);

		if (b != NULL && backend_fits(b, conf, &conf->backends[i]))
			keep_backend(b);
		else if (backend_new(&b, env, v->object, &conf->backends[i], e) != 0)
			return -1;
		v->backends[v->n] = b;
		v->ups[v->n++] = &b->up;
	}
	return 0;
}

static const struct lb_algorithm *algorithm_of(const struct pool_conf *conf)
{
	/* Who stays with its target by its address does so by a hash of it: there is no table. */
	if (conf->sticky == POOL_STICKY_SOURCE)
		return &lb_hash_ip;
	return lb_algorithm_find(pool_algorithm_name(conf->algorithm));
}

static void init_outlier(struct pool *p, const struct site_env *env, struct pool_version *v)
{
	const struct pool_outlier *o = &v->object->pool.outlier;
	const struct lb_outlier_conf conf = {
		.failures_in_row = o->failures_in_row,
		.max_percent = o->max_percent,
		.base_ns = o->base_ms * UINT64_C(1000000),
		.max_ns = o->max_ms * UINT64_C(1000000),
		.min_answers = o->min_answers,
		.min_targets = o->deviations != 0 ? o->min_targets : 0,
		.deviations = o->deviations,
	};

	lb_outlier_init(&v->outlier, &conf, v->n, env->on_outlier, p);
	for (uint32_t i = 0; i < v->n; i++) /* who was out under the version before is so still */
		v->outlier.out += (__atomic_load_n(&v->ups[i]->down, __ATOMIC_RELAXED) & UPSTREAM_EJECTED) != 0;
}

static int build(struct pool *p, struct site_env *env, struct pool_version *v, struct err *e)
{
	const struct pool_conf *conf = &v->object->pool;
	const struct lb_pool_conf lb = { algorithm_of(conf), conf->headroom_percent, conf->panic_percent };

	if (take_backends(p, env, v, e) != 0)
		return -1;
	for (uint32_t i = 0; i < v->n; i++)
		backend_configure(v->backends[i], env, conf, &conf->backends[i]);
	init_outlier(p, env, v);
	if (lb_pool_init(&v->lb, &lb, v->ups, v->n) != 0)
		return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", p->id);
	for (unsigned i = 0; i < p->workers; i++)
		if (lb_worker_init(&v->workers[i], &v->lb, site_hash(p->id, strlen(p->id)) + i) != 0)
			return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", p->id);
	return 0;
}

int pool_prepare(struct pool *p, struct site_env *env, const struct object *object, struct err *e)
{
	const uint32_t n = object->pool.n_backends;
	struct pool_version *v = calloc(1, sizeof *v);

	if (v == NULL)
		return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", p->id);
	v->object = object_ref(object);
	v->backends = calloc(n + 1, sizeof(*v->backends));
	v->ups = calloc(n + 1, sizeof(*v->ups));
	v->workers = calloc(p->workers, sizeof *v->workers);
	if (v->backends == NULL || v->ups == NULL || v->workers == NULL) {
		err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", p->id);
		goto fail;
	}
	if (build(p, env, v, e) != 0)
		goto fail;
	p->old = p->version;
	p->version = v;
	return 0;
fail:
	for (uint32_t i = 0; v->backends != NULL && i < v->n; i++)
		for (unsigned k = 0; k < p->workers && !has_backend(p->version, v->backends[i]); k++)
			backend_leave(v->backends[i], k);
	version_free(v, p->workers);
	return -1;
}

void pool_prepare_gone(struct pool *p)
{
	p->old = p->version;
	p->version = NULL;
}

void pool_switch(struct pool *p, struct worker *w, void (*fn)(struct backend_seat *s, struct worker *w))
{
	struct pool_seat *s = &p->seats[w->index];
	struct pool_version *old = p->old;

	s->now = p->version;
	if (s->now != NULL) {
		const struct pool_conf *conf = &s->now->object->pool;

		s->queue.max = conf->queue_max;
		s->queue.timeout_ns = conf->queue_timeout_ms * UINT64_C(1000000);
		if (s->retry.percent != conf->retry_percent || s->retry.per_second != conf->retry_per_second)
			lb_retry_init(&s->retry, conf->retry_percent, conf->retry_per_second, w->now_ns);
	}
	for (uint32_t i = 0; old != NULL && i < old->n; i++) {
		struct backend *b = old->backends[i];

		if (has_backend(p->version, b))
			continue;
		fn(&b->seats[w->index], w);
		backend_leave(b, w->index);
	}
}

void pool_commit(struct pool *p)
{
	version_free(p->old, p->workers);
	p->old = NULL;
}

void pool_refresh(struct pool *p)
{
	if (p->version != NULL)
		lb_pool_refresh(&p->version->lb);
}

/* ---- the pool ------------------------------------------------------------------------------------------------------- */

int pool_get(struct pool **out, struct map *by_id, struct site_env *env, const char *id, struct err *e)
{
	const unsigned n = workers_count(env->workers);
	struct pool *p = map_get_str(by_id, id);

	if (p == NULL) {
		p = calloc(1, sizeof *p + n * sizeof(struct pool_seat));
		if (p == NULL)
			return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", id);
		str_copy(p->id, sizeof p->id, id);
		p->workers = n;
		p->by_id = by_id;
		list_init(&p->todo);
		for (unsigned i = 0; i < n; i++)
			lb_queue_init(&p->seats[i].queue, 0, 0);
		if (map_put_str(by_id, p->id, p, NULL) != 0) {
			free(p);
			return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", id);
		}
	}
	p->refs++;
	*out = p;
	return 0;
}

void pool_unref(struct pool *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	map_remove_str(p->by_id, p->id);
	free(p);
}
