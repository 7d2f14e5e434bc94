/* jobs: what is promised of a job, with workers that really work; on one database, and with two controlds on it. */
#include "controld/jobs/jobs.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/jobs/job.h"
#include "controld/jobs/job_hold.h"
#include "controld/jobs/job_run.h"
#include "controld/jobs/room.h"
#include "controld/jobs/workers.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;

/* ---- a kind that does as it is told ---------------------------------------------------------------------------------- */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int begun, stopped;
	bool two;  /* controlds */
	bool open; /* what waits at the gate may pass */
	char order[256];
} world;

static void world_note(int *counter, char letter)
{
	pthread_mutex_lock(&world.lock);
	++*counter;
	if (strlen(world.order) < sizeof world.order - 1)
		world.order[strlen(world.order)] = letter;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
}

static void world_wait(const int *counter, int n)
{
	pthread_mutex_lock(&world.lock);
	while (*counter < n)
		pthread_cond_wait(&world.changed, &world.lock);
	pthread_mutex_unlock(&world.lock);
}

static void world_open(void)
{
	pthread_mutex_lock(&world.lock);
	world.open = true;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
}

static const char *arg_of(const struct job_run *r, const char *name)
{
	const char *s = json_string_value(json_object_get(job_run_args(r), name));

	return s != NULL ? s : "";
}

static int run_simple(void *feature, struct job_run *r, struct err *e)
{
	const char *what = arg_of(r, "what");

	(void)feature;
	world_note(&world.begun, *arg_of(r, "letter"));
	if (str_eq(what, "fail"))
		return err_set(e, ERR_UNAVAILABLE, NULL, "attempt %u failed", job_run_attempt(r));
	if (str_eq(what, "fail once") && job_run_attempt(r) == 1) {
		job_run_retry_in(r, 0);
		return err_set(e, ERR_UNAVAILABLE, NULL, "attempt 1 failed");
	}
	if (str_eq(what, "hopeless")) {
		job_run_give_up(r);
		return err_set(e, ERR_VALIDATION, NULL, "it is in vain");
	}
	if (str_eq(what, "again") && *job_run_saved(r) == '\0') {
		job_run_again_in(r, 1);
		return job_run_save(r, "once", e);
	}
	job_run_log(r, JOB_WARN, "did %s", what);
	job_run_progress(r, 3, 1, 4);
	job_run_result(r, json_pack("{s:s}", "did", what));
	return 0;
}

/* Until it is told to stop. */
static int run_long(void *feature, struct job_run *r, struct err *e)
{
	(void)feature;
	world_note(&world.begun, 'L');
	while (!job_run_sleep(r, 60000))
		;
	world_note(&world.stopped, 'S');
	return job_run_ended(r, e);
}

/* Deaf: until the gate is opened. What it saves then counts only if it still has the lease. */
static int run_deaf(void *feature, struct job_run *r, struct err *e)
{
	(void)feature;
	world_note(&world.begun, 'D');
	pthread_mutex_lock(&world.lock);
	while (!world.open)
		pthread_cond_wait(&world.changed, &world.lock);
	pthread_mutex_unlock(&world.lock);
	job_run_log(r, JOB_INFO, "the gate is open");
	if (job_run_save(r, arg_of(r, "what"), e) != 0) {
		world_note(&world.stopped, 'F');
		return -1;
	}
	return 0;
}

static const struct schema_field fields[] = {
	{ .name = "what", .type = SCHEMA_STRING },
	{ .name = "letter", .type = SCHEMA_STRING },
	{ .name = "secret", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET },
};
static const struct schema args_schema = { NULL, fields, ARRAY_LEN(fields), false };
static const struct job_kind kinds[] = {
	{ "simple", JOB_DEFAULT, 3, 0, 1, 1, 0, PERM_PUBLIC, &args_schema, run_simple, "" },
	{ "unique", JOB_DEFAULT, 3, 0, 1, 1, JOB_UNIQUE, PERM_PUBLIC, &args_schema, run_long, "" },
	{ "long", JOB_DEFAULT, 3, 0, 1, 1, 0, PERM_PUBLIC, &args_schema, run_long, "" },
	{ "hasty", JOB_DEFAULT, 1, 20, 1, 1, 0, PERM_PUBLIC, &args_schema, run_long, "" },
	{ "deaf", JOB_DEFAULT, 3, 0, 1, 1, 0, PERM_PUBLIC, &args_schema, run_deaf, "" },
};

