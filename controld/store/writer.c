#include "controld/store/writer.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A function that holds the writer this long delays everybody: it belongs into smaller steps. */
#define WRITER_SLOW_MS 500
#define WRITER_CLASSES 2
/* How often a function, or a group, is run at most that fails for what others do to the database at the same time. */
#define WRITER_RUNS_MAX 4
/* Who is told of new changes: one per kind of reader in the program, not per subscriber. */
#define WRITER_READERS_MAX 8

enum job_state { JOB_QUEUED, JOB_TAKEN, JOB_DONE };

/* Lives on the stack of the thread that waits for it. */
struct job {
	struct list link;
	enum store_class class;
	store_fn fn;
	void *arg;
	enum job_state state; /* under the writer's lock */
	int rc;
	struct err err;
	pthread_cond_t done;
};

struct writer {
	struct db *db;
	struct writer_conf conf;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list queue[WRITER_CLASSES];
	size_t queued[WRITER_CLASSES];
	int turn; /* class that is served next */
	bool stopping;
	struct {
		void (*fn)(int64_t last_seq, void *arg);
		void *arg;
	} readers[WRITER_READERS_MAX];
	size_t n_readers;
	atomic_uint_fast64_t writes, commits, busy, failed;
	atomic_bool disk_full;
};

/* ---- the group: runs on the writer's thread, without the lock ---------------------------------------------------- */

static void group_fail(struct list *group, const struct err *e)
{
	LIST_FOREACH (it, group) {
		struct job *j = CONTAINER_OF(it, struct job, link);

		if (j->rc == 0) {
			j->rc = -1;
			j->err = *e;
		}
	}
}

/* One run of a function. False when the database gave up the whole transaction, or what an earlier one did is undone. */
static bool job_try(struct writer *w, struct job *j, bool sure)
{
	int64_t last_seq = w->db->last_seq;
	char last_chain[CHAIN_SIZE];

	memcpy(last_chain, w->db->last_chain, sizeof last_chain);
	err_clear(&j->err);
	if ((j->rc = db_part_begin(w->db, j->class == STORE_LOGGED, &j->err)) != 0)
		return false;
	j->rc = j->fn(w->db, j->arg, &j->err);
	if (j->rc == 0)
		j->rc = db_part_keep(w->db, sure, &j->err);
	if (j->rc == 0)
		return true;
	if (j->err.code == ERR_NONE)
		err_set(&j->err, ERR_INTERNAL, NULL, "database: a write failed without a reason");
	j->rc = -1;
	w->db->last_seq = last_seq;
	memcpy(w->db->last_chain, last_chain, sizeof last_chain);
	return db_in_transaction(w->db) && db_part_undo(w->db, NULL) == 0 && db_run_again(w->db) < DRIVER_AGAIN_ALL;
}

/*
 * One function inside the group's transaction. False when the database gave up the whole transaction; then what
 * earlier functions did is gone as well.
 */
static bool job_run(struct writer *w, struct job *j, bool sure)
{
	uint64_t begun = clock_mono_ms();
	bool going = true;

	for (int run = 0; run < WRITER_RUNS_MAX; run++) {
		going = job_try(w, j, sure);
		if (!going || j->rc == 0 || db_run_again(w->db) != DRIVER_AGAIN_PART)
			break;
		log_info("store_write_again", log_err(&j->err));
	}
	if (clock_mono_ms() - begun > WRITER_SLOW_MS)
		log_warn("store_write_slow", log_u("ms", clock_mono_ms() - begun));
	return going;
}

/* Only who appends to the change log has to be alone. */
static enum driver_tx group_kind(const struct list *group)
{
	LIST_FOREACH (it, group)
		if (CONTAINER_OF(it, struct job, link)->class == STORE_LOGGED)
			return DRIVER_TX_LOGGED;
	return DRIVER_TX_OPERATIONAL;
}

/* All functions of the group in one transaction; *kept gets how many were not undone. */
static int group_run(struct writer *w, struct list *group, bool sure, size_t *kept, struct err *e)
{
	*kept = 0;
	if (db_begin(w->db, group_kind(group), e) != 0)
		return -1;
	LIST_FOREACH (it, group) {
		struct job *j = CONTAINER_OF(it, struct job, link);

		if (!job_run(w, j, sure)) {
			*e = j->err;
			return -1;
		}
		*kept += j->rc == 0;
	}
	return 0;
}

