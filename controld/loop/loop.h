/*
 * loop - the event loop of controld: one libevent base, run by one thread.
 *
 * Only the loop thread calls libevent; the base is made without locks. Other threads hand over work with loop_post(),
 * the one way in: a lock-free list and one wake-up for however many were posted since the last turn.
 *
 * Owner:  app. Thread: loop_post() and loop_stop() any, the rest the loop thread (or before it runs).
 * Ends:   loop_stop(), then loop_run() returns, then loop_free(), which still runs what was posted meanwhile.
 */
#ifndef PORTWAY_CONTROLD_LOOP_LOOP_H
#define PORTWAY_CONTROLD_LOOP_LOOP_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;
struct event_base;
struct loop;
struct loop_timer;

typedef void (*loop_fn)(void *arg);

/* Embedded in what is posted; free to be posted again (or freed) from fn on. */
struct loop_task {
	struct loop_task *next;
	loop_fn fn;
	void *arg;
};

int loop_new(struct loop **out, struct err *e) MUST_CHECK;
void loop_free(struct loop *l);
int loop_run(struct loop *l, struct err *e) MUST_CHECK;
void loop_stop(struct loop *l);
/* Runs t->fn on the loop thread, in the order of posting. Never fails, never blocks. A task is posted once at a time. */
void loop_post(struct loop *l, struct loop_task *t);
/* Loop thread: runs t->fn behind everything that this turn of the loop has found ready. A task waits once at a time. */
void loop_defer(struct loop *l, struct loop_task *t);
/* Runs what was posted or deferred, here and now; for who ends things after loop_run() returned. */
void loop_flush(struct loop *l);
struct event_base *loop_base(struct loop *l);

/* fn runs on the loop thread whenever the signal comes, until loop_free(). */
int loop_signal(struct loop *l, int signum, loop_fn fn, void *arg, struct err *e) MUST_CHECK;

/* fn runs once after loop_timer_in(), or again and again after loop_timer_every(), until the timer is stopped. */
int loop_timer_new(struct loop_timer **out, struct loop *l, loop_fn fn, void *arg, struct err *e) MUST_CHECK;
void loop_timer_in(struct loop_timer *t, uint64_t ms);
void loop_timer_every(struct loop_timer *t, uint64_t ms);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* takes NULL; allowed inside fn */

/* How late the loop came to a timer of its own since the last call, in microseconds: what a blocked loop shows. */
uint64_t loop_lag_us(struct loop *l);

#endif
