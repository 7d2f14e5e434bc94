/* schedules: each time is one run, whoever ticks; what was missed; pausing. */
#include "controld/jobs/schedule.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/jobs/jobs.h"
#include "controld/jobs/room.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;
static struct jobs *a, *b; /* two controlds that run nothing */

#define MINUTE INT64_C(60000)
#define NOW    INT64_C(1789999200000) /* a whole hour */

static struct jobs *open_jobs(const char *self, unsigned waiting_max)
{
	const struct jobs_conf conf = { .store = t.store, .self = self, .lease_ms = 1000, .waiting_max = waiting_max };
	struct jobs *j;
	struct err e;

	TEST_STORE_MUST(jobs_new(&j, &conf, &e), e);
	return j;
}

static int setup(void **state)
{
	(void)state;
	test_store_open(&t);
	a = open_jobs("ctl_a", 1000);
	b = open_jobs("ctl_b", 1000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	jobs_free(a);
	jobs_free(b);
	test_store_close(&t);
	return 0;
}

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	return schedule_insert(tx, arg, e);
}

static void add(const char *id, const char *cron, bool run_missed, int64_t next_ms)
{
	struct schedule s = {
		.run_missed = run_missed, .next_ms = next_ms, .time_zone = "UTC", .args = "{\"steps\":1}"
	};
	struct err e;

	str_copy(s.id, sizeof s.id, id);
	str_copy(s.name, sizeof s.name, id);
	str_copy(s.kind, sizeof s.kind, "check");
	str_copy(s.cron, sizeof s.cron, cron);
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_insert, &s, &e), e);
}

static struct schedule look(const char *id)
{
	struct schedule s;
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(schedule_get(db, "", id, &s, &e), e);
	store_read_end(db);
	return s;
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

static int work_end_all(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static void end_jobs(void)
{
	static char sql[] = "UPDATE jobs SET state = 'completed', active_key = NULL, ended_ms = 1";
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_end_all, sql, &e), e);
}

static void tick(struct jobs *j, int64_t now_ms)
{
	struct err e;

	TEST_STORE_MUST(jobs_tick(j, now_ms, &e), e);
}

static void each_time_is_one_run(void **state)
{
	(void)state;
	add("s", "* * * * *", false, NOW);
	tick(a, NOW - 1);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 0);
	for (int i = 0; i < 5; i++) {
		tick(a, NOW + i * MINUTE);
		tick(b, NOW + i * MINUTE + 200);
		tick(a, NOW + i * MINUTE + 900);
		end_jobs();
	}
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 's' AND kind = 'check'"), 5);
	assert_int_equal(look("s").next_ms, NOW + 5 * MINUTE);
	assert_int_equal(look("s").last_ms, NOW + 4 * MINUTE);
	assert_int_equal(look("s").missed, 0);
}

static int work_step(struct db *tx, void *arg, struct err *e)
{
	const struct schedule_step step = { "s", NOW, NOW + MINUTE, NOW, true, 0 };

	*(int *)arg = schedule_step(tx, &step, e);
	return *(int *)arg < 0 ? -1 : 0;
}

/* Two that have read the same row: the second one finds that it was taken. */
static void who_comes_second_starts_nothing(void **state)
{
	struct err e;
	int n = -1;

	(void)state;
	add("s", "* * * * *", false, NOW);
	tick(a, NOW);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_step, &n, &e), e);
	assert_int_equal(n, 0);
}

static void a_run_that_lasts_is_not_doubled(void **state)
{
	(void)state;
	add("s", "* * * * *", false, NOW);
	tick(a, NOW);
	tick(a, NOW + MINUTE);
	tick(a, NOW + 2 * MINUTE);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 1);
	end_jobs();
	tick(a, NOW + 3 * MINUTE);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 2);
}

static void what_was_missed(void **state)
{
	(void)state;
	add("skip", "0 * * * *", false, NOW - 5 * 60 * MINUTE);
	add("skip but the last", "*/10 * * * *", false, NOW - 60 * MINUTE);
	add("once", "0 * * * *", true, NOW - 5 * 60 * MINUTE);
	tick(a, NOW - 10 * MINUTE);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 'skip'"), 0);
	assert_int_equal(look("skip").missed, 5);
	assert_int_equal(look("skip").last_ms, 0);
	assert_int_equal(look("skip").next_ms, NOW);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 'skip but the last'"), 1);
	assert_int_equal(look("skip but the last").missed, 5);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 'once'"), 1);
	assert_int_equal(look("once").missed, 4);
	assert_int_equal(look("once").last_ms, NOW - 60 * MINUTE);
	assert_int_equal(look("once").next_ms, NOW);
}

/* Late by less than a minute is in time. */
static void a_little_late_is_not_missed(void **state)
{
	(void)state;
	add("s", "* * * * *", false, NOW);
	tick(a, NOW + 30000);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 1);
	assert_int_equal(look("s").next_ms, NOW + MINUTE);
}

/* Years ago: counted up to a bound, and on from now. */
static void long_ago(void **state)
{
	(void)state;
	add("s", "* * * * *", true, NOW - 1000 * 24 * 60 * MINUTE);
	tick(a, NOW + 1);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 1);
	assert_int_equal(look("s").missed, SCHEDULE_MISSED_MAX - 1);
	assert_int_equal(look("s").next_ms, NOW + MINUTE);
}

