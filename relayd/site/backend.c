#include "relayd/site/backend.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "relayd/conf/object.h"
#include "relayd/loop/workers.h"
#include "relayd/site/site_env.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 10000 /* where the pool has none */

static void backend_free(struct life *l)
{
	struct backend *b = CONTAINER_OF(l, struct backend, life);

	tls_ctx_unref(b->tls);
	tally_unref(b->tally);
	object_unref(b->object);
	free(b);
}

static struct upstream_conf upstream_conf_of(
	const struct site_env *env, const struct pool_conf *pool, const struct pool_backend *conf)
{
	return (struct upstream_conf){
		.key = site_hash(conf->id, strlen(conf->id)),
		.weight = conf->weight,
		.max_in_flight = conf->max_connections,
		.slow_start_ns = pool->slow_start_ms * UINT64_C(1000000),
		.tier = env->region[0] != '\0' && !str_eq(conf->region, env->region),
		.backup = conf->backup,
	};
}

/* The lists are the object's. */
static void fill_dial(struct mapping_conf *d, const struct pool_conf *pool, const struct pool_backend *conf)
{
	*d = (struct mapping_conf){
		.protocol = MAPPING_TCP,
		.enabled = true,
		.proxy_out = pool->proxy_out,
		.target_port = conf->port,
		.dial_any = pool->dial_any || conf->dial_any,
		.dial_allow = pool->dial_allow,
		.connect_timeout_ms = pool->connect_timeout_ms != 0 ? pool->connect_timeout_ms : CONNECT_TIMEOUT_MS,
	};
	str_copy(d->target_host, sizeof d->target_host, conf->host);
	str_copy(d->target_client, sizeof d->target_client, conf->client);
}

int backend_new(struct backend **out, struct site_env *env, const struct object *pool, const struct pool_backend *conf,
	struct err *e)
{
	const unsigned n = workers_count(env->workers);
	const size_t size = sizeof(struct backend) + n * sizeof(struct backend_seat);
	struct backend *b = aligned_alloc(64, (size + 63) / 64 * 64);
	const struct upstream_conf up = upstream_conf_of(env, &pool->pool, conf);

	if (b == NULL)
		return err_set(e, ERR_NOMEM, NULL, "backend %s: out of memory", conf->id);
	memset(b, 0, size);
	if (tls_clients_get(&env->tls, &pool->pool, &b->tls, e) != 0 ||
		tally_get(&env->tallies, conf->id, &b->tally, e) != 0) {
		tls_ctx_unref(b->tls);
		free(b);
		return -1;
	}
	upstream_init(&b->up, &up);
	life_init(&b->life, &env->lives, n + 1, backend_free);
	b->object = object_ref(pool);
	b->conf = conf;
	b->workers = n;
	fill_dial(&b->dial, &pool->pool, conf);
	for (unsigned i = 0; i < n; i++) {
		list_init(&b->seats[i].idle);
		list_init(&b->seats[i].shared);
		target_init(&b->seats[i].target, workers_at(env->workers, i));
		target_set(&b->seats[i].target, b->dial.target_host);
	}
	*out = b;
	return 0;
}

static bool same_cidrs(const struct mapping_cidrs *a, const struct mapping_cidrs *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->items[i].family != b->items[i].family || a->items[i].bits != b->items[i].bits ||
			memcmp(a->items[i].ip, b->items[i].ip, sizeof a->items[i].ip) != 0)
			return false;
	return true;
}

/* What a connection that is kept was made by must be what the pool says now. */
bool backend_fits(const struct backend *b, const struct pool_conf *pool, const struct pool_backend *conf)
{
	const struct pool_conf *was = &b->object->pool;
	struct mapping_conf dial;

	fill_dial(&dial, pool, conf);
	return str_eq(dial.target_host, b->dial.target_host) && dial.target_port == b->dial.target_port &&
	       str_eq(dial.target_client, b->dial.target_client) && dial.dial_any == b->dial.dial_any &&
	       dial.proxy_out == b->dial.proxy_out && dial.connect_timeout_ms == b->dial.connect_timeout_ms &&
	       same_cidrs(&dial.dial_allow, &b->dial.dial_allow) && pool->protocol == was->protocol &&
	       pool->tls == was->tls && pool->tls_verify == was->tls_verify &&
	       str_eq(pool->server_name, was->server_name) && str_eq(pool->ca, was->ca);
}

void backend_configure(
	struct backend *b, const struct site_env *env, const struct pool_conf *pool, const struct pool_backend *conf)
{
	const struct upstream_conf up = upstream_conf_of(env, pool, conf);

	upstream_reconfigure(&b->up, &up);
}

const char *backend_id(const struct backend *b)
{
	return b->tally->id;
}

const char *backend_server_name(const struct backend *b)
{
	const char *name = b->object->pool.server_name;

	return name[0] != '\0' ? name : b->dial.target_host;
}

/* ---- of a worker ---------------------------------------------------------------------------------------------------- */

void backend_enter(struct backend_seat *s)
{
	s->users++;
}

static void let_go(struct backend *b, unsigned worker)
{
	target_fini(&b->seats[worker].target);
	life_unref(&b->life);
}

void backend_exit(struct backend *b, unsigned worker)
{
	struct backend_seat *s = &b->seats[worker];

	if (--s->users == 0 && s->left)
		let_go(b, worker);
}

void backend_leave(struct backend *b, unsigned worker)
{
	struct backend_seat *s = &b->seats[worker];

	s->left = true;
	if (s->users == 0)
		let_go(b, worker);
}
