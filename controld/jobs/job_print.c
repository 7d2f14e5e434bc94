/* A job as the API prints it. */
#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "controld/jobs/job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_rate(struct buf *b, const struct job *j)
{
	char rate[32];

	(void)snprintf(rate, sizeof rate, "%.3f", j->rate);
	jsonw_raw(b, "rate", rate, strlen(rate));
	if (j->state == JOB_RUNNING && j->rate > 0 && j->total > j->done)
		jsonw_int(b, "eta_seconds", (int64_t)((double)(j->total - j->done) / j->rate + 0.5));
	else
		jsonw_null(b, "eta_seconds");
}

static void print_progress(struct buf *b, const struct job *j)
{
	jsonw_object(b, "progress");
	jsonw_int(b, "total", j->total);
	jsonw_int(b, "done", j->done);
	jsonw_int(b, "failed", j->failed);
	if (j->total > 0)
		jsonw_int(b, "percent", MIN(j->done, j->total) * 100 / j->total);
	else
		jsonw_null(b, "percent");
	print_rate(b, j);
	jsonw_str_or_null(b, "note", j->note);
	jsonw_end_object(b);
}

static void print_error(struct buf *b, const struct job *j)
{
	if (*j->error == '\0') {
		jsonw_null(b, "error");
		return;
	}
	jsonw_object(b, "error");
	jsonw_str(b, "code", j->error_code);
	jsonw_str(b, "message", j->error);
	jsonw_end_object(b);
}

static void print_members(struct buf *b, const struct job *j)
{
	jsonw_str(b, "id", j->id);
	jsonw_str(b, "kind", j->kind);
	jsonw_str(b, "queue", job_queue_name(j->queue));
	jsonw_str(b, "state", job_state_name(j->state));
	jsonw_str_or_null(b, "tenant_id", j->tenant_id);
	jsonw_str_or_null(b, "user_id", j->user_id);
	jsonw_str_or_null(b, "schedule_id", j->schedule_id);
	jsonw_int(b, "priority", j->priority);
	jsonw_str(b, "unique_key", j->unique_key);
	jsonw_int(b, "attempt", j->failures + (j->state == JOB_DEAD ? 0 : 1));
	jsonw_int(b, "failures", j->failures);
	jsonw_int(b, "attempts_max", j->failures_max);
	print_progress(b, j);
	print_error(b, j);
	jsonw_bool(b, "cancel_requested", j->cancel);
	jsonw_time(b, "created_at", j->created_ms);
	jsonw_time(b, "due_at", j->due_ms);
	jsonw_time(b, "started_at", j->started_ms);
	jsonw_time(b, "ended_at", j->ended_ms);
	jsonw_int(b, "version", j->version);
}

void job_print_short(struct buf *b, const struct job *j)
{
	jsonw_object(b, NULL);
	print_members(b, j);
	jsonw_end_object(b);
}

void job_print(struct buf *b, const struct job *j, const struct job_kind *kind)
{
	jsonw_object(b, NULL);
	print_members(b, j);
	kind_print_args(b, kind, j->args);
	if (j->result != NULL)
		jsonw_raw(b, "result", j->result, strlen(j->result));
	else
		jsonw_null(b, "result");
	jsonw_str_or_null(b, "holder", j->holder);
	jsonw_end_object(b);
}
