#include "controld/jobs/workers.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/jobs/ending.h"
#include "controld/jobs/running.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define SOON_MS      20   /* until a transaction that was just under way is committed, mostly */
#define AGAIN_MS     1000 /* between two tries to write how a job ended */
#define HOPELESS_MAX 3    /* tries of what no waiting mends; the keeper gives the job back then */

struct workers {
	struct workers_conf conf;
	struct pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list running;
	unsigned n_running[JOB_QUEUES];
	unsigned n_all;
	bool poked;
	uint64_t look_ms; /* monotonic: when to look without being poked */
	bool closing;
	uint64_t closing_ms;
	pthread_t thread;
	bool started;
	struct share share; /* the thread's own */
};

/* ---- the end of a run: on its worker ----------------------------------------------------------------------------- */

static bool is_closing(struct workers *w)
{
	bool closing;

	pthread_mutex_lock(&w->lock);
	closing = w->closing;
	pthread_mutex_unlock(&w->lock);
	return closing;
}

/* Sleeps; false when there is no time for that any more. */
static bool pause_before_again(struct workers *w, struct job_run *r)
{
	const uint64_t until = clock_mono_ms() + AGAIN_MS;
	const struct timespec ts = { .tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000 * 1000000) };

	pthread_mutex_lock(&r->lock);
	(void)pthread_cond_timedwait(&r->stopping, &r->lock, &ts);
	pthread_mutex_unlock(&r->lock);
	return !is_closing(w) && running_why(r) != RUNNING_LOST;
}

/* What a worker did must not be lost because the database is away for a moment. */
static void write_end(struct workers *w, struct job_run *r, struct ending *x)
{
	struct err e = { 0 };

	for (int hopeless = 0; ending_write(x, w->conf.store, &e) != 0;) {
		log_warn("job_end_not_written", log_s("job", r->id), log_err(&e));
		hopeless += !err_retryable(e.code);
		if (hopeless == HOPELESS_MAX || !pause_before_again(w, r)) {
			x->lost = true;
			return;
		}
		err_clear(&e);
	}
}

