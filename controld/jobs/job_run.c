#include "controld/jobs/job_run.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/jobs/running.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *job_run_id(const struct job_run *r)
{
	return r->id;
}

const char *job_run_tenant(const struct job_run *r)
{
	return r->tenant_id;
}

const char *job_run_user(const struct job_run *r)
{
	return r->user_id;
}

const json_t *job_run_args(const struct job_run *r)
{
	return r->args;
}

unsigned job_run_attempt(const struct job_run *r)
{
	return (unsigned)r->failures + 1;
}

bool job_run_last(const struct job_run *r)
{
	return r->failures + 1 >= r->failures_max;
}

uint64_t job_run_left_ms(const struct job_run *r)
{
	const uint64_t now = clock_mono_ms();

	if (r->deadline_ms == UINT64_MAX)
		return UINT64_MAX;
	return r->deadline_ms > now ? r->deadline_ms - now : 0;
}

struct store *job_run_store(const struct job_run *r)
{
	return r->store;
}

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

bool job_run_stop(struct job_run *r)
{
	if (job_run_left_ms(r) == 0)
		running_tell(r, RUNNING_OVERDUE);
	return running_why(r) != RUNNING_GO_ON;
}

bool job_run_sleep(struct job_run *r, uint64_t ms)
{
	const uint64_t until_ms = clock_mono_ms() + MIN(ms, job_run_left_ms(r));
	const struct timespec until = { .tv_sec = (time_t)(until_ms / 1000),
		.tv_nsec = (long)(until_ms % 1000 * 1000000) };

	pthread_mutex_lock(&r->lock);
	while (r->stop == RUNNING_GO_ON && clock_mono_ms() < until_ms)
		pthread_cond_timedwait(&r->stopping, &r->lock, &until);
	pthread_mutex_unlock(&r->lock);
	return job_run_stop(r);
}

