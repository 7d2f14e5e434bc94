#include "controld/jobs/jobs.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/jobs/follow.h"
#include "controld/jobs/job_hold.h"
#include "controld/jobs/job_log.h"
#include "controld/jobs/job_secret.h"
#include "controld/jobs/jobs_metrics.h"
#include "controld/jobs/keeper.h"
#include "controld/jobs/room.h"
#include "controld/jobs/running.h"
#include "controld/jobs/schedule.h"
#include "controld/jobs/workers.h"
#include "controld/rest/park.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

#define POLL_MS 1000 /* for what other controlds have queued */
#define STOP_MS 4000 /* after the grace: for long ones to stop at their next step */

const struct sql_table *const jobs_sql[] = { &job_sql, &job_hold_sql, &job_log_sql, &job_secret_sql, &schedule_sql };
const size_t jobs_sql_n = ARRAY_LEN(jobs_sql);
const struct erasure *const jobs_erasures[] = { &schedule_erasure, &job_erasure };
const size_t jobs_erasures_n = ARRAY_LEN(jobs_erasures);

/* ---- what happens to jobs ---------------------------------------------------------------------------------------- */

void jobs_park_key(char key[JOBS_PARK_SIZE], const char *job_id)
{
	(void)str_fmt(key, JOBS_PARK_SIZE, "job:%s", job_id);
}

void jobs_changed(struct jobs *j, const char *job_id)
{
	char key[JOBS_PARK_SIZE];

	jobs_park_key(key, job_id);
	if (j->conf.parks != NULL)
		park_wake(j->conf.parks, key);
}

static void on_changed(void *owner, const char *job_id)
{
	jobs_changed(owner, job_id);
}

static void on_taken(void *owner, const struct job_run *r, int64_t waited_ms)
{
	jobs_metrics_taken(((struct jobs *)owner)->metrics, r->queue, waited_ms);
	jobs_changed(owner, r->id);
}

static void on_ended(void *owner, const struct job_run *r, const char *outcome, uint64_t took_ms)
{
	jobs_metrics_ended(
		((struct jobs *)owner)->metrics, r->kind != NULL ? r->kind->name : "unknown", outcome, took_ms);
}

static void on_counted(void *owner, const struct job_counts *c)
{
	struct jobs *j = owner;
	int64_t waiting = 0;

	for (int q = 0; q < JOB_QUEUES; q++)
		waiting += c->n[q][JOB_QUEUED] + c->n[q][JOB_SCHEDULED];
	atomic_store(&j->waiting, (uint64_t)waiting);
	jobs_metrics_counted(j->metrics, c);
}

static int on_tick(void *owner, int64_t now_ms, struct err *e)
{
	return jobs_tick(owner, now_ms, e);
}

static int on_look(void *owner, struct err *e)
{
	struct jobs *j = owner;

	return j->follows != NULL ? follows_tick(j->follows, e) : 0;
}

/* Some transaction was committed: perhaps the one that queued something. */
static void on_commit(int64_t last_seq, void *arg)
{
	struct jobs *j = arg;

	(void)last_seq;
	if (atomic_exchange(&j->expected, false))
		workers_poke(j->workers, true);
}

/* ---- queueing ---------------------------------------------------------------------------------------------------- */

/* Long ones by their hash: what is in an index has a bound. */
static void key_of(char key[JOB_KEY_MAX + 1], const struct job_order *o, const char *what)
{
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	if (strlen(what) > 2 * SHA256_SIZE) {
		seal_sha256(what, strlen(what), digest);
		str_hex(hex, digest, sizeof digest);
		what = hex;
	}
	(void)str_fmt(key, JOB_KEY_MAX + 1, "%s/%s/%s", o->kind, o->tenant_id != NULL ? o->tenant_id : "", what);
}

static const char *or_else(const char *s, const char *otherwise)
{
	return s != NULL ? s : otherwise;
}

static int check_order(
	struct jobs *j, const struct job_order *o, const struct job_kind **kind, const json_t *args, struct err *e)
{
	struct err_list *errs;
	int rc = 0;

