#include "controld/loop/loop.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"

#include <errno.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOP_LAG_STEP_MS 100

struct loop {
	struct event_base *base;
	struct event *wake;
	int wake_fd;
	_Atomic(struct loop_task *) posted; /* newest first */
	struct event *turn_end;
	struct loop_task *deferred; /* newest first */
	struct list signals;        /* of struct loop_watch */
	struct loop_timer *lag_timer;
	uint64_t lag_due_us;
	_Atomic uint64_t lag_us; /* the worst since the last reading */
	struct loop_task stop_task;
	atomic_bool stopping;
};

struct loop_watch {
	struct list node;
	struct event *ev;
	loop_fn fn;
	void *arg;
};

struct loop_timer {
	struct event *ev;
	loop_fn fn;
	void *arg;
	uint64_t every_ms; /* 0: once */
};

static struct timeval loop_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

/* ---- tasks from other threads ------------------------------------------------------------------------------------ */

void loop_post(struct loop *l, struct loop_task *t)
{
	struct loop_task *head = atomic_load_explicit(&l->posted, memory_order_relaxed);

	do
		t->next = head;
	while (!atomic_compare_exchange_weak_explicit(
		&l->posted, &head, t, memory_order_release, memory_order_relaxed));
	/* Only who finds the list empty wakes: everybody after him rides on the same turn. */
	if (head == NULL)
		(void)eventfd_write(l->wake_fd, 1);
}

static struct loop_task *loop_take_posted(struct loop *l)
{
	struct loop_task *t = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire);
	struct loop_task *oldest_first = NULL;

	while (t != NULL) {
		struct loop_task *next = t->next;

		t->next = oldest_first;
		oldest_first = t;
		t = next;
	}
	return oldest_first;
}

static void loop_run_tasks(struct loop_task *t)
{
	while (t != NULL) {
		struct loop_task *next = t->next;

		t->fn(t->arg); /* may free or post t again */
		t = next;
	}
}

static void loop_run_deferred(struct loop *l)
{
	struct loop_task *t = l->deferred;

	l->deferred = NULL;
	loop_run_tasks(t);
}

void loop_flush(struct loop *l)
{
	loop_run_deferred(l);
	loop_run_tasks(loop_take_posted(l));
}

static void on_turn_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	loop_run_deferred(arg);
}

/* An event that is made active comes last among those that are. */
void loop_defer(struct loop *l, struct loop_task *t)
{
	if (l->deferred == NULL)
		event_active(l->turn_end, EV_WRITE, 0);
	t->next = l->deferred;
	l->deferred = t;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t n;

	(void)what;
	/* Read before taking: a post that comes in between wakes once more, for nothing but harmlessly. */
	(void)eventfd_read(fd, &n);
	loop_run_tasks(loop_take_posted(arg));
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t signum, short what, void *arg)
{
	struct loop_watch *w = arg;

	(void)signum;
	(void)what;
	w->fn(w->arg);
}

static void loop_watch_free(struct loop_watch *w)
{
	if (w->ev != NULL)
		event_free(w->ev);
	free(w);
}

int loop_signal(struct loop *l, int signum, loop_fn fn, void *arg, struct err *e)
{
	struct loop_watch *w = calloc(1, sizeof *w);

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "signal %d: out of memory", signum);
	w->fn = fn;
	w->arg = arg;
	w->ev = evsignal_new(l->base, signum, on_signal, w);
	if (w->ev == NULL || event_add(w->ev, NULL) != 0) {
		loop_watch_free(w);
		return err_set(e, ERR_INTERNAL, NULL, "signal %d: cannot be watched", signum);
	}
	list_push_back(&l->signals, &w->node);
	return 0;
}

/* ---- timers ------------------------------------------------------------------------------------------------------ */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	if (t->every_ms != 0)
		loop_timer_every(t, t->every_ms);
	t->fn(t->arg); /* may free t */
}

