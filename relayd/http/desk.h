/*
 * desk - what the HTTP engine keeps on one worker: its connections and exchanges, memory for them, and what a callback works with.
 *
 * Owner: the service; used by everything in this folder. Thread: the worker's; counts may be read by any.
 */
#ifndef PORTWAY_RELAYD_HTTP_DESK_H
#define PORTWAY_RELAYD_HTTP_DESK_H

#include "common/uv/slab.h"
#include "common/uv/worker.h"
#include "relayd/http/block.h"
#include "relayd/http/edit.h"
#include "relayd/http/http_conf.h"
#include "relayd/http/where.h"
#include "relayd/lb/lb_rand.h"

struct agents;
struct certs;
struct front_seat;
struct http_filters;
struct service_env;
struct tls_ctx;

/* A client's connection without a request: kept for a next one, and left when descriptors run short. */
struct desk_rest {
	struct list link; /* in the desk's; list_remove() when there is something to do */
	void (*leave)(struct desk_rest *r);
};

struct http_desk {
	struct worker *worker;
	const struct http_conf *conf;
	const struct http_filters *filters; /* NULL: none */
	struct agents *agents;              /* NULL: this relay takes none */
	struct where strangers[SITE_WAYS];  /* take connections that are nobody's */
	struct site_seat *any[SITE_WAYS];   /* of "*"; NULL: there is none */
	unsigned sites[SITE_WAYS];          /* that are open here */
	const struct certs *certs;          /* what is shown to clients */
	struct tls_ctx *tls;                /* of the service; borrowed */
	struct front_seat *seats[2];        /* by enum front_kind: whose hosts lead here */
	struct slab exchanges, fronts, backs, calls, streams, askings;
	struct blocks blocks;
	struct list connections; /* of clients, HTTP/1.1 */
	struct list h2_fronts;   /* of clients, HTTP/2 */
	struct list tls_gates;   /* of clients, in their handshake */
	struct list backs_all;
	struct list spare;   /* connections to backends that wait (h1_idle.c) */
	struct timer thrift; /* armed while there is something to give */
	struct list resting; /* who has rested longest in front */
	struct list mirrors; /* copies of requests */
	struct list probes;  /* exchange_probe.h */
	unsigned n_probes;
	struct lb_rand rand;
	char id_prefix[16]; /* of requests, in hex; id_last follows */
	uint64_t id_last;
	bool closing; /* connections end with the answer under way */
	struct http_counts counts;
	struct where_memo asked_hosts[WHERE_MEMOS];
	/* of the running callback */
	struct http_head asked, answered; /* tables for heads that come whole */
	struct edit request_edit, response_edit;
	char path[HTTP_HEAD_MAX + 1];
};

/* NULL: out of memory. */
struct http_desk *desk_new(struct worker *w, const struct service_env *env, const struct http_conf *conf);
/* Everything was closed, and is buried. */
void desk_free(struct http_desk *d);

/* h1_idle.c: it has nothing to do from now on. */
void desk_rest(struct http_desk *d, struct desk_rest *r);

static inline void desk_count(struct http_desk *d, enum http_counter c)
{
	__atomic_store_n(&d->counts.value[c], d->counts.value[c] + 1, __ATOMIC_RELAXED);
}
static inline void desk_trouble(struct http_desk *d, enum http_trouble t)
{
	__atomic_store_n(&d->counts.troubles[t], d->counts.troubles[t] + 1, __ATOMIC_RELAXED);
}
static inline void desk_now(uint64_t *gauge, int by)
{
	__atomic_store_n(gauge, *gauge + (uint64_t)(int64_t)by, __ATOMIC_RELAXED);
}

#endif
