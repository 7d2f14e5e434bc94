/*
 * health - how the backends of pools are: one checker per relay tries them, and what their answers say is kept beside it.
 *
 * Checks run on one worker, whatever the number of workers; what they find stands in the atomics of struct upstream, which all
 * workers read. A backend that is new is tried within half a second; until its first try ends it gets requests. A pool that
 * changes keeps what is known of the backends whose checks stayed the same.
 *
 * Owner:  the engine. Thread: the control thread, but for what runs on the checking worker inside.
 * Ends:   health_close() after the workers were joined; it goes with the loop's next turn.
 */
#ifndef PORTWAY_RELAYD_HEALTH_HEALTH_H
#define PORTWAY_RELAYD_HEALTH_HEALTH_H

#include "common/base/macros.h"
#include "proto/backend_state.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct agents;
struct err;
struct health;
struct object;
struct upstream;
struct worker;

struct health_ops { /* on the control thread */
	/* Backends of that pool went up or down. */
	void (*changed)(void *arg, void *pool);
	/* Something that controld should be told soon. */
	void (*hurry)(void *arg);
};

struct health_env { /* borrowed, until it is closed */
	struct worker *worker;
	uv_loop_t *loop;
	struct agents *agents; /* who dial some of the backends; NULL: this relay takes none */
};

int health_new(struct health **out, const struct health_env *env, const struct health_ops *ops, void *arg,
	struct err *e) MUST_CHECK;
/* No more checks, as what they go by ends: after the workers were joined, before the agents' service is stopped. */
void health_halt(struct health *h);
void health_close(struct health *h); /* NULL is fine */

/*
 * A pool is there, or another one by that id. ups[i] belongs to the i-th backend of the object and outlives
 * health_pool_gone(), or the next call for that id. pool: what changed() is given.
 */
int health_pool_set(struct health *h, const struct object *object, struct upstream *const *ups, void *pool,
	struct err *e) MUST_CHECK;
void health_pool_gone(struct health *h, const char *id);
/* What its answers said: put aside for a while (why: a sentence), or back. */
void health_ejected(struct health *h, const char *pool, const char *backend, bool ejected, const char *why);
/* Health of that pool is believed no more, or again. */
void health_panic(struct health *h, const char *pool, bool panic);

/* For a report: whoever is not simply up, or changed within a minute. Items are borrowed until the next call. */
void health_states(struct health *h, struct backend_states *out);

#endif