static void remove_run(struct workers *w, struct job_run *r)
{
	pthread_mutex_lock(&w->lock);
	list_remove(&r->link);
	w->n_running[r->queue]--;
	w->n_all--;
	w->poked = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

static void log_end(const struct job_run *r, const struct ending *x, uint64_t took_ms)
{
	if (x->end.error != NULL && *x->end.error != '\0')
		log_warn("job_ended", log_s("job", r->id), log_s("kind", r->kind_name), log_s("request", r->request_id),
			log_s("outcome", x->outcome), log_u("ms", took_ms), log_s("err", x->end.error));
	else
		log_info("job_ended", log_s("job", r->id), log_s("kind", r->kind_name), log_s("request", r->request_id),
			log_s("outcome", x->outcome), log_u("ms", took_ms));
}

static void end_run(struct workers *w, struct job_run *r, int rc, const struct err *e)
{
	const uint64_t took_ms = clock_mono_ms() - r->begun_ms;
	struct ending x;
	bool abandoned;

	ending_decide(&x, r, rc, e, running_why(r));
	(void)running_report(r, &x.report);
	pthread_mutex_lock(&r->lock);
	abandoned = r->abandoned;
	pthread_mutex_unlock(&r->lock);
	if (!abandoned && !x.lost)
		write_end(w, r, &x);
	if (abandoned || x.lost)
		x.outcome = "lost";
	log_end(r, &x, took_ms);
	remove_run(w, r);
	if (w->conf.watch.ended != NULL)
		w->conf.watch.ended(w->conf.watch.owner, r, x.outcome, took_ms);
	if (w->conf.watch.changed != NULL)
		w->conf.watch.changed(w->conf.watch.owner, r->id);
	ending_fini(&x);
	running_free(r);
}

static void work_run(struct pool_job *job)
{
	struct job_run *r = CONTAINER_OF(job, struct job_run, work);
	struct err e = { 0 };
	int rc = -1;

	log_debug("job_begun", log_s("job", r->id), log_s("kind", r->kind_name), log_s("request", r->request_id));
	if (r->unread.code != ERR_NONE)
		e = r->unread;
	else if (r->kind != NULL)
		rc = r->kind->run(r->feature, r, &e);
	end_run(r->workers, r, rc, &e);
}

/* ---- taking: on a thread of its own -------------------------------------------------------------------------------- */

struct taking {
	struct workers *w;
	struct share_room room;
	struct share share;
	struct list taken;
	unsigned n;
	int64_t now_ms, next_ms;
	struct db *tx;
	struct err *e;
};

static void drop_taken(struct taking *t)
{
	struct list *it;

	while ((it = list_first(&t->taken)) != NULL) {
		list_remove(it);
		running_free(CONTAINER_OF(it, struct job_run, link));
	}
	t->n = 0;
}

static int on_taken(const struct job *j, void *arg)
{
	struct taking *t = arg;
	struct job_run *r;

	if (running_new(&r, t->tx, j, t->e) != 0)
		return -1;
	list_push_back(&t->taken, &r->link);
	t->n++;
	return 0;
}

/* May run twice: then what was taken before is forgotten, as the database forgot it. */
static int work_take(struct db *tx, void *arg, struct err *e)
{
	struct taking *t = arg;
	unsigned take[JOB_QUEUES];
	struct hold_waiting w;

	drop_taken(t);
	t->tx = tx;
	t->e = e;
	t->share = t->w->share;
	if (job_hold_waiting(tx, t->now_ms, t->room.workers + 1, &w, e) != 0)
		return -1;
	memcpy(t->room.waiting, w.n, sizeof t->room.waiting);
	t->next_ms = w.next_ms;
	share_plan(&t->share, &t->room, take);
	for (int q = 0; q < JOB_QUEUES; q++)
		if (take[q] > 0 &&
			job_hold_take(tx, (enum job_queue)q, take[q], t->w->conf.self, t->now_ms, on_taken, t, e) != 0)
			return -1;
	return 0;
}

static void add_run(struct workers *w, struct job_run *r, int64_t now_ms)
{
	r->workers = w;
	r->store = w->conf.store;
	r->kind = kinds_find(w->conf.kinds, r->kind_name, &r->feature);
	r->work.work = work_run;
	list_init(&r->work.node);
	if (r->kind != NULL && r->kind->timeout_ms > 0)
		r->deadline_ms = r->begun_ms + r->kind->timeout_ms;
	if (w->conf.watch.taken != NULL)
		w->conf.watch.taken(w->conf.watch.owner, r, MAX(now_ms - r->due_ms, 0));
	pthread_mutex_lock(&w->lock);
	list_push_back(&w->running, &r->link);
	w->n_running[r->queue]++;
	w->n_all++;
	pthread_mutex_unlock(&w->lock);
}

/* The pool has room for as many as there are workers: it takes them all, unless the end has come. */
static void start_taken(struct taking *t)
{
	struct list *it;

	t->w->share = t->share;
	while ((it = list_first(&t->taken)) != NULL) {
		struct job_run *r = CONTAINER_OF(it, struct job_run, link);
		struct err e;

		list_remove(it);
		add_run(t->w, r, t->now_ms);
		if (pool_submit(t->w->pool, &r->work) != 0) {
			running_tell(r, RUNNING_SHUTDOWN);
			err_set(&e, ERR_UNAVAILABLE, NULL, "no worker took it");
			end_run(t->w, r, -1, &e);
		}
	}
}

/* When to look again, from now. */
static uint64_t take(struct workers *w, const struct share_room *room)
{
	struct taking t = { .w = w, .room = *room, .now_ms = clock_wall_ms(), .next_ms = INT64_MAX };
	struct err e = { 0 };
	uint64_t wait_ms = w->conf.poll_ms;

	list_init(&t.taken);
	if (store_write(w->conf.store, STORE_OPERATIONAL, work_take, &t, &e) != 0) {
		log_warn("jobs_not_taken", log_err(&e));
		drop_taken(&t);
		return wait_ms;
	}
	start_taken(&t);
	if (t.next_ms != INT64_MAX && t.next_ms - t.now_ms < (int64_t)wait_ms)
		wait_ms = (uint64_t)MAX(t.next_ms - t.now_ms, 1);
	return wait_ms;
}

/* With the lock: until there is something to look for and a worker for it; false at the end. */
static bool wait_for_work(struct workers *w)
{
	while (!w->closing) {
		const uint64_t now = clock_mono_ms();
		const struct timespec ts = { .tv_sec = (time_t)(w->look_ms / 1000),
			.tv_nsec = (long)(w->look_ms % 1000 * 1000000) };

		if (w->n_all >= w->conf.workers)
			pthread_cond_wait(&w->wake, &w->lock);
		else if (w->poked || now >= w->look_ms)
			return true;
		else
			pthread_cond_timedwait(&w->wake, &w->lock, &ts);
	}
	return false;
}

/* With the lock: until none runs, or the time is over. */
static void wait_until_idle(struct workers *w, uint64_t until_ms)
{
	const struct timespec ts = { .tv_sec = (time_t)(until_ms / 1000),
		.tv_nsec = (long)(until_ms % 1000 * 1000000) };

	while (w->n_all > 0 && clock_mono_ms() < until_ms)
		pthread_cond_timedwait(&w->wake, &w->lock, &ts);
}

/* With the lock. */
static void tell_all(struct workers *w, enum running_stop why)
{
	LIST_FOREACH (it, &w->running)
		running_tell(CONTAINER_OF(it, struct job_run, link), why);
}

static void *work_take_jobs(void *arg)
{
	struct workers *w = arg;

	prctl(PR_SET_NAME, "jobs");
	pthread_mutex_lock(&w->lock);
	while (wait_for_work(w)) {
		struct share_room room = { .workers = w->conf.workers };
		uint64_t wait_ms;

		memcpy(room.running, w->n_running, sizeof room.running);
		w->poked = false;
		w->look_ms = UINT64_MAX;
		pthread_mutex_unlock(&w->lock);
		wait_ms = take(w, &room);
		pthread_mutex_lock(&w->lock);
		w->look_ms = MIN(w->look_ms, clock_mono_ms() + wait_ms);
	}
	wait_until_idle(w, w->closing_ms + w->conf.grace_ms);
	tell_all(w, RUNNING_SHUTDOWN);
	wait_until_idle(w, w->closing_ms + w->conf.grace_ms + w->conf.stop_ms);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- from outside ------------------------------------------------------------------------------------------------ */

void workers_poke(struct workers *w, bool soon)
{
	pthread_mutex_lock(&w->lock);
	w->poked = true;
	if (soon)
		w->look_ms = MIN(w->look_ms, clock_mono_ms() + SOON_MS);
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void workers_each(struct workers *w, void (*fn)(struct job_run *r, void *arg), void *arg)
{
	pthread_mutex_lock(&w->lock);
	LIST_FOREACH (it, &w->running)
		fn(CONTAINER_OF(it, struct job_run, link), arg);
	pthread_mutex_unlock(&w->lock);
}

/* With the lock; lease 0: whichever. */
static struct job_run *find(struct workers *w, const char *job_id, int64_t lease)
{
	LIST_FOREACH (it, &w->running) {
		struct job_run *r = CONTAINER_OF(it, struct job_run, link);

		if (str_eq(r->id, job_id) && (lease == 0 || r->lease == lease))
			return r;
	}
	return NULL;
}

bool workers_with(
	struct workers *w, const char *job_id, int64_t lease, void (*fn)(struct job_run *r, void *arg), void *arg)
{
	struct job_run *r;

	pthread_mutex_lock(&w->lock);
	if ((r = find(w, job_id, lease)) != NULL)
		fn(r, arg);
	pthread_mutex_unlock(&w->lock);
	return r != NULL;
}

static void on_cancelled(struct job_run *r, void *arg)
{
	(void)arg;
	running_tell(r, RUNNING_CANCELLED);
}

void workers_cancel(struct workers *w, const char *job_id)
{
	(void)workers_with(w, job_id, 0, on_cancelled, NULL);
}

unsigned workers_running(struct workers *w)
{
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->n_all;
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* ---- giving back what does not stop ------------------------------------------------------------------------------ */

static void on_abandoned(struct job_run *r, void *arg)
{
	struct err e = { 0 };
	const enum running_stop why = running_why(r);

	(void)job_run_ended(r, &e);
	pthread_mutex_lock(&r->lock);
	ending_decide(arg, r, -1, &e, why);
	r->abandoned = true;
	pthread_mutex_unlock(&r->lock);
	(void)running_report(r, &((struct ending *)arg)->report);
}

int workers_abandon(struct workers *w, const char *job_id, int64_t lease, struct err *e)
{
	struct ending x;
	int rc = 0;

	if (!workers_with(w, job_id, lease, on_abandoned, &x))
		return 0;
	log_warn("job_abandoned", log_s("job", job_id), log_s("outcome", x.outcome));
	if (!x.lost)
		rc = ending_write(&x, w->conf.store, e);
	if (w->conf.watch.changed != NULL)
		w->conf.watch.changed(w->conf.watch.owner, job_id);
	ending_fini(&x);
	return rc;
}

struct left {
	struct {
		char id[RAND_ID_SIZE];
		int64_t lease;
	} all[64];
	size_t n;
};

static void on_left(struct job_run *r, void *arg)
{
	struct left *l = arg;

	if (l->n == ARRAY_LEN(l->all) || r->abandoned)
		return;
	(void)str_copy(l->all[l->n].id, RAND_ID_SIZE, r->id);
	l->all[l->n++].lease = r->lease;
}

static void give_back(struct workers *w)
{
	struct left left = { .n = 0 };
	struct err e = { 0 };

	workers_each(w, on_left, &left);
	for (size_t i = 0; i < left.n; i++)
		if (workers_abandon(w, left.all[i].id, left.all[i].lease, &e) != 0)
			log_warn("job_not_given_back", log_s("job", left.all[i].id), log_err(&e));
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int workers_new(struct workers **out, const struct workers_conf *conf, struct err *e)
{
	struct workers *w = calloc(1, sizeof *w);
	pthread_condattr_t attr;

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	w->conf = *conf;
	list_init(&w->running);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	*out = w;
	return 0;
}

int workers_start(struct workers *w, struct err *e)
{
	const struct pool_conf pool = { "job", w->conf.workers, w->conf.workers };
	sigset_t all, before;
	int rc;

	if (w->conf.workers == 0)
		return 0;
	if (pool_new(&w->pool, &pool, e) != 0)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, work_take_jobs, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set_sys(e, ERR_NOMEM, rc, "jobs: thread");
	w->started = true;
	return 0;
}

void workers_wind_down(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	if (!w->closing)
		w->closing_ms = clock_mono_ms();
	w->closing = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void workers_stop(struct workers *w)
{
	workers_wind_down(w);
	if (!w->started)
		return;
	pthread_join(w->thread, NULL);
	w->started = false;
	give_back(w);
}

void workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	workers_stop(w);
	pool_free(w->pool);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
