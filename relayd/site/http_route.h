/*
 * http_route - a route on this relay, as one revision has it: its object, the pools that it names, what filters made of it.
 *
 * A request keeps the route with which it began; a change makes another one. What is counted is one for both (tally.h).
 *
 * Owner:  the service's reference, and one of each worker until it has let go of it (http_route_leave()).
 * Thread: control thread; a seat: its worker's.
 */
#ifndef PORTWAY_RELAYD_SITE_HTTP_ROUTE_H
#define PORTWAY_RELAYD_SITE_HTTP_ROUTE_H

#include "common/base/list.h"
#include "common/uv/stock.h"
#include "proto/route_conf.h"
#include "relayd/site/life.h"
#include "relayd/site/tally.h"

#include <stdbool.h>

struct allowance;
struct err;
struct map;
struct object;
struct pool;
struct route_match;
struct site_env;
struct tls_trust;

struct http_route_seat {
	struct list exchanges; /* that began with it */
	uint32_t users;        /* how many */
	bool left;
	struct stock stock; /* of answers that clients do not take as fast as backends give them */
};

struct http_route {
	struct life life;
	struct tally *tally;
	const struct object *object;
	const struct route_conf *conf; /* the object's */
	struct pool **pools;           /* by its targets */
	struct pool *mirror;           /* NULL: none */
	uint32_t weight;               /* of all targets; 0: evenly */
	struct allowance *requests;    /* that its tenant may make; borrowed; NULL: nobody counts */
	struct tls_trust *clients;     /* where certificates of clients come from; NULL: none is looked at */
	void *filters;                 /* what the chain of filters made of it; NULL: none looks at it */
	void (*filters_free)(void *filters);
	struct list todo; /* the change under way */
	unsigned workers;
	struct http_route_seat seats[];
};

enum http_route_way { HTTP_ROUTE_IN, HTTP_ROUTE_OUT }; /* of its rates: from clients, and to them */

/* Pools that are not there yet are made, without a version. */
int http_route_new(struct http_route **out, struct site_env *env, struct map *pools, const struct object *object,
	struct err *e) MUST_CHECK;
/* The pool of one of its targets, by a draw from [0, 2^32). */
struct pool *http_route_pool(const struct http_route *r, uint32_t draw);
/* What it asks of requests, for a table of one host. Texts are the object's. */
void http_route_match(struct http_route *r, struct route_match *out);
const char *http_route_id(const struct http_route *r);

/* ---- of a worker ---- */
void http_route_enter(struct http_route *r, unsigned worker, struct list *exchange);
void http_route_exit(struct http_route *r, unsigned worker, struct list *exchange); /* may end it */
/* It stays until it is let go of, with its pools, though no request of it may be under way. */
void http_route_hold(struct http_route *r, unsigned worker);
void http_route_let_go(struct http_route *r, unsigned worker); /* may end it */
void http_route_leave(struct http_route *r, unsigned worker);

#endif
