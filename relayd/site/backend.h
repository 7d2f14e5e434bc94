/*
 * backend - one target of a pool on this relay: how it is dialled, its health and load (lb/upstream.h), and on each worker the
 * connections that wait there for a next request.
 *
 * Owner:  the pool's version holds a reference, and each worker one until it has let go of it (backend_leave()). As long as
 *         nothing of how it is dialled changes, it stays the same over the pool's changes, with all that is known of it.
 * Thread: control thread; a seat: its worker's.
 */
#ifndef PORTWAY_RELAYD_SITE_BACKEND_H
#define PORTWAY_RELAYD_SITE_BACKEND_H

#include "proto/mapping_conf.h"
#include "relayd/lb/lb_adaptive.h"
#include "relayd/lb/upstream.h"
#include "relayd/port/target.h"
#include "relayd/site/life.h"
#include "relayd/site/tally.h"

struct object;
struct pool_backend;
struct pool_conf;
struct site_env;
struct tls_ctx;

struct backend_seat {
	struct list idle; /* connections, the last one used first */
	uint32_t n_idle;
	struct list shared; /* connections at work that have room for another request (HTTP/2) */
	uint32_t users;     /* connections in all */
	struct lb_probing probing;
	bool left; /* the pool has it no more: nothing is kept for a next request */
	struct target target;
};

struct backend {
	struct upstream up; /* first: aligned to a cache line */
	struct life life;
	struct tally *tally;
	struct tls_ctx *tls;         /* how it is known; NULL: it is reached in clear */
	const struct object *object; /* the pool when it was made: `conf` and the lists of `dial` lie in it */
	const struct pool_backend *conf;
	/* How it is dialled, in the words of a mapping: target, grants, agent, time-out, PROXY header. */
	struct mapping_conf dial;
	unsigned workers;
	struct backend_seat seats[];
};

/* One that serves this entry of the pool: the caller's reference, and one of each worker. */
int backend_new(struct backend **out, struct site_env *env, const struct object *pool, const struct pool_backend *conf,
	struct err *e) MUST_CHECK;
/* The same way to the same target: it can serve this entry of the pool, too. */
bool backend_fits(const struct backend *b, const struct pool_conf *pool, const struct pool_backend *conf);
/* Weight, limit, region, backup as the pool has them now. */
void backend_configure(
	struct backend *b, const struct site_env *env, const struct pool_conf *pool, const struct pool_backend *conf);
const char *backend_id(const struct backend *b);
/* What a backend that is reached over TLS has to prove, and is told (SNI). */
const char *backend_server_name(const struct backend *b);

static inline struct backend *backend_of(struct upstream *up)
{
	return CONTAINER_OF(up, struct backend, up);
}

/* ---- of a worker ---- */
void backend_enter(struct backend_seat *s);
/* The last user of a seat that was left may free the backend: the caller's last statement about it. */
void backend_exit(struct backend *b, unsigned worker);
/* The pool has it no more; idle connections have been closed. */
void backend_leave(struct backend *b, unsigned worker);

#endif
