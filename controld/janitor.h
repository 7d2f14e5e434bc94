/*
 * janitor - runs what must be done every now and then (expired sessions, old log rows) on one thread of its own.
 *
 * A task that fails is logged and tried again at its next time; tasks run one after another and must be short, so a
 * task with much to do does it in batches. A shared task is done by one of the controlds of a database for all, by lease.
 *
 * Owner: app. Ends: janitor_free() waits for the task that is running.
 */
#ifndef PORTWAY_CONTROLD_JANITOR_H
#define PORTWAY_CONTROLD_JANITOR_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct janitor;
struct store;

struct janitor_task {
	const char *name;
	uint64_t every_ms;
	int (*run)(void *arg, int64_t now_ms, struct err *e); /* now_ms: wall clock */
	void *arg;
	bool shared;
};

#define JANITOR_TASKS_MAX 24

struct janitor_conf {
	const struct janitor_task *tasks; /* copied */
	size_t n;
	struct store *store; /* of the leases; NULL: every task is one's own */
	const char *self;    /* controlds.id; borrowed */
};
/* The first run of each task is one interval after the start. */
int janitor_new(struct janitor **out, const struct janitor_conf *conf, struct err *e) MUST_CHECK;
void janitor_free(struct janitor *j); /* takes NULL */

#endif
