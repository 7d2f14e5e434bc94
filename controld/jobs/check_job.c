/*
 * check - a job that shows that jobs work: steps that do nothing but are written down, each in one transaction with the
 * state that it leaves. However often its worker dies, its log has each step once.
 */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/jobs/job_run.h"
#include "controld/jobs/room.h"
#include "controld/store/store.h"

#include <inttypes.h>

#define STEPS_MAX 1000000

struct step {
	struct job_run *run;
	int64_t n;
};

static int work_step(struct db *tx, void *arg, struct err *e)
{
	const struct step *s = arg;
	char text[40];

	(void)str_fmt(text, sizeof text, "%" PRId64, s->n);
	if (job_run_save_in(tx, s->run, text, e) != 0)
		return -1;
	(void)str_fmt(text, sizeof text, "step %" PRId64, s->n);
	return job_run_log_in(tx, s->run, text, e);
}

static int64_t number(const struct job_run *r, const char *name, int64_t otherwise)
{
	const json_t *v = json_object_get(job_run_args(r), name);

	return v != NULL ? json_integer_value(v) : otherwise;
}

static void tell_result(struct job_run *r, int64_t steps)
{
	const json_t *secret = json_object_get(job_run_args(r), "secret");
	json_t *result = json_pack("{s:I}", "steps", (json_int_t)steps);

	if (secret != NULL)
		(void)json_object_set_new(
			result, "secret_length", json_integer((json_int_t)json_string_length(secret)));
	job_run_result(r, result);
}

static int run_check(void *feature, struct job_run *r, struct err *e)
{
	const int64_t steps = number(r, "steps", 1), step_ms = number(r, "step_ms", 0);
	const bool record = !json_is_false(json_object_get(job_run_args(r), "record"));
	struct step s = { r, 0 };

	(void)feature;
	if (str_to_i64(job_run_saved(r), 0, STEPS_MAX, &s.n) != 0)
		s.n = 0;
	if ((int64_t)job_run_attempt(r) <= number(r, "failures", 0))
		return err_set(e, ERR_UNAVAILABLE, NULL, "attempt %u was to fail", job_run_attempt(r));
	while (s.n < steps && !(step_ms > 0 ? job_run_sleep(r, (uint64_t)step_ms) : job_run_stop(r))) {
		s.n++;
		if (record && store_write(job_run_store(r), STORE_OPERATIONAL, work_step, &s, e) != 0)
			return -1;
		job_run_progress(r, s.n, 0, steps);
	}
	tell_result(r, s.n);
	return job_run_ended(r, e);
}

static const struct schema_field fields[] = {
	{ .name = "steps", .type = SCHEMA_INT, .min = 0, .max = STEPS_MAX, .help = "default 1" },
	{ .name = "step_ms", .type = SCHEMA_INT, .min = 0, .max = 3600000, .help = "how long each takes; default 0" },
	{ .name = "failures",
		.type = SCHEMA_INT,
		.min = 0,
		.max = 100,
		.help = "how many attempts fail first; default 0" },
	{ .name = "record", .type = SCHEMA_BOOL, .help = "write each step down; default true" },
	{ .name = "label", .type = SCHEMA_STRING, .max = 200, .help = "anything, to know it by" },
	{ .name = "secret",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_SECRET,
		.max = 200,
		.help = "anything that nobody is to see; the result has its length" },
};
static const struct schema args = { "JobCheck", fields, ARRAY_LEN(fields), false };

const struct job_kind check_job_kinds[] = {
	{ "check", JOB_DEFAULT, 5, 24 * 3600 * 1000ull, 1000, 60000, 0, PERM_SYSTEM, &args, run_check,
		"Steps that do nothing but are written down: shows that jobs work" },
};
const size_t check_job_kinds_n = ARRAY_LEN(check_job_kinds);
