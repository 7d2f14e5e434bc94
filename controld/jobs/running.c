#include "controld/jobs/running.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/jobs/job_secret.h"

#include <stdlib.h>
#include <string.h>

static void cond_init_monotonic(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static void take_row(struct job_run *r, const struct job *j)
{
	(void)str_copy(r->id, sizeof r->id, j->id);
	(void)str_copy(r->tenant_id, sizeof r->tenant_id, j->tenant_id);
	(void)str_copy(r->user_id, sizeof r->user_id, j->user_id);
	(void)str_copy(r->request_id, sizeof r->request_id, j->request_id);
	(void)str_copy(r->kind_name, sizeof r->kind_name, j->kind);
	(void)str_copy(r->note, sizeof r->note, j->note);
	r->queue = j->queue;
	r->lease = j->lease;
	r->failures = j->failures;
	r->failures_max = j->failures_max;
	r->crashes = j->crashes;
	r->due_ms = j->due_ms;
	r->total = j->total;
	r->done = j->done;
	r->failed = j->failed;
	r->line_next = j->log_next;
	r->begun_ms = clock_mono_ms();
	r->deadline_ms = UINT64_MAX;
}

/* What cannot be opened is this job's trouble alone: the others of its batch are taken. */
static void take_args(struct job_run *r, struct db *tx, const struct job *j)
{
	if ((r->args = json_loads(j->args, 0, NULL)) == NULL)
		r->args = json_object();
	if (r->args != NULL)
		(void)!job_secret_open(tx, j->id, j->sealed, j->sealed_n, r->args, &r->unread);
}

int running_new(struct job_run **out, struct db *tx, const struct job *j, struct err *e)
{
	struct job_run *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "job %s: out of memory", j->id);
	list_init(&r->link);
	pthread_mutex_init(&r->lock, NULL);
	cond_init_monotonic(&r->stopping);
	take_row(r, j);
	r->saved = strdup(j->saved);
	r->lines = calloc(RUNNING_LINES_MAX, sizeof *r->lines);
	take_args(r, tx, j);
	if (r->saved == NULL || r->lines == NULL || r->args == NULL) {
		err_set(e, ERR_NOMEM, NULL, "job %s: out of memory", j->id);
		goto fail;
	}
	*out = r;
	return 0;
fail:
	running_free(r);
	return -1;
}

void running_free(struct job_run *r)
{
	if (r == NULL)
		return;
	json_decref(r->args);
	json_decref(r->result);
	free(r->saved);
	free(r->lines);
	pthread_cond_destroy(&r->stopping);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

struct hold running_hold(const struct job_run *r)
{
	return (struct hold){ r->id, r->lease };
}

void running_tell(struct job_run *r, enum running_stop why)
{
	pthread_mutex_lock(&r->lock);
	if (r->stop == RUNNING_GO_ON || why == RUNNING_LOST)
		r->stop = why;
	pthread_cond_broadcast(&r->stopping);
	pthread_mutex_unlock(&r->lock);
}

enum running_stop running_why(struct job_run *r)
{
	enum running_stop why;

	pthread_mutex_lock(&r->lock);
	why = r->stop;
	pthread_mutex_unlock(&r->lock);
	return why;
}

/* ---- reporting --------------------------------------------------------------------------------------------------- */

bool running_report(struct job_run *r, struct running_report *rep)
{
	memset(rep, 0, sizeof *rep);
	pthread_mutex_lock(&r->lock);
	(void)str_copy(rep->id, sizeof rep->id, r->id);
	rep->lease = r->lease;
	rep->progress = r->dirty;
	rep->values = (struct hold_progress){ r->total, r->done, r->failed, r->rate, NULL };
	memcpy(rep->note, r->note, sizeof rep->note);
	r->dirty = false;
	if (r->n_lines > 0 && (rep->lines = calloc(r->n_lines, sizeof *rep->lines)) != NULL) {
		memcpy(rep->lines, r->lines, r->n_lines * sizeof *rep->lines);
		rep->n_lines = r->n_lines;
	}
	pthread_mutex_unlock(&r->lock);
	return rep->progress || rep->n_lines > 0;
}

int running_report_write(struct db *tx, const struct running_report *rep, struct err *e)
{
	const struct hold h = { rep->id, rep->lease };
	struct hold_progress p = rep->values;

	p.note = rep->note;
	if (rep->progress && job_hold_progress(tx, &h, &p, e) < 0)
		return -1;
	return job_hold_lines(tx, &h, rep->lines, rep->n_lines, e) < 0 ? -1 : 0;
}

void running_reported(struct job_run *r, const struct running_report *rep)
{
	size_t gone = 0;

	if (rep->n_lines == 0)
		return;
	pthread_mutex_lock(&r->lock);
	while (gone < r->n_lines && r->lines[gone].n <= rep->lines[rep->n_lines - 1].n)
		gone++;
	r->n_lines -= gone;
	memmove(r->lines, r->lines + gone, r->n_lines * sizeof *r->lines);
	pthread_mutex_unlock(&r->lock);
}

void running_report_fini(struct running_report *rep)
{
	free(rep->lines);
	rep->lines = NULL;
}
