/*
 * running - the configuration in force: the snapshot, the services that run it, and what cannot run.
 *
 * What controld says comes in as updates (a delta, a page of a snapshot); a new snapshot is handed to each service,
 * which touches what differs. What no service can run (OBJECT_FAULTY) is refused here.
 *
 * Owner: app. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_RUNNING_H
#define PORTWAY_RELAYD_RUNNING_H

#include "common/base/macros.h"
#include "proto/poll.h"
#include "proto/update.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct refusals;
struct running;
struct services;
struct snapshot;

struct running_conf {
	struct services *services;
	struct refusals *refusals;
	/* controld confirmed that this snapshot is current; it may be the one that was already there. */
	void (*on_current)(void *arg, struct snapshot *s);
	/* Another log is behind controld than the one before. */
	void (*on_other_log)(void *arg);
	void *arg;
};

int running_new(struct running **out, const struct running_conf *conf, struct err *e) MUST_CHECK;
void running_free(struct running *r);
/* A snapshot from disk or from a predecessor, before controld says anything. */
void running_begin(struct running *r, struct snapshot *s);
const struct snapshot *running_snapshot(const struct running *r);
bool running_has_snapshot(const struct running *r); /* one was given or received, be it empty */

/* For the poller. */
void running_fill(struct running *r, struct msg_poll *out);
uint64_t running_update(struct running *r, const struct msg_update *m);
void running_state(struct running *r, struct node_state *out);

#endif