int loop_timer_new(struct loop_timer **out, struct loop *l, loop_fn fn, void *arg, struct err *e)
{
	struct loop_timer *t = calloc(1, sizeof *t);

	if (t == NULL || (t->ev = evtimer_new(l->base, on_timer, t)) == NULL) {
		loop_timer_free(t);
		return err_set(e, ERR_NOMEM, NULL, "timer: out of memory");
	}
	t->fn = fn;
	t->arg = arg;
	*out = t;
	return 0;
}

static void loop_timer_arm(struct loop_timer *t, uint64_t ms, uint64_t every_ms)
{
	const struct timeval tv = loop_timeval(ms);

	t->every_ms = every_ms;
	/* Fails for memory only, and the room was made when the event was added first. */
	(void)event_add(t->ev, &tv);
}

void loop_timer_in(struct loop_timer *t, uint64_t ms)
{
	loop_timer_arm(t, ms, 0);
}

void loop_timer_every(struct loop_timer *t, uint64_t ms)
{
	loop_timer_arm(t, ms, ms);
}

void loop_timer_stop(struct loop_timer *t)
{
	t->every_ms = 0;
	event_del(t->ev);
}

void loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	if (t->ev != NULL)
		event_free(t->ev);
	free(t);
}

/* ---- lag --------------------------------------------------------------------------------------------------------- */

static void on_lag_tick(void *arg)
{
	struct loop *l = arg;
	const uint64_t now_us = clock_mono_ns() / 1000;

	if (l->lag_due_us != 0 && now_us > l->lag_due_us &&
		now_us - l->lag_due_us > atomic_load_explicit(&l->lag_us, memory_order_relaxed))
		atomic_store_explicit(&l->lag_us, now_us - l->lag_due_us, memory_order_relaxed);
	l->lag_due_us = now_us + LOOP_LAG_STEP_MS * 1000;
}

uint64_t loop_lag_us(struct loop *l)
{
	return atomic_exchange_explicit(&l->lag_us, 0, memory_order_relaxed);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_stop(void *arg)
{
	struct loop *l = arg;

	event_base_loopbreak(l->base);
}

/*
 * The base without locks: only the loop thread may touch it. What is watched and let go within one turn of the loop never
 * comes to the kernel. That forbids twins of descriptors (dup(), or a fork that does not exec): a closed one would go on to
 * bring events. There are none in this program.
 */
static struct event_base *loop_base_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg != NULL &&
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
		base = event_base_new_with_config(cfg);
	if (cfg != NULL)
		event_config_free(cfg);
	return base;
}

int loop_new(struct loop **out, struct err *e)
{
	struct loop *l = calloc(1, sizeof *l);

	if (l == NULL)
		return err_set(e, ERR_NOMEM, NULL, "loop: out of memory");
	list_init(&l->signals);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->stop_task = (struct loop_task){ .fn = on_stop, .arg = l };
	if (l->wake_fd < 0) {
		err_set_sys(e, ERR_IO, errno, "loop: eventfd");
		goto fail;
	}
	l->base = loop_base_new();
	if (l->base == NULL || (l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l)) == NULL ||
		event_add(l->wake, NULL) != 0 || (l->turn_end = event_new(l->base, -1, 0, on_turn_end, l)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "loop: no event base");
		goto fail;
	}
	if (loop_timer_new(&l->lag_timer, l, on_lag_tick, l, e) != 0)
		goto fail;
	*out = l;
	return 0;
fail:
	loop_free(l);
	return -1;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	loop_flush(l); /* what was handed over is released by its own function */
	LIST_FOREACH_SAFE (it, &l->signals)
		loop_watch_free(CONTAINER_OF(it, struct loop_watch, node));
	loop_timer_free(l->lag_timer);
	if (l->wake != NULL)
		event_free(l->wake);
	if (l->turn_end != NULL)
		event_free(l->turn_end);
	if (l->base != NULL)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	free(l);
}

int loop_run(struct loop *l, struct err *e)
{
	loop_timer_every(l->lag_timer, LOOP_LAG_STEP_MS);
	if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
		return err_set(e, ERR_INTERNAL, NULL, "loop: libevent gave up");
	return 0;
}

void loop_stop(struct loop *l)
{
	if (!atomic_exchange(&l->stopping, true))
		loop_post(l, &l->stop_task);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}
