/*
 * http_service_inside - what the two parts of the service share: http_service.c (its life), http_change.c (a change of the configuration).
 *
 * Owner: the service. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_HTTP_HTTP_SERVICE_INSIDE_H
#define PORTWAY_RELAYD_HTTP_HTTP_SERVICE_INSIDE_H

#include "relayd/http/desk.h"
#include "relayd/http/http_service.h"
#include "relayd/site/pool.h"
#include "relayd/site/site.h"
#include "relayd/site/site_env.h"

struct front;
struct tls_ctx;

#define EJECTIONS_MAX 256 /* that wait to be told; more are not told one by one */

struct ejection {
	struct pool *pool;
	struct upstream *up; /* only compared: it may be gone */
	enum lb_outlier_why why;
	double rate;
};

struct http_service {
	struct service_env env;
	const struct http_conf *conf;
	struct site_env site;
	struct tls_ctx *tls;      /* where clients are accepted */
	struct http_desk **desks; /* by worker */
	struct map pools;         /* struct pool, by id: those of the configuration, and those that only routes name */
	struct map routes;        /* struct http_route, by id */
	struct map sites;         /* struct site, by host */
	struct http_observer observer;
	uint64_t drain_ms; /* monotonic; when the last connection ends; 0: no drain */
	uv_timer_t timer;
	uv_async_t wake;
	unsigned handles;
	uv_mutex_t lock;
	struct ejection ejections[EJECTIONS_MAX]; /* under lock */
	unsigned n_ejections;
	bool refresh; /* atomic: some pool's shares have to be looked at */
	/* the change under way */
	struct list pools_todo, sites_todo, routes_gone;
};

void http_change_apply(struct http_service *s, struct snapshot *old, struct snapshot *new_);
/* Hosts that were somebody else's, or had no port, are tried again. */
void http_change_retry(struct http_service *s);
/* Everything goes; the workers do not run. */
void http_change_end(struct http_service *s);

#endif
