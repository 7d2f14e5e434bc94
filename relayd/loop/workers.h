/*
 * workers - the forwarding threads together: started, told, stopped by the control thread.
 *
 * Owner: app. Thread: control thread only.
 */
#ifndef PORTWAY_RELAYD_LOOP_WORKERS_H
#define PORTWAY_RELAYD_LOOP_WORKERS_H

#include "common/uv/worker.h"

/* Busy waits: events came while a worker looked, or it went to sleep after all. */
struct worker_looks {
	uint64_t found, vain;
};

struct workers;
struct fd_budget;

int workers_new(struct workers **out, unsigned n, struct fd_budget *fds, struct err *e) MUST_CHECK;
/* Before the start. */
void workers_set_busy_poll(struct workers *ws, uint64_t ns);
int workers_start(struct workers *ws, struct err *e) MUST_CHECK;
/* Ends and joins the threads; what they served is still there for the services' stop(). Any number of times. */
void workers_stop(struct workers *ws);
/* After every service was stopped. */
void workers_free(struct workers *ws);

unsigned workers_count(const struct workers *ws);
struct worker *workers_at(struct workers *ws, unsigned index);
/*
 * Runs fn on every worker's thread and returns when all have: afterwards every worker has seen the change, and what
 * they held before may be freed. Not re-entrant. Before the start and after the stop it runs here, in order.
 */
void workers_call(struct workers *ws, worker_fn fn, void *arg);
/* The same, one worker after the other: fn may use what only one thread may touch. */
void workers_call_each(struct workers *ws, worker_fn fn, void *arg);
/* The longest round of any worker since the last call. */
uint64_t workers_take_lag_ns(struct workers *ws);
/* Of all of them since the start. */
struct worker_looks workers_looks(struct workers *ws);

#endif
