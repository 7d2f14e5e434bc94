#include "controld/janitor.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/store/lease.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct janitor {
	struct janitor_task tasks[JANITOR_TASKS_MAX];
	uint64_t due_ms[JANITOR_TASKS_MAX]; /* monotonic; the thread's own */
	size_t n;
	struct store *store;
	const char *self;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
};

#define HOLD_MS 60000 /* besides twice the interval: whoever is at it longer has died */

static int run_shared(const struct janitor *j, const struct janitor_task *t, struct err *e)
{
	const struct lease l = { t->name, j->self, t->every_ms, 2 * t->every_ms + HOLD_MS };
	bool mine;
	int rc;

	if (lease_take(j->store, &l, clock_wall_ms(), &mine, e) != 0)
		return -1;
	if (!mine)
		return 0;
	rc = t->run(t->arg, clock_wall_ms(), e);
	return lease_end(j->store, &l, rc == 0 ? e : NULL) != 0 ? -1 : rc;
}

static int run(const struct janitor *j, const struct janitor_task *t, struct err *e)
{
	return t->shared && j->store != NULL ? run_shared(j, t, e) : t->run(t->arg, clock_wall_ms(), e);
}

static uint64_t run_due(struct janitor *j)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < j->n; i++) {
		const struct janitor_task *t = &j->tasks[i];

		if (j->due_ms[i] <= clock_mono_ms()) {
			struct err e = { 0 };

			if (run(j, t, &e) != 0)
				log_warn("cleanup_failed", log_s("task", t->name), log_err(&e));
			j->due_ms[i] = clock_mono_ms() + t->every_ms;
		}
		next = MIN(next, j->due_ms[i]);
	}
	return next;
}

/* Until that time, or until the end is asked for: false then. */
static bool sleep_until(struct janitor *j, uint64_t mono_ms)
{
	struct timespec until = { .tv_sec = (time_t)(mono_ms / 1000), .tv_nsec = (long)(mono_ms % 1000 * 1000000) };
	bool stopping;

	pthread_mutex_lock(&j->lock);
	while (!j->stopping && clock_mono_ms() < mono_ms)
		pthread_cond_timedwait(&j->wake, &j->lock, &until);
	stopping = j->stopping;
	pthread_mutex_unlock(&j->lock);
	return !stopping;
}

static void *work_clean(void *arg)
{
	struct janitor *j = arg;

	while (sleep_until(j, run_due(j)))
		;
	return NULL;
}

int janitor_new(struct janitor **out, const struct janitor_conf *conf, struct err *e)
{
	struct janitor *j = calloc(1, sizeof *j);
	pthread_condattr_t attr;
	int rc;

	if (j == NULL)
		return err_set(e, ERR_NOMEM, NULL, "clean-up: out of memory");
	assert(conf->n > 0 && conf->n <= JANITOR_TASKS_MAX);
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attr);
	pthread_condattr_destroy(&attr);
	j->n = conf->n;
	j->store = conf->store;
	j->self = conf->self;
	for (size_t i = 0; i < conf->n; i++) {
		j->tasks[i] = conf->tasks[i];
		j->due_ms[i] = clock_mono_ms() + conf->tasks[i].every_ms;
	}
	if ((rc = pthread_create(&j->thread, NULL, work_clean, j)) != 0) {
		err_set_sys(e, ERR_INTERNAL, rc, "clean-up thread");
		goto fail;
	}
	j->started = true;
	*out = j;
	return 0;
fail:
	janitor_free(j);
	return -1;
}

void janitor_free(struct janitor *j)
{
	if (j == NULL)
		return;
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	if (j->started)
		pthread_join(j->thread, NULL);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->lock);
	free(j);
}