/* ---- the world ------------------------------------------------------------------------------------------------------- */
static struct jobs *open_jobs(const char *self, unsigned workers)
{
	const struct jobs_conf conf = { .store = t.store,
		.self = self,
		.shared = world.two || test_store_on_postgres(), /* SQLite has two in one process as well */
		.workers = workers,
		.grace_ms = 50,
		.lease_ms = world.two ? 60000 : 300, /* nobody is taken for dead who is only slow */
		.keep_ms = 1000000,
		.keep_dead_ms = 5000000,
		.waiting_max = 1000 };
	struct jobs *j;
	struct err e;

	TEST_STORE_MUST(jobs_new(&j, &conf, &e), e);
	jobs_add_kinds(j, (struct job_kinds){ kinds, ARRAY_LEN(kinds), NULL });
	return j;
}

static struct jobs *start_jobs(const char *self, unsigned workers)
{
	struct jobs *j = open_jobs(self, workers);
	struct err e;

	TEST_STORE_MUST(jobs_start(j, &e), e);
	return j;
}

static struct job_placed put(struct jobs *j, const char *kind, const char *what, struct job_order o)
{
	json_t *args = json_pack("{s:s, s:s}", "what", what, "letter", *what != '\0' ? what : "-");
	struct job_placed placed;
	struct err e;

	o.kind = kind;
	o.args = args;
	TEST_STORE_MUST(jobs_enqueue(j, &o, &placed, &e), e);
	json_decref(args);
	return placed;
}

#define PUT(j, kind, what, ...) put(j, kind, what, (struct job_order){ .actor = NULL, ##__VA_ARGS__ })

struct copy {
	enum job_state state;
	int64_t failures, crashes, lease, done, failed, total;
	char result[100], error[200], error_code[40], saved[100], holder[40];
	bool cancel;
};

static int on_copied(const struct job *j, void *arg)
{
	struct copy *c = arg;

	*c = (struct copy){ .state = j->state,
		.failures = j->failures,
		.crashes = j->crashes,
		.lease = j->lease,
		.done = j->done,
		.failed = j->failed,
		.total = j->total,
		.cancel = j->cancel };
	str_copy(c->result, sizeof c->result, j->result != NULL ? j->result : "");
	str_copy(c->error, sizeof c->error, j->error);
	str_copy(c->error_code, sizeof c->error_code, j->error_code);
	str_copy(c->saved, sizeof c->saved, j->saved);
	str_copy(c->holder, sizeof c->holder, j->holder);
	return 0;
}

static struct copy look(const char *id)
{
	struct copy c;
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(job_get(db, "", id, on_copied, &c, &e), e);
	store_read_end(db);
	return c;
}

static struct copy wait_state(const char *id, enum job_state state)
{
	struct copy c = look(id);

	for (int i = 0; i < 6000 && c.state != state; i++) {
		(void)usleep(5000);
		c = look(id);
	}
	if (c.state != state)
		print_error("job is %s\n", job_state_name(c.state));
	assert_int_equal(c.state, state);
	return c;
}

static int64_t count(const char *sql)
{
	struct query *q;
	struct err e;
	struct db *db;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql, &e), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	pthread_mutex_init(&world.lock, NULL);
	pthread_cond_init(&world.changed, NULL);
	test_store_open(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

/* ---- by hand --------------------------------------------------------------------------------------------------------- */
struct hand {
	int (*fn)(struct db *tx, const struct job_by *by, struct err *e);
	struct job_by by;
};

static int work_hand(struct db *tx, void *arg, struct err *e)
{
	const struct hand *h = arg;

	return h->fn(tx, &h->by, e);
}

static int do_cancel(struct db *tx, const struct job_by *by, struct err *e)
{
	enum job_state now;

	return job_cancel(tx, by, &now, e);
}

static int do_retry(struct db *tx, const struct job_by *by, struct err *e)
{
	return job_retry(tx, by, false, e);
}

static int by_hand(int (*fn)(struct db *tx, const struct job_by *by, struct err *e), const char *tenant, const char *id,
	struct err *e)
{
	struct hand h = { fn, { tenant, id, "usr_x", "req_x", clock_wall_ms() } };

	memset(e, 0, sizeof *e);
	return store_write(t.store, STORE_LOGGED, work_hand, &h, e);
}

/* ---- cases ----------------------------------------------------------------------------------------------------------- */
static void work_is_done(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct job_placed p = PUT(j, "simple", "much");
	struct copy c = wait_state(p.id, JOB_COMPLETED);

	(void)state;
	assert_string_equal(c.result, "{\"did\":\"much\"}");
	assert_int_equal(c.done, 3);
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.total, 4);
	assert_int_equal(
		count("SELECT count(*) FROM job_logs WHERE n = 1 AND level = 'warn' AND text = 'did much'"), 1);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'job' AND op = 'completed'"), 1);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'job'"), 1);
	jobs_free(j);
}

