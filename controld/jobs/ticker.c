/* Starts what schedules say. */
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/jobs/job_hold.h"
#include "controld/jobs/room.h"
#include "controld/jobs/schedule.h"

#include <stdlib.h>
#include <string.h>

#define DUE_MAX     20
#define TROUBLE_MS  60000 /* until a schedule that itself cannot be run is looked at again */
#define SET_BACK_MS 60000 /* clocks of machines, and corrections of a clock, differ by less */

struct due {
	struct schedule all[DUE_MAX];
	size_t n;
};

static int on_due(const struct schedule *s, void *arg)
{
	struct due *d = arg;

	d->all[d->n++] = *s;
	return 0;
}

struct running_schedule {
	struct jobs *jobs;
	const struct schedule *schedule;
	struct schedule_step step;
	json_t *args;
	struct job_placed job;
	bool first; /* of all controlds, here */
};

static int enqueue(struct db *tx, struct running_schedule *r, struct err *e)
{
	const struct schedule *s = r->schedule;
	const struct job_kind *kind = kinds_find(&r->jobs->kinds, s->kind, NULL);
	char key[RAND_ID_SIZE];
	const struct job_order order = { .kind = s->kind,
		.tenant_id = s->tenant_id,
		.user_id = s->user_id,
		.actor = "schedule",
		.schedule_id = s->id,
		.args = r->args,
		.key = kind != NULL && (kind->flags & JOB_UNIQUE) != 0 ? NULL : key };

	(void)str_copy(key, sizeof key, s->id);
	if (jobs_enqueue_in(r->jobs, tx, &order, &r->job, e) != 0)
		return -1;
	return schedule_note_job(tx, s->id, r->job.id, e);
}

static int work_run(struct db *tx, void *arg, struct err *e)
{
	struct running_schedule *r = arg;
	const int n = schedule_step(tx, &r->step, e);

	r->first = n > 0;
	if (n <= 0)
		return n;
	return r->step.ran ? enqueue(tx, r, e) : 0;
}

/* What was due until now, of which the last may be run, and when it is due next. */
static int plan(const struct schedule *s, int64_t now_ms, struct schedule_step *step, struct err *e)
{
	int64_t next = s->next_ms, last = next, runs = 0;

	while (next > 0 && next <= now_ms && runs < SCHEDULE_MISSED_MAX) {
		runs++;
		last = next;
		if (schedule_next(s, next, &next, e) != 0)
			return -1;
	}
	if (next > 0 && next <= now_ms && schedule_next(s, now_ms, &next, e) != 0)
		return -1;
	*step = (struct schedule_step){ .id = s->id, .from_ms = s->next_ms, .to_ms = next, .due_ms = last };
	step->ran = s->run_missed || now_ms - last <= SCHEDULE_LATE_MS;
	step->missed = runs - step->ran;
	return 0;
}

static int put_off(struct jobs *j, const struct schedule *s, int64_t now_ms, const struct err *why, struct err *e)
{
	struct running_schedule r = { .jobs = j,
		.schedule = s,
		.step = { .id = s->id, .from_ms = s->next_ms, .to_ms = now_ms + TROUBLE_MS, .missed = 1 } };

	log_warn("schedule_not_run", log_s("schedule", s->id), log_s("kind", s->kind), log_err(why));
	return store_write(j->conf.store, STORE_OPERATIONAL, work_run, &r, e);
}

static int run(struct jobs *j, const struct schedule *s, int64_t now_ms, struct err *e)
{
	struct running_schedule r = { .jobs = j, .schedule = s, .args = json_loads(s->args, 0, NULL) };
	struct err why = { 0 };
	int rc = plan(s, now_ms, &r.step, &why);

	if (rc == 0)
		rc = store_write(j->conf.store, STORE_OPERATIONAL, work_run, &r, &why);
	json_decref(r.args);
	if (rc != 0 && err_retryable(why.code)) { /* no fault of this one: it stays due, and the next tick runs it */
		*e = why;
		return -1;
	}
	if (rc != 0)
		return put_off(j, s, now_ms, &why, e);
	if (r.first && r.step.ran)
		log_info("schedule_run", log_s("schedule", s->id), log_s("job", r.job.id),
			log_i("due_ms", r.step.due_ms));
	else if (r.first)
		log_warn("schedule_missed", log_s("schedule", s->id), log_i("runs", r.step.missed));
	return 0;
}

