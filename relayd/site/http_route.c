#include "relayd/site/http_route.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/crypto/tls_server.h"
#include "relayd/conf/object.h"
#include "relayd/loop/workers.h"
#include "relayd/route/route_table.h"
#include "relayd/site/pool.h"
#include "relayd/site/site_env.h"

#include <stdlib.h>

_Static_assert(ROUTE_WANTS_MAX <= ROUTE_FIELDS_MAX, "what a route may want, a table must be able to look at");

static void destroy(struct http_route *r)
{
	for (uint32_t i = 0; r->pools != NULL && i < r->conf->n_targets; i++)
		pool_unref(r->pools[i]);
	pool_unref(r->mirror);
	tally_unref(r->tally);
	if (r->filters != NULL)
		r->filters_free(r->filters);
	object_unref(r->object);
	tls_server_trust_unref(r->clients);
	free(r->pools);
	free(r);
}

static void route_free(struct life *l)
{
	destroy(CONTAINER_OF(l, struct http_route, life));
}

static int find_pools(struct http_route *r, struct site_env *env, struct map *pools, struct err *e)
{
	const struct route_conf *conf = r->conf;

	r->pools = calloc(conf->n_targets + 1, sizeof(*r->pools));
	if (r->pools == NULL)
		return err_set(e, ERR_NOMEM, NULL, "route: out of memory");
	for (uint32_t i = 0; i < conf->n_targets; i++) {
		r->weight += conf->targets[i].weight;
		if (pool_get(&r->pools[i], pools, env, conf->targets[i].pool, e) != 0)
			return -1;
	}
	return conf->mirror_pool[0] != '\0' ? pool_get(&r->mirror, pools, env, conf->mirror_pool, e) : 0;
}

static int find_clients(struct http_route *r, struct err *e)
{
	if (r->conf->client_auth == ROUTE_CLIENT_NONE)
		return 0;
	return tls_server_trust(&r->clients, r->conf->client_ca, e);
}

int http_route_new(
	struct http_route **out, struct site_env *env, struct map *pools, const struct object *object, struct err *e)
{
	const unsigned n = workers_count(env->workers);
	struct http_route *r = calloc(1, sizeof *r + n * sizeof r->seats[0]);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "route: out of memory");
	life_init(&r->life, &env->lives, n + 1, route_free);
	r->object = object_ref(object);
	r->conf = &object->route;
	r->workers = n;
	list_init(&r->todo);
	for (unsigned i = 0; i < n; i++) {
		list_init(&r->seats[i].exchanges);
		stock_init(&r->seats[i].stock, workers_at(env->workers, i));
	}
	if (tally_get(&env->tallies, object->id, &r->tally, e) != 0 || find_clients(r, e) != 0 ||
		find_pools(r, env, pools, e) != 0) {
		destroy(r);
		return -1;
	}
	rate_set(&r->tally->rate[HTTP_ROUTE_IN], r->conf->rate_in, clock_mono_ns());
	rate_set(&r->tally->rate[HTTP_ROUTE_OUT], r->conf->rate_out, clock_mono_ns());
	*out = r;
	return 0;
}

struct pool *http_route_pool(const struct http_route *r, uint32_t draw)
{
	const uint32_t n = r->conf->n_targets;
	uint32_t at;

	if (n == 1)
		return r->pools[0];
	if (r->weight == 0)
		return r->pools[(uint64_t)draw * n >> 32];
	at = (uint32_t)((uint64_t)draw * r->weight >> 32);
	for (uint32_t i = 0; i < n; i++) {
		if (at < r->conf->targets[i].weight)
			return r->pools[i];
		at -= r->conf->targets[i].weight;
	}
	return r->pools[n - 1];
}

void http_route_match(struct http_route *r, struct route_match *out)
{
	const struct route_conf *conf = r->conf;

	*out = (struct route_match){
		.host = "*", /* a table is of one host */
		.path_prefix = conf->path_prefix,
		.methods = conf->methods,
		.n_fields = conf->n_fields,
		.to = r,
	};
	for (uint32_t i = 0; i < conf->n_fields; i++) {
		out->fields[i].name = conf->fields[i].name;
		out->fields[i].value = conf->fields[i].any ? NULL : conf->fields[i].value;
	}
}

const char *http_route_id(const struct http_route *r)
{
	return r->object->id;
}

/* ---- of a worker ---------------------------------------------------------------------------------------------------- */

void http_route_enter(struct http_route *r, unsigned worker, struct list *exchange)
{
	http_route_hold(r, worker);
	list_push_back(&r->seats[worker].exchanges, exchange);
	__atomic_fetch_add(&r->tally->in_flight, 1, __ATOMIC_RELAXED);
}

void http_route_exit(struct http_route *r, unsigned worker, struct list *exchange)
{
	list_remove(exchange);
	__atomic_fetch_sub(&r->tally->in_flight, 1, __ATOMIC_RELAXED);
	http_route_let_go(r, worker);
}

void http_route_hold(struct http_route *r, unsigned worker)
{
	r->seats[worker].users++;
}

void http_route_let_go(struct http_route *r, unsigned worker)
{
	struct http_route_seat *s = &r->seats[worker];

	if (--s->users == 0 && s->left)
		life_unref(&r->life);
}

void http_route_leave(struct http_route *r, unsigned worker)
{
	struct http_route_seat *s = &r->seats[worker];

	s->left = true;
	if (s->users == 0)
		life_unref(&r->life);
}
