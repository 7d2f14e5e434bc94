#include "controld/jobs/keeper.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/jobs/reaper.h"
#include "controld/jobs/running.h"
#include "controld/jobs/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define FLUSH_MS  500
#define MIND_MS   1000
#define COUNT_MS  5000
#define ORPHAN_MS 5000 /* taken in our name, but nobody here runs it: how the taking went was never learned */

enum { TASK_FLUSH, TASK_LOOK, TASK_MIND, TASK_BEAT, TASK_REAP, TASK_TICK, TASK_COUNT, TASKS };

struct keeper {
	struct keeper_conf conf;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	/* the thread's own */
	struct reaper reaper;
	uint64_t due_ms[TASKS];
	uint64_t beat_ms;   /* the last that was written */
	uint64_t orphan_ms; /* since when there is a row of ours without a run; 0: there is none */
};

/* ---- what the jobs that run have to say -------------------------------------------------------------------------- */

struct reports {
	struct running_report *all;
	size_t n, max;
};

static void on_report(struct job_run *r, void *arg)
{
	struct reports *reps = arg;

	if (r->abandoned || reps->n == reps->max)
		return;
	if (running_report(r, &reps->all[reps->n]))
		reps->n++;
	else
		running_report_fini(&reps->all[reps->n]);
}

static int work_flush(struct db *tx, void *arg, struct err *e)
{
	const struct reports *reps = arg;

	for (size_t i = 0; i < reps->n; i++)
		if (running_report_write(tx, &reps->all[i], e) != 0)
			return -1;
	return 0;
}

static void on_reported(struct job_run *r, void *arg)
{
	running_reported(r, arg);
}

/* What could not be written: the progress is, with what comes next. */
static void on_not_reported(struct job_run *r, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&r->lock);
	r->dirty = true;
	pthread_mutex_unlock(&r->lock);
}

static int flush_all(struct keeper *k, struct reports *reps, struct err *e)
{
	const int rc = reps->n == 0 ? 0 : store_write(k->conf.store, STORE_OPERATIONAL, work_flush, reps, e);

	for (size_t i = 0; i < reps->n; i++) {
		struct running_report *rep = &reps->all[i];

		(void)workers_with(k->conf.workers, rep->id, rep->lease, rc == 0 ? on_reported : on_not_reported, rep);
		if (rc == 0 && k->conf.changed != NULL)
			k->conf.changed(k->conf.owner, rep->id);
		running_report_fini(rep);
	}
	return rc;
}