/* ---- a clock that was set back ------------------------------------------------------------------------------------ */

struct setting_back {
	int64_t now_ms;
	unsigned jobs, schedules; /* that were moved */
	struct due page;
};

/*
 * Its next time, as the clock stands. Where the clock went back by so little that the run just done is still to come, or
 * another machine's is ahead by as much, that run is not done once more.
 */
static int next_from_now(const struct schedule *s, int64_t now_ms, int64_t *next_ms, struct err *e)
{
	const bool ran = s->last_ms > now_ms && s->last_ms <= now_ms + SET_BACK_MS;

	return schedule_next(s, ran ? s->last_ms : now_ms, next_ms, e);
}

static int work_set_back(struct db *tx, void *arg, struct err *e)
{
	struct setting_back *b = arg;

	for (size_t i = 0; i < b->page.n; i++) {
		const struct schedule *s = &b->page.all[i];
		struct schedule_step step = { .id = s->id, .from_ms = s->next_ms };
		struct err why;
		int n;

		if (s->next_ms <= b->now_ms || next_from_now(s, b->now_ms, &step.to_ms, &why) != 0 || step.to_ms == 0 ||
			step.to_ms >= s->next_ms)
			continue;
		if ((n = schedule_step(tx, &step, e)) < 0)
			return -1;
		b->schedules += (unsigned)n;
	}
	return 0;
}

static int work_hurry(struct db *tx, void *arg, struct err *e)
{
	struct setting_back *b = arg;

	return job_hold_hurry(tx, b->now_ms, b->now_ms + SET_BACK_MS, &b->jobs, e);
}

/* All of them, some at a time. */
static int look_at_schedules(struct jobs *j, struct setting_back *b, struct err *e)
{
	char after[RAND_ID_SIZE] = "";

	do {
		struct db *db;
		int rc;

		b->page.n = 0;
		if (store_read_begin(j->conf.store, &db, e) != 0)
			return -1;
		rc = schedule_list(db, "", after, DUE_MAX, on_due, &b->page, e);
		store_read_end(db);
		if (rc != 0 ||
			(b->page.n > 0 && store_write(j->conf.store, STORE_OPERATIONAL, work_set_back, b, e) != 0))
			return -1;
		if (b->page.n > 0)
			(void)str_copy(after, sizeof after, b->page.all[b->page.n - 1].id);
	} while (b->page.n == DUE_MAX);
	return 0;
}

/* What was to be done in a moment is not put off by as much as the clock was set back. */
static int on_set_back(struct jobs *j, int64_t now_ms, struct err *e)
{
	struct setting_back *b = calloc(1, sizeof *b);
	int rc;

	if (b == NULL)
		return err_set(e, ERR_NOMEM, NULL, "schedules: out of memory");
	b->now_ms = now_ms;
	if ((rc = store_write(j->conf.store, STORE_OPERATIONAL, work_hurry, b, e)) == 0)
		rc = look_at_schedules(j, b, e);
	if (b->jobs > 0 || b->schedules > 0)
		log_warn("clock_set_back", log_u("jobs", b->jobs), log_u("schedules", b->schedules));
	free(b);
	return rc;
}

/* ---- every second ------------------------------------------------------------------------------------------------- */

static int run_due(struct jobs *j, int64_t now_ms, struct err *e)
{
	struct due *due = calloc(1, sizeof *due);
	struct db *db;
	int rc;

	if (due == NULL)
		return err_set(e, ERR_NOMEM, NULL, "schedules: out of memory");
	if (store_read_begin(j->conf.store, &db, e) != 0) {
		free(due);
		return -1;
	}
	rc = schedule_due(db, now_ms, DUE_MAX, on_due, due, e);
	store_read_end(db);
	for (size_t i = 0; i < due->n && rc == 0; i++)
		rc = run(j, &due->all[i], now_ms, e);
	free(due);
	return rc;
}

/* At the first one too: the clock may have been set back while nobody looked. */
int jobs_tick(struct jobs *j, int64_t now_ms, struct err *e)
{
	if ((j->ticked_ms == 0 || now_ms < j->ticked_ms) && on_set_back(j, now_ms, e) != 0)
		return -1;
	j->ticked_ms = now_ms;
	return run_due(j, now_ms, e);
}