/* A kind that no program here knows any more harms no other one. */
static void trouble_stays_with_its_own(void **state)
{
	static char sql[] = "UPDATE schedules SET kind = 'gone' WHERE id = 'bad'";
	struct err e;

	(void)state;
	add("bad", "* * * * *", false, NOW);
	add("good", "* * * * *", false, NOW + 1);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_end_all, sql, &e), e);
	tick(a, NOW + 2);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 'good'"), 1);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 1);
	assert_true(look("bad").next_ms > NOW + 2);
	assert_int_equal(look("bad").missed, 1);
}

/* What may go well in a moment (here: too much is waiting) does not cost a run, nor a minute. */
static void trouble_that_passes(void **state)
{
	struct jobs *full = open_jobs("ctl_full", 0);
	struct err e;

	(void)state;
	add("s", "* * * * *", false, NOW);
	assert_int_equal(jobs_tick(full, NOW + 1, &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	jobs_free(full);
	assert_int_equal(look("s").next_ms, NOW);
	tick(a, NOW + 1001);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 's'"), 1);
	assert_int_equal(look("s").missed, 0);
	assert_int_equal(look("s").next_ms, NOW + MINUTE);
}

#define DAY (24 * 60 * MINUTE)

/* Each has run at NOW; then the clock shows a day less. */
static void a_clock_that_was_set_back(void **state)
{
	static const struct {
		const char *id, *cron;
		int64_t next_ms;
	} cases[] = {
		{ "every", "@every 10m", NOW - DAY + 10 * MINUTE },
		{ "minute", "* * * * *", NOW - DAY + MINUTE },
		{ "hour", "0 * * * *", NOW - DAY + 60 * MINUTE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		add(cases[i].id, cases[i].cron, false, NOW);
	add("paused", "* * * * *", false, 0);
	tick(a, NOW);
	tick(b, NOW);
	tick(a, NOW - DAY);
	tick(b, NOW - DAY);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(look(cases[i].id).next_ms, cases[i].next_ms);
	assert_int_equal(look("paused").next_ms, 0);
	assert_int_equal(count("SELECT count(*) FROM jobs"), 3);
	end_jobs();
	tick(b, NOW - DAY + MINUTE);
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE schedule_id = 'minute'"), 2);
	assert_int_equal(look("minute").missed, 0);
}

/* More of them than are looked at at once, by a controld that was not there when it happened. */
static void it_was_set_back_while_nobody_looked(void **state)
{
	char id[16];

	(void)state;
	for (int i = 0; i < 45; i++) {
		(void)str_fmt(id, sizeof id, "s%d", i);
		add(id, "@every 1m", false, NOW);
	}
	tick(a, NOW - DAY);
	assert_int_equal(
		count("SELECT count(*) FROM schedule_ticks WHERE next_ms = 1789999200000 - 86400000 + 60000"), 45);
}

/* A correction of the clock, or another machine's that is ahead: what was run is not run again. */
static void a_clock_that_was_corrected(void **state)
{
	(void)state;
	add("daily", "@daily", false, NOW - NOW % DAY);
	add("every", "@every 10s", false, NOW - NOW % DAY);
	tick(a, NOW - NOW % DAY);
	tick(a, NOW - NOW % DAY - 5000);
	tick(b, NOW - NOW % DAY - 5000);
	assert_int_equal(look("daily").next_ms, NOW - NOW % DAY + DAY);
	assert_int_equal(look("every").next_ms, NOW - NOW % DAY + 10000);
}

/* Of jobs that wait, those that were begun in the future. */
static void what_is_tried_again_is_not_put_off(void **state)
{
	static char sql[] =
		"UPDATE jobs SET state = 'scheduled', due_ms = 1789999205000, started_ms = CASE schedule_id WHEN "
		"'tried' THEN 1789999200000 ELSE 0 END";
	struct err e;

	(void)state;
	add("tried", "@yearly", false, NOW);
	add("ordered", "@yearly", false, NOW);
	tick(a, NOW);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_end_all, sql, &e), e);
	tick(a, NOW - 30000); /* within what clocks may differ by */
	assert_int_equal(count("SELECT count(*) FROM jobs WHERE due_ms = 1789999205000"), 2);
	tick(a, NOW - DAY);
	assert_int_equal(
		count("SELECT count(*) FROM jobs WHERE schedule_id = 'tried' AND due_ms = 1789999200000 - 86400000"),
		1);
	assert_int_equal(
		count("SELECT count(*) FROM jobs WHERE schedule_id = 'ordered' AND due_ms = 1789999205000"), 1);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(each_time_is_one_run),
		SEQUENCE(who_comes_second_starts_nothing),
		SEQUENCE(a_run_that_lasts_is_not_doubled),
		SEQUENCE(what_was_missed),
		SEQUENCE(a_little_late_is_not_missed),
		SEQUENCE(long_ago),
		SEQUENCE(trouble_stays_with_its_own),
		SEQUENCE(trouble_that_passes),
		SEQUENCE(a_clock_that_was_set_back),
		SEQUENCE(it_was_set_back_while_nobody_looked),
		SEQUENCE(a_clock_that_was_corrected),
		SEQUENCE(what_is_tried_again_is_not_put_off),
	};

	log_init("test_schedule", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