/* Full as soon as one function met it; not full again only when something was really written. */
static void group_note_room(struct writer *w, struct list *group, size_t kept)
{
	LIST_FOREACH (it, group)
		if (CONTAINER_OF(it, struct job, link)->err.code == ERR_DISK_FULL) {
			atomic_store(&w->disk_full, true);
			return;
		}
	if (kept > 0)
		atomic_store(&w->disk_full, false);
}

/* With the lock, so that a reader who has left is not called any more; the functions only post. */
void writer_tell(struct writer *w, int64_t last_seq)
{
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_readers; i++)
		w->readers[i].fn(last_seq, w->readers[i].arg);
	pthread_mutex_unlock(&w->lock);
}

static int group_try(struct writer *w, struct list *group, bool sure, size_t *kept, struct err *e)
{
	int rc = group_run(w, group, sure, kept, e);

	if (rc == 0 && *kept > 0)
		rc = db_commit(w->db, e);
	if (db_in_transaction(w->db))
		db_rollback(w->db);
	return rc;
}

/*
 * A posted statement may fail after its function was taken for done: all are run again, and each waits for its own. A
 * connection that was lost takes along what was not stored: all are run again on another one, but nobody waits for that longer
 * than for his turn.
 */
static int group_try_again(struct writer *w, struct list *group, size_t *kept, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + w->conf.wait_ms;
	bool sure = false;
	int rc;

	for (int run = 1; (rc = group_try(w, group, sure, kept, e)) != 0 && run < WRITER_RUNS_MAX; run++) {
		const enum driver_again again = db_run_again(w->db);

		if (again < DRIVER_AGAIN_ALL || clock_mono_ms() >= end_ms)
			break;
		log_info("store_group_again", log_err(e));
		sure = sure || again == DRIVER_AGAIN_ALL_SURE;
	}
	return rc;
}

static void group_commit(struct writer *w, struct list *group)
{
	struct err e = { 0 };
	size_t kept;
	int rc = group_try_again(w, group, &kept, &e);

	if (rc != 0) {
		group_fail(group, &e);
		log_error("store_commit_failed", log_err(&e));
	} else if (kept > 0) {
		atomic_fetch_add(&w->commits, 1);
		if (w->db->last_seq != 0)
			writer_tell(w, w->db->last_seq);
	}
	group_note_room(w, group, rc == 0 ? kept : 0);
}

/* Waits for work; false when there is none and the writer is to end. */
static bool group_take(struct writer *w, struct list *group)
{
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	while (w->queued[0] + w->queued[1] == 0 && !w->stopping)
		pthread_cond_wait(&w->wake, &w->lock);
	while (n < w->conf.group_max && w->queued[0] + w->queued[1] > 0) {
		struct list *it;

		w->turn = !w->turn;
		if ((it = list_first(&w->queue[w->turn])) == NULL)
			continue;
		list_remove(it);
		list_push_back(group, it);
		w->queued[w->turn]--;
		CONTAINER_OF(it, struct job, link)->state = JOB_TAKEN;
		n++;
	}
	pthread_mutex_unlock(&w->lock);
	return n > 0;
}

/* Its thread may return and take the job away as soon as the lock is free: nothing of a job is used after that. */
static void group_answer(struct writer *w, struct list *group)
{
	struct list *it;

	pthread_mutex_lock(&w->lock);
	while ((it = list_first(group)) != NULL) {
		struct job *j = CONTAINER_OF(it, struct job, link);

		list_remove(it);
		j->state = JOB_DONE;
		atomic_fetch_add(j->rc == 0 ? &w->writes : &w->failed, 1);
		pthread_cond_signal(&j->done);
	}
	pthread_mutex_unlock(&w->lock);
}

static void *work_write(void *arg)
{
	struct writer *w = arg;
	struct list group;

	list_init(&group);
	while (group_take(w, &group)) {
		group_commit(w, &group);
		group_answer(w, &group);
	}
	return NULL;
}

/* ---- the callers' side ------------------------------------------------------------------------------------------- */