static void failures_are_tried_again_until_it_is_dead(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct copy c = wait_state(PUT(j, "simple", "fail").id, JOB_DEAD);

	(void)state;
	assert_int_equal(c.failures, 3);
	assert_int_equal(c.lease, 3);
	assert_string_equal(c.error, "attempt 3 failed");
	assert_string_equal(c.error_code, "SERVICE_UNAVAILABLE");
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'job' AND op = 'dead'"), 1);

	c = wait_state(PUT(j, "simple", "fail once").id, JOB_COMPLETED);
	assert_int_equal(c.lease, 2);
	assert_string_equal(c.error, "");
	c = wait_state(PUT(j, "simple", "hopeless").id, JOB_DEAD);
	assert_int_equal(c.lease, 1);
	assert_string_equal(c.error, "it is in vain");
	c = wait_state(PUT(j, "simple", "again").id, JOB_COMPLETED);
	assert_int_equal(c.lease, 2);
	assert_int_equal(c.failures, 0);
	jobs_free(j);
}

static void a_dead_one_can_be_queued_again(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct job_placed p = PUT(j, "simple", "fail", .tenant_id = "red");
	struct err e;

	(void)state;
	wait_state(p.id, JOB_DEAD);
	assert_int_equal(by_hand(do_retry, "blue", p.id, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	TEST_STORE_MUST(by_hand(do_retry, "red", p.id, &e), e);
	workers_poke(j->workers, false);
	for (int i = 0; i < 6000 && look(p.id).lease < 6; i++)
		(void)usleep(5000);
	wait_state(p.id, JOB_DEAD);
	assert_int_equal(look(p.id).lease, 6);
	TEST_STORE_MUST(by_hand(job_delete, "", p.id, &e), e);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 0);
	assert_int_equal(count("SELECT count(*) FROM job_logs"), 0);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'job' AND op IN ('retry', 'delete')"), 2);
	jobs_free(j);
}

static void one_that_runs_is_cancelled_at_its_next_step(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct job_placed p = PUT(j, "long", "");
	struct err e;

	(void)state;
	world_wait(&world.begun, 1);
	assert_int_equal(by_hand(job_delete, "", p.id, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	TEST_STORE_MUST(by_hand(do_cancel, "", p.id, &e), e); /* nobody tells the workers: the keeper finds it */
	wait_state(p.id, JOB_CANCELLED);
	assert_int_equal(world.stopped, 1);
	assert_int_equal(by_hand(do_cancel, "", p.id, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	jobs_free(j);
}

static void one_that_takes_too_long_is_stopped(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct copy c = wait_state(PUT(j, "hasty", "").id, JOB_DEAD);

	(void)state;
	assert_string_equal(c.error_code, "TIMEOUT");
	jobs_free(j);
}

static void later_is_not_now(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct job_placed far = PUT(j, "simple", "far", .due_ms = clock_wall_ms() + 3600000);
	struct job_placed near = PUT(j, "simple", "near", .due_ms = clock_wall_ms() + 50);
	struct err e;

	(void)state;
	assert_int_equal(look(far.id).state, JOB_SCHEDULED);
	wait_state(near.id, JOB_COMPLETED);
	assert_int_equal(look(far.id).state, JOB_SCHEDULED);
	TEST_STORE_MUST(by_hand(do_cancel, "", far.id, &e), e);
	assert_int_equal(look(far.id).state, JOB_CANCELLED);
	jobs_free(j);
}

static void the_same_is_done_once(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct job_placed a = PUT(j, "unique", "x", .tenant_id = "red");
	struct job_placed same = PUT(j, "unique", "x", .tenant_id = "red");
	struct job_placed other = PUT(j, "unique", "x", .tenant_id = "blue");
	struct job_placed keyed = PUT(j, "simple", "y", .key = "k", .due_ms = INT64_MAX / 2);
	struct job_placed keyed_same = PUT(j, "simple", "z", .key = "k");
	struct job_placed next;
	struct err e;

	(void)state;
	assert_false(a.there);
	assert_true(same.there);
	assert_string_equal(same.id, a.id);
	assert_false(other.there);
	assert_true(keyed_same.there);
	assert_string_equal(keyed_same.id, keyed.id);
	TEST_STORE_MUST(by_hand(do_cancel, "", a.id, &e), e);
	wait_state(a.id, JOB_CANCELLED);
	next = PUT(j, "unique", "x", .tenant_id = "red");
	assert_false(next.there);
	assert_int_equal(by_hand(do_retry, "", a.id, &e), -1); /* another one does it now */
	assert_int_equal(e.code, ERR_CONFLICT);
	jobs_free(j);
}

static void what_does_not_fit_is_refused(void **state)
{
	struct jobs *j = open_jobs("ctl_a", 0);
	json_t *args = json_pack("{s:i}", "what", 5);
	struct job_order o = { .kind = "simple", .args = args };
	struct job_placed placed;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(jobs_enqueue(j, &o, &placed, &e), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
	o.kind = "nothing";
	assert_int_equal(jobs_enqueue(j, &o, &placed, &e), -1);
	o = (struct job_order){ .kind = "simple", .queue = "urgent" };
	assert_int_equal(jobs_enqueue(j, &o, &placed, &e), -1);
	atomic_store(&j->waiting, 1000);
	o.queue = "low";
	assert_int_equal(jobs_enqueue(j, &o, &placed, &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 0);
	json_decref(args);
	jobs_free(j);
}

/* One worker: the order in which they are taken. */
static void queues_and_priorities(void **state)
{
	struct jobs *j = open_jobs("ctl_a", 1);
	struct err e;

	(void)state;
	for (int i = 0; i < 20; i++)
		PUT(j, "simple", "l", .queue = "low");
	for (int i = 0; i < 20; i++) {
		PUT(j, "simple", "c", .queue = "critical");
		PUT(j, "simple", "d", .queue = "default");
	}
	PUT(j, "simple", "C", .queue = "critical", .priority = 5);
	PUT(j, "simple", "D", .queue = "default", .priority = 1);
	PUT(j, "simple", "e", .queue = "default", .priority = -1);
	TEST_STORE_MUST(jobs_start(j, &e), e);
	world_wait(&world.begun, 63);
	assert_memory_equal(world.order, "CDccdclcdccdccdclcdccdccdclcdccdc", 33);
	assert_int_equal(strchr(world.order, 'e') - strrchr(world.order, 'd') > 0, 1);
	jobs_free(j);
}

/* The end of the program: what runs is given back, and is no failure. */
static void what_runs_at_the_end_is_put_back(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 4);
	struct job_placed p = PUT(j, "long", "");
	struct copy c;

	(void)state;
	world_wait(&world.begun, 1);
	jobs_free(j);
	c = look(p.id);
	assert_int_equal(c.state, JOB_QUEUED);
	assert_int_equal(c.failures, 0);
	assert_string_equal(c.holder, "");
	assert_int_equal(count("SELECT count(*) FROM job_holders"), 0);
}

struct taking {
	const char *holder;
	unsigned n;
};

static int on_taken(const struct job *j, void *arg)
{
	(void)j;
	++*(unsigned *)arg;
	return 0;
}

static int work_take(struct db *tx, void *arg, struct err *e)
{
	struct taking *k = arg;

	k->n = 0;
	return job_hold_take(tx, JOB_DEFAULT, 1, k->holder, clock_wall_ms(), on_taken, &k->n, e);
}

/* As if a controld had taken it and died. */
static void take_as(const char *holder)
{
	struct taking k = { holder, 0 };
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_take, &k, &e), e);
	assert_int_equal(k.n, 1);
}

static void the_dead_give_back(void **state)
{
	struct jobs *j = open_jobs("ctl_a", 4);
	struct job_placed p = PUT(j, "simple", "inherited");
	struct copy c;
	struct err e;

	(void)state;
	take_as("ctl_dead");
	assert_int_equal(look(p.id).state, JOB_RUNNING);
	TEST_STORE_MUST(jobs_start(j, &e), e);
	c = wait_state(p.id, JOB_COMPLETED);
	assert_int_equal(c.lease, 2);
	assert_int_equal(c.failures, 0);
	assert_int_equal(c.crashes, 1);
	jobs_free(j);
}

static void what_kills_everybody_is_dead_at_last(void **state)
{
	struct jobs *j;
	struct job_placed p;
	struct copy c;
	struct err e;

	(void)state;
	for (int i = 0; i < JOB_CRASHES_MAX; i++) {
		j = open_jobs("ctl_a", 0);
		if (i == 0)
			p = PUT(j, "simple", "poison");
		take_as("ctl_dead");
		TEST_STORE_MUST(jobs_start(j, &e), e); /* gives it back */
		for (int n = 0; n < 6000 && look(p.id).state == JOB_RUNNING; n++)
			(void)usleep(5000);
		jobs_free(j);
	}
	c = look(p.id);
	assert_int_equal(c.state, JOB_DEAD);
	assert_int_equal(c.crashes, JOB_CRASHES_MAX);
}

/* A worker that was taken for dead comes back: nothing that it writes counts. */
static void who_lost_the_lease_writes_nothing(void **state)
{
	struct jobs *a, *b;
	struct job_placed p;
	struct copy c;
	struct err e;

	(void)state;
	world.two = true;
	a = start_jobs("ctl_a", 1);
	p = PUT(a, "deaf", "mine");
	world_wait(&world.begun, 1);
	assert_int_equal(
		workers_abandon(a->workers, p.id, 1, &e), 0); /* as at its time-out: the job goes on elsewhere */
	b = start_jobs("ctl_b", 1);
	world_wait(&world.begun, 2);
	assert_int_equal(look(p.id).lease, 2);
	world_open();
	c = wait_state(p.id, JOB_COMPLETED);
	world_wait(&world.stopped, 1); /* a's save was refused */
	assert_int_equal(c.lease, 2);
	assert_string_equal(c.saved, "mine");
	assert_int_equal(count("SELECT count(*) FROM job_logs"), 1);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'job' AND op = 'completed'"), 1);
	jobs_free(a);
	jobs_free(b);
}

static int work_in(struct db *tx, void *arg, struct err *e)
{
	struct job_order o = { .kind = "simple" };
	struct job_placed placed;

	if (jobs_enqueue_in(arg, tx, &o, &placed, e) != 0)
		return -1;
	return err_set(e, ERR_CONFLICT, NULL, "the rest of it failed");
}

static void no_job_without_what_it_is_about(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 1);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_write(t.store, STORE_LOGGED, work_in, j, &e), -1);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 0);
	jobs_free(j);
}

static void the_old_are_cleared_away(void **state)
{
	struct jobs *j = start_jobs("ctl_a", 2);
	struct job_placed good = PUT(j, "simple", "good"), dead = PUT(j, "simple", "hopeless");
	struct err e;

	(void)state;
	wait_state(good.id, JOB_COMPLETED);
	wait_state(dead.id, JOB_DEAD);
	TEST_STORE_MUST(jobs_clean(j, clock_wall_ms(), &e), e);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 2);
	TEST_STORE_MUST(jobs_clean(j, clock_wall_ms() + 2000000, &e), e);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 1);
	assert_int_equal(count("SELECT count(*) FROM job_logs"), 0);
	TEST_STORE_MUST(jobs_clean(j, clock_wall_ms() + 6000000, &e), e);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 0);
	jobs_free(j);
}

