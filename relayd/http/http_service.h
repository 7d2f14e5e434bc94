/*
 * http_service - routes and pools: the service that app.c runs beside those of mappings (relayd/loop/service.h).
 *
 * Ends: out->ops->stop(), when the workers were stopped.
 */
#ifndef PORTWAY_RELAYD_HTTP_HTTP_SERVICE_H
#define PORTWAY_RELAYD_HTTP_HTTP_SERVICE_H

#include "relayd/http/http_conf.h"
#include "relayd/lb/lb_outlier.h"
#include "relayd/loop/service.h"

#define HTTP_SERVICE_NAME "routes" /* as services_find() and a handover know it */

struct backend;
struct err;
struct http_service;
struct pool;

/* Whoever wants to know of pools; on the control thread. Health is set by upstream_set_down(), then pool_refresh(). */
struct http_observer {
	void (*pool_set)(void *arg, struct pool *p);  /* new, or changed: pool->version is in force */
	void (*pool_gone)(void *arg, struct pool *p); /* forget it */
	/* Put aside by its answers, or back. */
	void (*ejected)(void *arg, struct pool *p, struct backend *b, enum lb_outlier_why why, double rate);
	void *arg;
};

/* By env->http, which is borrowed. */
int http_service_new(struct service *out, const struct service_env *env, struct err *e) MUST_CHECK;
/* Of out->self. NULL: nobody. */
void http_service_observe(struct http_service *s, const struct http_observer *o);
void http_service_counts(const struct http_service *s, struct http_counts *out);

#endif
