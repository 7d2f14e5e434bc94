/*
 * pool - a pool on this relay: what stays over its changes (queue and budgets on each worker), and the version in force, which is
 * made anew with each change and switched to worker by worker.
 *
 *   change:  pool_prepare() -> pool_switch() on every worker -> pool_commit(): the old version is freed
 *
 * A pool that routes name and that is not there (yet) has no version: requests get 503.
 *
 * Owner:  references of the control thread: the service's while the object is there, and one of each route that names it.
 * Thread: control thread; a seat: its worker's.
 */
#ifndef PORTWAY_RELAYD_SITE_POOL_H
#define PORTWAY_RELAYD_SITE_POOL_H

#include "relayd/lb/lb_outlier.h"
#include "relayd/lb/lb_pool.h"
#include "relayd/lb/lb_queue.h"
#include "relayd/lb/lb_retry.h"
#include "relayd/site/backend.h"

struct pool_version {
	const struct object *object;
	struct lb_pool lb;
	struct lb_outlier outlier;
	uint32_t n;
	struct backend **backends; /* as the object has them */
	struct upstream **ups;     /* theirs */
	struct lb_worker *workers; /* one each, from pool_switch() on its worker's */
};

struct pool_seat {
	struct pool_version *now; /* NULL: the pool is not there */
	struct lb_queue queue;
	struct lb_retry retry;
	/* of whoever serves the queue: */
	struct worker *worker; /* NULL: nobody has waited yet */
	struct timer look;     /* places that other workers gave back are seen by looking */
	struct task serve;     /* one of this worker's was given back */
};

struct pool {
	char id[PROTO_ID_SIZE];
	unsigned refs;
	struct pool_version *version; /* in force, or about to be; NULL: none */
	struct pool_version *old;     /* of the change under way */
	struct map *by_id;            /* the service's, which it is in */
	struct list todo;             /* the change under way */
	unsigned workers;
	struct pool_seat seats[];
};

/* Finds or makes it in by_id; a reference. */
int pool_get(struct pool **out, struct map *by_id, struct site_env *env, const char *id, struct err *e) MUST_CHECK;
void pool_unref(struct pool *p);

/* Made of the object, with the backends of the version in force that fit still. On error nothing has changed. */
int pool_prepare(struct pool *p, struct site_env *env, const struct object *object, struct err *e) MUST_CHECK;
/* The pool is no more: no version. */
void pool_prepare_gone(struct pool *p);
/* On every worker: from now on the new version. fn closes the idle connections of a backend that left. */
void pool_switch(struct pool *p, struct worker *w, void (*fn)(struct backend_seat *s, struct worker *w));
/* When every worker has. */
void pool_commit(struct pool *p);
/* Health or ejections have changed. */
void pool_refresh(struct pool *p);

static inline struct lb_worker *pool_lb(const struct pool_seat *s, unsigned worker)
{
	return &s->now->workers[worker];
}

#endif