/* What the workers of two controlds on one database do together is done once each. */
static void two_share_the_work(void **state)
{
	struct jobs *a, *b;
	struct err e;

	(void)state;
	world.two = true;
	a = open_jobs("ctl_a", 3);
	b = open_jobs("ctl_b", 3);
	for (int i = 0; i < 200; i++)
		PUT(a, "simple", "w");
	TEST_STORE_MUST(jobs_start(a, &e), e);
	TEST_STORE_MUST(jobs_start(b, &e), e);
	world_wait(&world.begun, 200);
	for (int i = 0; i < 6000 && count("SELECT count(*) FROM jobs WHERE state = 'completed'") < 200; i++)
		(void)usleep(5000);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE state = 'completed' AND lease = 1"), 200);
	assert_int_equal(world.begun, 200);
	jobs_free(a);
	jobs_free(b);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(work_is_done),
		SEQUENCE(failures_are_tried_again_until_it_is_dead),
		SEQUENCE(a_dead_one_can_be_queued_again),
		SEQUENCE(one_that_runs_is_cancelled_at_its_next_step),
		SEQUENCE(one_that_takes_too_long_is_stopped),
		SEQUENCE(later_is_not_now),
		SEQUENCE(the_same_is_done_once),
		SEQUENCE(what_does_not_fit_is_refused),
		SEQUENCE(queues_and_priorities),
		SEQUENCE(what_runs_at_the_end_is_put_back),
		SEQUENCE(the_dead_give_back),
		SEQUENCE(what_kills_everybody_is_dead_at_last),
		SEQUENCE(who_lost_the_lease_writes_nothing),
		SEQUENCE(no_job_without_what_it_is_about),
		SEQUENCE(the_old_are_cleared_away),
		SEQUENCE(two_share_the_work),
	};

	log_init("test_jobs", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