static int task_flush(struct keeper *k, struct err *e)
{
	struct reports reps = { .max = workers_running(k->conf.workers) };
	int rc;

	if (reps.max == 0)
		return 0;
	if ((reps.all = calloc(reps.max, sizeof *reps.all)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	workers_each(k->conf.workers, on_report, &reps);
	rc = flush_all(k, &reps, e);
	free(reps.all);
	return rc;
}

/* ---- runs that must stop ----------------------------------------------------------------------------------------- */

#define MINDED_MAX 512

struct minded {
	struct held {
		char id[RAND_ID_SIZE];
		int64_t lease;
		bool seen;
		bool stuck;
	} all[MINDED_MAX];
	size_t n;
	unsigned orphans;
	struct keeper *keeper;
};

static void on_minded(struct job_run *r, void *arg)
{
	struct minded *m = arg;
	struct held *h = &m->all[m->n];

	if (r->abandoned || m->n == MINDED_MAX)
		return;
	(void)str_copy(h->id, sizeof h->id, r->id);
	h->lease = r->lease;
	h->stuck =
		job_run_stop(r) && r->deadline_ms != UINT64_MAX && clock_mono_ms() > r->deadline_ms + KEEPER_STUCK_MS;
	m->n++;
}

static void on_told(struct job_run *r, void *arg)
{
	running_tell(r, *(const enum running_stop *)arg);
}

static void tell(struct keeper *k, const struct held *h, enum running_stop why)
{
	(void)workers_with(k->conf.workers, h->id, h->lease, on_told, &why);
}

static int on_own_row(const struct job *j, void *arg)
{
	struct minded *m = arg;

	for (size_t i = 0; i < m->n; i++)
		if (m->all[i].lease == j->lease && str_eq(m->all[i].id, j->id)) {
			m->all[i].seen = true;
			if (j->cancel)
				tell(m->keeper, &m->all[i], RUNNING_CANCELLED);
			return 0;
		}
	m->orphans++;
	return 0;
}

static void on_nothing(struct job_run *r, void *arg)
{
	(void)r, (void)arg;
}

static bool is_run_here(const char *id, int64_t lease, void *arg)
{
	struct keeper *k = arg;

	return workers_with(k->conf.workers, id, lease, on_nothing, NULL);
}

/* A run that was just taken has its row before it is in the list: so it must have been like this for a while. */
static int mind_orphans(struct keeper *k, unsigned orphans, struct err *e)
{
	const uint64_t now = clock_mono_ms();
	unsigned n = 0;

	if (orphans == 0) {
		k->orphan_ms = 0;
		return 0;
	}
	if (k->orphan_ms == 0)
		k->orphan_ms = now;
	if (now - k->orphan_ms < ORPHAN_MS)
		return 0;
	k->orphan_ms = 0;
	return reaper_give_back(k->conf.store, k->conf.self, is_run_here, k, &n, e);
}

/* The list first, then the rows: what is in the list then has a row, or is not ours any more. */
static int task_mind(struct keeper *k, struct err *e)
{
	struct minded m = { .keeper = k };
	struct db *db;
	int rc;

	workers_each(k->conf.workers, on_minded, &m);
	if (m.n == 0 && k->orphan_ms == 0 && !k->conf.shared)
		return 0;
	if (store_read_begin(k->conf.store, &db, e) != 0)
		return -1;
	rc = job_hold_of(db, k->conf.self, on_own_row, &m, e);
	store_read_end(db);
	for (size_t i = 0; i < m.n && rc == 0; i++) {
		if (!m.all[i].seen)
			tell(k, &m.all[i], RUNNING_LOST);
		else if (m.all[i].stuck)
			rc = workers_abandon(k->conf.workers, m.all[i].id, m.all[i].lease, e);
	}
	return rc != 0 ? -1 : mind_orphans(k, m.orphans, e);
}

/* ---- being alive, and who is not --------------------------------------------------------------------------------- */

static int work_beat(struct db *tx, void *arg, struct err *e)
{
	return job_hold_beat(tx, ((struct keeper *)arg)->conf.self, e);
}

static void on_lost(struct job_run *r, void *arg)
{
	(void)arg;
	running_tell(r, RUNNING_LOST);
}

/* Who cannot say that it lives is taken for dead by then, and others do its work. */
static int task_beat(struct keeper *k, struct err *e)
{
	if (!k->conf.shared)
		return 0;
	if (store_write(k->conf.store, STORE_OPERATIONAL, work_beat, k, e) == 0) {
		k->beat_ms = clock_mono_ms();
		return 0;
	}
	if (clock_mono_ms() - k->beat_ms >= k->conf.lease_ms)
		workers_each(k->conf.workers, on_lost, NULL);
	return -1;
}

static int task_reap(struct keeper *k, struct err *e)
{
	const struct reaper_conf c = { k->conf.store, k->conf.self, k->conf.shared, k->conf.lease_ms };
	unsigned n = 0;
	int rc = reaper_look(&k->reaper, &c, clock_mono_ms(), &n, e);

	if (n > 0)
		workers_poke(k->conf.workers, false);
	return rc;
}

static int task_tick(struct keeper *k, struct err *e)
{
	return k->conf.tick != NULL ? k->conf.tick(k->conf.owner, clock_wall_ms(), e) : 0;
}

static int task_look(struct keeper *k, struct err *e)
{
	return k->conf.look != NULL ? k->conf.look(k->conf.owner, e) : 0;
}

static int task_count(struct keeper *k, struct err *e)
{
	struct job_counts c;
	struct db *db;
	int rc;

	if (k->conf.counted == NULL)
		return 0;
	if (store_read_begin(k->conf.store, &db, e) != 0)
		return -1;
	rc = job_count(db, &c, e);
	store_read_end(db);
	if (rc == 0)
		k->conf.counted(k->conf.owner, &c);
	return rc;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static uint64_t every_ms(const struct keeper *k, int task)
{
	switch (task) {
	case TASK_FLUSH:
	case TASK_LOOK:
		return FLUSH_MS;
	case TASK_BEAT:
		return MAX(k->conf.lease_ms / 3, 1);
	case TASK_REAP:
		return MAX(k->conf.lease_ms / 5, 1);
	case TASK_COUNT:
		return COUNT_MS;
	default:
		return MIND_MS;
	}
}

static int (*const tasks[TASKS])(struct keeper *k, struct err *e) = {
	[TASK_FLUSH] = task_flush,
	[TASK_LOOK] = task_look,
	[TASK_MIND] = task_mind,
	[TASK_BEAT] = task_beat,
	[TASK_REAP] = task_reap,
	[TASK_TICK] = task_tick,
	[TASK_COUNT] = task_count,
};

static uint64_t run_due(struct keeper *k)
{
	static const char *const names[TASKS] = { "progress", "followers", "running", "beat", "dead holders",
		"schedules", "counts" };
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < TASKS; i++) {
		struct err e = { 0 };

		if (clock_mono_ms() >= k->due_ms[i]) {
			if (tasks[i](k, &e) != 0)
				log_warn("jobs_not_kept", log_s("task", names[i]), log_err(&e));
			k->due_ms[i] = clock_mono_ms() + every_ms(k, i);
		}
		next = MIN(next, k->due_ms[i]);
	}
	return next;
}

static void *work_keep(void *arg)
{
	struct keeper *k = arg;

	prctl(PR_SET_NAME, "jobkeeper");
	pthread_mutex_lock(&k->lock);
	while (!k->stopping) {
		struct timespec ts;
		uint64_t next;

		pthread_mutex_unlock(&k->lock);
		next = run_due(k);
		ts = (struct timespec){ .tv_sec = (time_t)(next / 1000), .tv_nsec = (long)(next % 1000 * 1000000) };
		pthread_mutex_lock(&k->lock);
		while (!k->stopping && clock_mono_ms() < next)
			pthread_cond_timedwait(&k->wake, &k->lock, &ts);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int keeper_new(struct keeper **out, const struct keeper_conf *conf, struct err *e)
{
	struct keeper *k = calloc(1, sizeof *k);
	pthread_condattr_t attr;

	if (k == NULL)
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	k->conf = *conf;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &attr);
	pthread_condattr_destroy(&attr);
	*out = k;
	return 0;
}

int keeper_start(struct keeper *k, struct err *e)
{
	sigset_t all, before;
	int rc;

	if (task_beat(k, e) != 0 || task_reap(k, e) != 0)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&k->thread, NULL, work_keep, k);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set_sys(e, ERR_NOMEM, rc, "jobs: thread");
	k->started = true;
	return 0;
}

static int work_leave(struct db *tx, void *arg, struct err *e)
{
	return job_hold_leave(tx, ((struct keeper *)arg)->conf.self, e);
}

void keeper_stop(struct keeper *k)
{
	struct err e = { 0 };

	if (!k->started)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	k->started = false;
	if (store_write(k->conf.store, STORE_OPERATIONAL, work_leave, k, &e) != 0)
		log_warn("jobs_not_left", log_err(&e));
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	keeper_stop(k);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
