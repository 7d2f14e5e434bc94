/*
 * pool_watch - joins the pools of the HTTP service to the checker of their backends: what one has is checked by the other, and what
 * that finds is believed at once.
 *
 * Owner: engine, embedded. Thread: control thread.
 * Ends:  pool_watch_close(), after the services were stopped.
 */
#ifndef PORTWAY_RELAYD_POOL_WATCH_H
#define PORTWAY_RELAYD_POOL_WATCH_H

#include "common/base/macros.h"

struct backend_states;
struct err;
struct health;
struct health_env;
struct services;

struct pool_watch {
	struct health *health; /* NULL: not open */
	void (*hurry)(void *arg);
	void *arg;
};

/* hurry: something that controld should be told soon. */
int pool_watch_open(
	struct pool_watch *p, struct services *services, const struct health_env *env, struct err *e) MUST_CHECK;
void pool_watch_halt(struct pool_watch *p); /* before the services are stopped */
void pool_watch_close(struct pool_watch *p);
/* For a report; see health_states(). */
void pool_watch_states(struct pool_watch *p, struct backend_states *out);

#endif