int job_run_ended(struct job_run *r, struct err *e)
{
	switch (running_why(r)) {
	case RUNNING_CANCELLED:
		return err_set(e, ERR_CONFLICT, NULL, "cancelled");
	case RUNNING_SHUTDOWN:
		return err_set(e, ERR_UNAVAILABLE, NULL, "stopped: the program ends");
	case RUNNING_OVERDUE:
		return err_set(e, ERR_TIMEOUT, NULL, "not done within %llu s",
			(unsigned long long)(r->deadline_ms - r->begun_ms) / 1000);
	case RUNNING_LOST:
		return err_set(e, ERR_CONFLICT, NULL, "the lease is lost");
	case RUNNING_GO_ON:
		break;
	}
	return 0;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

const char *job_run_saved(const struct job_run *r)
{
	return r->saved;
}

int job_run_save_in(struct db *tx, struct job_run *r, const char *saved, struct err *e)
{
	const struct hold h = running_hold(r);
	int n;

	if (strlen(saved) > JOB_TEXT_MAX)
		return err_set(e, ERR_TOO_LARGE, NULL, "job %s: more than %d bytes to be saved", r->id, JOB_TEXT_MAX);
	if ((n = job_hold_save(tx, &h, saved, e)) < 0)
		return -1;
	if (n == 0) {
		running_tell(r, RUNNING_LOST);
		return err_set(e, ERR_CONFLICT, NULL, "job %s: the lease is lost", r->id);
	}
	pthread_mutex_lock(&r->lock);
	r->crashes = 0;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

struct saving {
	struct job_run *r;
	const char *saved;
};

static int work_save(struct db *tx, void *arg, struct err *e)
{
	const struct saving *s = arg;

	return job_run_save_in(tx, s->r, s->saved, e);
}

int job_run_save(struct job_run *r, const char *saved, struct err *e)
{
	struct saving s = { r, saved };

	return store_write(r->store, STORE_OPERATIONAL, work_save, &s, e);
}

/* ---- what people see --------------------------------------------------------------------------------------------- */

void job_run_progress(struct job_run *r, int64_t done, int64_t failed, int64_t total)
{
	const uint64_t now = clock_mono_ms();

	pthread_mutex_lock(&r->lock);
	if (!r->counting) { /* what was done before this attempt says nothing of how fast it is now */
		r->counting = true;
		r->counting_ms = r->begun_ms;
		r->done_before = MIN(r->done, done);
	}
	r->done = done;
	r->failed = failed;
	r->total = total;
	if (now > r->counting_ms)
		r->rate = (double)(done - r->done_before) * 1000 / (double)(now - r->counting_ms);
	r->dirty = true;
	pthread_mutex_unlock(&r->lock);
}

void job_run_note(struct job_run *r, const char *what)
{
	pthread_mutex_lock(&r->lock);
	(void)str_copy(r->note, sizeof r->note, what);
	str_make_utf8(r->note);
	r->dirty = true;
	pthread_mutex_unlock(&r->lock);
}

static int work_report(struct db *tx, void *arg, struct err *e)
{
	return running_report_write(tx, arg, e);
}

/* When it says more than the keeper takes away, it waits for the disk itself. */
static void make_room(struct job_run *r)
{
	struct running_report rep;
	bool full;

	pthread_mutex_lock(&r->lock);
	full = r->n_lines == RUNNING_LINES_MAX;
	pthread_mutex_unlock(&r->lock);
	if (!full)
		return;
	if (running_report(r, &rep)) {
		struct err e = { 0 };

		if (store_write(r->store, STORE_OPERATIONAL, work_report, &rep, &e) != 0)
			log_warn("job_log_lost", log_s("job", r->id), log_u("lines", rep.n_lines), log_err(&e));
		running_reported(r, &rep); /* also then: there is no room for what cannot be written */
	}
	running_report_fini(&rep);
}

/* With the lock: its number; false when it has said enough. */
static bool number_line(struct job_run *r, struct job_line *l)
{
	static const char enough[] = "further lines are not kept";

	if (r->line_next > JOB_LINES_MAX)
		return false;
	l->n = r->line_next++;
	l->time_ms = clock_wall_ms();
	if (l->n == JOB_LINES_MAX)
		memcpy(l->text, enough, sizeof enough);
	str_make_utf8(l->text);
	return true;
}

void job_run_log(struct job_run *r, enum job_level level, const char *fmt, ...)
{
	struct job_line l = { .level = level };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(l.text, sizeof l.text, fmt, ap);
	va_end(ap);
	make_room(r);
	pthread_mutex_lock(&r->lock);
	if (r->n_lines < RUNNING_LINES_MAX && number_line(r, &l))
		r->lines[r->n_lines++] = l;
	pthread_mutex_unlock(&r->lock);
}

int job_run_log_in(struct db *tx, struct job_run *r, const char *text, struct err *e)
{
	const struct hold h = running_hold(r);
	struct job_line l = { .level = JOB_INFO };
	bool kept;

	(void)str_copy(l.text, sizeof l.text, text);
	pthread_mutex_lock(&r->lock);
	kept = number_line(r, &l);
	pthread_mutex_unlock(&r->lock);
	return kept && job_hold_lines(tx, &h, &l, 1, e) < 0 ? -1 : 0;
}

/* ---- what comes of it -------------------------------------------------------------------------------------------- */

void job_run_result(struct job_run *r, json_t *result)
{
	json_decref(r->result);
	r->result = result;
}

static void pause_for(struct job_run *r, uint64_t ms, bool again)
{
	pthread_mutex_lock(&r->lock);
	r->again = again;
	r->own_pause = true;
	r->pause_ms = ms;
	pthread_mutex_unlock(&r->lock);
}

void job_run_again_in(struct job_run *r, uint64_t ms)
{
	pause_for(r, ms, true);
}

void job_run_retry_in(struct job_run *r, uint64_t ms)
{
	pause_for(r, ms, false);
}

void job_run_give_up(struct job_run *r)
{
	pthread_mutex_lock(&r->lock);
	r->give_up = true;
	pthread_mutex_unlock(&r->lock);
}