	if ((*kind = kinds_find(&j->kinds, o->kind, NULL)) == NULL)
		return err_set(e, ERR_VALIDATION, "kind", "kind: there are no jobs of kind '%.40s'", o->kind);
	if (atomic_load(&j->waiting) >= j->conf.waiting_max)
		return err_set(e, ERR_OVERLOADED, NULL, "%llu jobs are waiting, which is the most",
			(unsigned long long)j->conf.waiting_max);
	if ((errs = calloc(1, sizeof *errs)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "job: out of memory");
	kind_check(*kind, args, errs);
	if (errs->n > 0) {
		*e = errs->items[0];
		rc = -1;
	}
	free(errs);
	return rc;
}

struct enqueuing {
	struct jobs *jobs;
	const struct job_order *order;
	const struct job_kind *kind;
	struct job_placed *out;
};

/* Jobs that differ in a secret alone are the same: their key is of what everybody may read. */
static int insert(struct db *tx, struct enqueuing *q, const char *args, const char *secret, struct err *e)
{
	const struct job_order *o = q->order;
	const struct job_kind *kind = q->kind;
	char key[JOB_KEY_MAX + 1];
	struct job row = { .tenant_id = or_else(o->tenant_id, ""),
		.user_id = or_else(o->user_id, ""),
		.actor = or_else(o->actor, "system"),
		.request_id = or_else(o->request_id, ""),
		.schedule_id = or_else(o->schedule_id, ""),
		.kind = kind->name,
		.queue = kind->queue,
		.priority = o->priority,
		.args = args,
		.secret = secret,
		.due_ms = o->due_ms,
		.failures_max = kind->attempts };

	if (o->queue != NULL && job_queue_parse(o->queue, &row.queue) != 0)
		return err_set(e, ERR_VALIDATION, "queue", "queue: must be critical, default or low");
	if (strlen(args) + (secret != NULL ? strlen(secret) : 0) > JOB_TEXT_MAX)
		return err_set(e, ERR_TOO_LARGE, "args", "args: longer than %d bytes", JOB_TEXT_MAX);
	if (o->key != NULL || (kind->flags & JOB_UNIQUE) != 0) {
		key_of(key, o, o->key != NULL ? o->key : args);
		row.unique_key = key;
	}
	if (job_insert(tx, &row, clock_wall_ms(), q->out->id, &q->out->there, e) != 0)
		return -1;
	atomic_store(&q->jobs->expected, true);
	return 0;
}

static int work_enqueue(struct db *tx, void *arg, struct err *e)
{
	struct enqueuing *q = arg;
	json_t *none = json_object();
	const json_t *args = q->order->args != NULL ? q->order->args : none;
	char *open = NULL, *secret = NULL;
	int rc;

	q->out->there = false;
	if ((rc = check_order(q->jobs, q->order, &q->kind, args, e)) == 0 &&
		(rc = job_secret_split(q->kind, args, &open, &secret, e)) == 0)
		rc = insert(tx, q, open, secret, e);
	free(open);
	job_secret_free(secret);
	json_decref(none);
	return rc;
}

int jobs_enqueue_in(struct jobs *j, struct db *tx, const struct job_order *o, struct job_placed *out, struct err *e)
{
	struct enqueuing q = { .jobs = j, .order = o, .out = out };

	return work_enqueue(tx, &q, e);
}

int jobs_enqueue(struct jobs *j, const struct job_order *o, struct job_placed *out, struct err *e)
{
	struct enqueuing q = { .jobs = j, .order = o, .out = out };

	if (store_write(j->conf.store, STORE_OPERATIONAL, work_enqueue, &q, e) != 0)
		return -1;
	workers_poke(j->workers, false);
	return 0;
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

struct cancelling {
	const struct job_by *by;
	enum job_state now;
};

static int work_cancel(struct db *tx, void *arg, struct err *e)
{
	struct cancelling *c = arg;

	return job_cancel(tx, c->by, &c->now, e);
}

int jobs_cancel(struct jobs *j, const struct job_by *by, bool *running, struct err *e)
{
	struct cancelling c = { .by = by };

	if (store_write(j->conf.store, STORE_LOGGED, work_cancel, &c, e) != 0)
		return -1;
	*running = c.now == JOB_RUNNING;
	if (*running)
		workers_cancel(j->workers, by->id);
	jobs_changed(j, by->id);
	return 0;
}

/* ---- upkeep ------------------------------------------------------------------------------------------------------ */

#define CLEAN_BATCH 200

struct cleaning {
	int64_t before_ms, dead_before_ms;
	unsigned n;
};

static int work_clean(struct db *tx, void *arg, struct err *e)
{
	struct cleaning *c = arg;

	return job_prune(tx, c->before_ms, c->dead_before_ms, CLEAN_BATCH, &c->n, e);
}

int jobs_clean(struct jobs *j, int64_t now_ms, struct err *e)
{
	struct cleaning c = { now_ms - (int64_t)j->conf.keep_ms, now_ms - (int64_t)j->conf.keep_dead_ms, 0 };

	do {
		if (store_write(j->conf.store, STORE_OPERATIONAL, work_clean, &c, e) != 0)
			return -1;
	} while (c.n == CLEAN_BATCH);
	return 0;
}

struct route_table jobs_routes(struct jobs *j)
{
	return (struct route_table){ jobs_rows, jobs_rows_n, j };
}

struct metrics *jobs_metrics(struct jobs *j)
{
	return jobs_metrics_registry(j->metrics);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int parts_new(struct jobs *j, struct err *e)
{
	const struct jobs_conf *c = &j->conf;
	const struct workers_conf workers = { .store = c->store,
		.self = c->self,
		.kinds = &j->kinds,
		.workers = c->workers,
		.poll_ms = POLL_MS,
		.grace_ms = c->grace_ms,
		.stop_ms = STOP_MS,
		.watch = { on_taken, on_ended, on_changed, j } };
	struct follows_conf follows = { c->store, c->loop, &j->kinds, NULL };
	struct keeper_conf keeper = { .store = c->store,
		.self = c->self,
		.shared = c->shared,
		.lease_ms = c->lease_ms,
		.tick = on_tick,
		.look = on_look,
		.changed = on_changed,
		.counted = on_counted,
		.owner = j };

	if (jobs_metrics_new(&j->metrics, c->workers, e) != 0 || workers_new(&j->workers, &workers, e) != 0)
		return -1;
	follows.metrics = j->metrics;
	if (c->loop != NULL && follows_new(&j->follows, &follows, e) != 0)
		return -1;
	jobs_metrics_of(j->metrics, j->workers);
	keeper.workers = j->workers;
	return keeper_new(&j->keeper, &keeper, e);
}

int jobs_new(struct jobs **out, const struct jobs_conf *conf, struct err *e)
{
	struct jobs *j = calloc(1, sizeof *j);

	if (j == NULL)
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	j->conf = *conf;
	jobs_add_kinds(j, (struct job_kinds){ check_job_kinds, check_job_kinds_n, j });
	if (parts_new(j, e) != 0)
		goto fail;
	*out = j;
	return 0;
fail:
	jobs_free(j);
	return -1;
}

void jobs_add_kinds(struct jobs *j, struct job_kinds kinds)
{
	kinds_add(&j->kinds, kinds);
}

int jobs_start(struct jobs *j, struct err *e)
{
	if (job_secret_adopt(j->conf.store, &j->kinds, e) != 0 || keeper_start(j->keeper, e) != 0 ||
		workers_start(j->workers, e) != 0)
		return -1;
	changes_on_commit(j->conf.store, on_commit, j);
	return 0;
}

void jobs_wind_down(struct jobs *j)
{
	workers_wind_down(j->workers);
}

void jobs_stop(struct jobs *j)
{
	if (j == NULL)
		return;
	changes_off_commit(j->conf.store, j);
	if (j->workers != NULL)
		workers_stop(j->workers);
	if (j->keeper != NULL)
		keeper_stop(j->keeper);
}

void jobs_free(struct jobs *j)
{
	if (j == NULL)
		return;
	jobs_stop(j);
	keeper_free(j->keeper);
	workers_free(j->workers);
	follows_free(j->follows);
	jobs_metrics_free(j->metrics);
	free(j);
}