static void cond_init_monotonic(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

int writer_new(struct writer **out, struct db *db, const struct writer_conf *conf, struct err *e)
{
	struct writer *w = calloc(1, sizeof *w);
	int rc;

	if (w == NULL) {
		db_free(db);
		return err_set(e, ERR_NOMEM, NULL, "database writer: out of memory");
	}
	w->db = db;
	w->conf = *conf;
	pthread_mutex_init(&w->lock, NULL);
	cond_init_monotonic(&w->wake);
	list_init(&w->queue[STORE_LOGGED]);
	list_init(&w->queue[STORE_OPERATIONAL]);
	if ((rc = pthread_create(&w->thread, NULL, work_write, w)) != 0) {
		err_set_sys(e, ERR_INTERNAL, rc, "database writer");
		goto fail;
	}
	w->started = true;
	*out = w;
	return 0;
fail:
	writer_free(w);
	return -1;
}

void writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	if (w->started) {
		pthread_mutex_lock(&w->lock);
		w->stopping = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	db_free(w->db);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static struct timespec deadline_in(uint64_t ms)
{
	uint64_t ns = clock_mono_ns() + ms * 1000000;

	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
}

/* With the lock. A job that was taken is waited for without a limit: its function may be using the caller's memory. */
static int job_wait(struct writer *w, struct job *j)
{
	struct timespec until = deadline_in(w->conf.wait_ms);

	while (j->state == JOB_QUEUED)
		if (pthread_cond_timedwait(&j->done, &w->lock, &until) == ETIMEDOUT && j->state == JOB_QUEUED) {
			list_remove(&j->link);
			w->queued[j->class]--;
			return err_set(&j->err, ERR_OVERLOADED, NULL, "database: no write within %llu ms",
				(unsigned long long)w->conf.wait_ms);
		}
	while (j->state != JOB_DONE)
		pthread_cond_wait(&j->done, &w->lock);
	return 0;
}

static int job_queue_and_wait(struct writer *w, struct job *j)
{
	int rc;

	pthread_mutex_lock(&w->lock);
	if (w->stopping) {
		rc = err_set(&j->err, ERR_UNAVAILABLE, NULL, "database: closing");
	} else if (w->queued[j->class] >= w->conf.queue_max) {
		rc = err_set(
			&j->err, ERR_OVERLOADED, NULL, "database: %u writes are waiting already", w->conf.queue_max);
	} else {
		list_push_back(&w->queue[j->class], &j->link);
		w->queued[j->class]++;
		pthread_cond_signal(&w->wake);
		rc = job_wait(w, j);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

int writer_run(struct writer *w, enum store_class class, store_fn fn, void *arg, struct err *e)
{
	struct job j = { .class = class, .fn = fn, .arg = arg, .state = JOB_QUEUED };
	int rc;

	if (pthread_equal(pthread_self(), w->thread))
		return err_set(e, ERR_INTERNAL, NULL, "database: a write inside a write");
	list_init(&j.link);
	cond_init_monotonic(&j.done);
	rc = job_queue_and_wait(w, &j);
	pthread_cond_destroy(&j.done);
	if (rc != 0)
		atomic_fetch_add(&w->busy, 1);
	else
		rc = j.rc;
	if (rc != 0 && e != NULL)
		*e = j.err;
	return rc;
}

void writer_on_commit(struct writer *w, void (*fn)(int64_t last_seq, void *arg), void *arg)
{
	pthread_mutex_lock(&w->lock);
	assert(w->n_readers < WRITER_READERS_MAX);
	w->readers[w->n_readers].fn = fn;
	w->readers[w->n_readers++].arg = arg;
	pthread_mutex_unlock(&w->lock);
}

void writer_off_commit(struct writer *w, const void *arg)
{
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_readers; i++)
		if (w->readers[i].arg == arg) {
			w->readers[i] = w->readers[--w->n_readers];
			break;
		}
	pthread_mutex_unlock(&w->lock);
}

void writer_stats(struct writer *w, struct store_stats *out)
{
	out->writes += atomic_load(&w->writes);
	out->commits += atomic_load(&w->commits);
	out->busy += atomic_load(&w->busy);
	out->failed += atomic_load(&w->failed);
	pthread_mutex_lock(&w->lock);
	out->queue += w->queued[0] + w->queued[1];
	pthread_mutex_unlock(&w->lock);
}

bool writer_disk_full(struct writer *w)
{
	return atomic_load(&w->disk_full);
}
