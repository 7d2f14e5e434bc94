#include "controld/jobs/ending.h"

#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

static void say(struct ending *x, const struct err *e)
{
	x->err = *e;
	if (x->err.code == ERR_NONE)
		err_set(&x->err, ERR_INTERNAL, NULL, "it failed without a reason");
	x->end.error_code = err_api(x->err.code);
	x->end.error = x->err.msg;
}

static void become(struct ending *x, enum job_state state, const char *outcome)
{
	x->end.state = state;
	x->outcome = outcome;
}

static void come_again(struct ending *x, uint64_t pause_ms)
{
	x->end.state = pause_ms > 0 ? JOB_SCHEDULED : JOB_QUEUED;
	x->end.due_ms = x->end.now_ms + (int64_t)MIN(pause_ms, INT64_MAX / 2);
}

static void fail(struct ending *x, const struct job_run *r, const struct err *e)
{
	uint64_t pause_ms = r->own_pause ? r->pause_ms : 0;

	say(x, e);
	x->end.failures = r->failures + 1;
	if (r->give_up || x->end.failures >= r->failures_max) {
		become(x, JOB_DEAD, "dead");
		return;
	}
	if (!r->own_pause && r->kind != NULL)
		pause_ms = rand_backoff_ms((unsigned)r->failures, r->kind->backoff_ms, r->kind->backoff_max_ms);
	come_again(x, pause_ms);
	x->outcome = "failed";
}

static void succeed(struct ending *x, const struct job_run *r)
{
	x->end.failures = r->again ? 0 : r->failures;
	if (r->again) {
		come_again(x, r->pause_ms);
		x->outcome = "again";
		return;
	}
	become(x, JOB_COMPLETED, "completed");
	x->end.error_code = x->end.error = "";
	x->result = r->result != NULL ? json_dumps(r->result, JSON_COMPACT) : NULL;
	if (x->result != NULL && strlen(x->result) > JOB_TEXT_MAX) {
		free(x->result);
		x->result = NULL;
	}
	x->end.result = x->result;
}

void ending_decide(struct ending *x, const struct job_run *r, int rc, const struct err *e, enum running_stop why)
{
	memset(x, 0, sizeof *x);
	(void)str_copy(x->id, sizeof x->id, r->id);
	x->lease = r->lease;
	x->end = (struct hold_end){ .now_ms = clock_wall_ms(), .failures = r->failures, .crashes = r->crashes };
	if (why == RUNNING_LOST) {
		x->outcome = "lost";
		x->lost = true;
	} else if (r->kind == NULL) {
		err_set(&x->err, ERR_UNAVAILABLE, NULL, "no controld here knows jobs of kind %.40s", r->kind_name);
		x->end.error_code = err_api(x->err.code);
		x->end.error = x->err.msg;
		come_again(x, ENDING_UNKNOWN_MS);
		x->outcome = "again";
	} else if (rc == 0) {
		succeed(x, r);
	} else if (why == RUNNING_CANCELLED) {
		become(x, JOB_CANCELLED, "cancelled");
	} else if (why == RUNNING_SHUTDOWN) {
		become(x, JOB_QUEUED, "put_back");
	} else {
		fail(x, r, e);
	}
}

struct telling {
	struct db *tx;
	struct err *e;
};

/* Its end is a change. */
static int on_ended(const struct job *j, void *arg)
{
	const struct telling *t = arg;
	const struct job_by by = { .actor = "system", .request_id = j->request_id, .now_ms = j->ended_ms };

	return job_note_row(t->tx, j, &by, job_state_name(j->state), t->e);
}

static int work_end(struct db *tx, void *arg, struct err *e)
{
	struct ending *x = arg;
	const struct hold h = { x->id, x->lease };
	struct hold_progress progress = x->report.values;
	struct telling t = { tx, e };
	struct hold_end end = x->end;
	int n;

	progress.note = x->report.note;
	end.progress = x->report.progress ? &progress : NULL;
	end.fn = on_ended;
	end.arg = &t;
	if (job_hold_lines(tx, &h, x->report.lines, x->report.n_lines, e) < 0 ||
		(n = job_hold_end(tx, &h, &end, e)) < 0)
		return -1;
	x->lost = n == 0;
	return 0;
}

int ending_write(struct ending *x, struct store *store, struct err *e)
{
	const bool ended = job_state_ended(x->end.state);

	return store_write(store, ended ? STORE_LOGGED : STORE_OPERATIONAL, work_end, x, e);
}

void ending_fini(struct ending *x)
{
	running_report_fini(&x->report);
	free(x->result);
}
