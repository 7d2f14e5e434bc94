/* series: samples of totals, the points between them, steps and ranges, retention. Time is the test's. */
#include "controld/tunnels/series.h"

#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SEC  INT64_C(1000)
#define MIN_ (60 * SEC)
#define HOUR (60 * MIN_)
#define T0   INT64_C(1800000000000) /* a whole hour */

static struct test_store t;
static struct store *samples;
static struct series *series;

static void open_series(void)
{
	struct series_conf conf = { .totals = t.store,
		.samples = samples,
		.retention_ms = { (uint64_t)(2 * HOUR), (uint64_t)(48 * HOUR), 0 } };
	struct err e;

	TEST_STORE_MUST(series_new(&series, &conf, &e), e);
}

static int setup(void **state)
{
	struct store_conf conf = { .readers = 2, .group_max = 16, .wait_ms = 10000 };
	char url[160];
	struct err e;

	(void)state;
	test_store_open(&t);
	str_fmt(url, sizeof url, "sqlite:%s/samples.db", t.folder);
	conf.url = url;
	TEST_STORE_MUST(store_open(&samples, &conf, &e), e);
	TEST_STORE_MUST(migrate_apply(samples, &migrations_samples, NULL, &e), e);
	open_series();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	series_free(series);
	store_close(samples);
	test_store_close(&t);
	return 0;
}

/* ---- totals, written as traffic.c leaves them --------------------------------------------------------------------- */
static const char sql_total[] = "INSERT INTO traffic (scope, tenant_id, id, user_id, active, bytes_in, bytes_out, "
				"packets_in, packets_out, opened, closed, "
				"refused_limit, refused_source, refused_cidr, refused_proxy, refused_dial, "
				"refused_resource, dropped_in, dropped_out, "
				"timed_out, reset, updated_ms) VALUES ('mapping', 'red', ?1, '', ?2, ?3, 0, 0, 0, ?4, "
				"0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, ?5) "
				"ON CONFLICT (scope, id, tenant_id) DO UPDATE SET active = excluded.active, bytes_in = "
				"excluded.bytes_in, opened = "
				"excluded.opened, updated_ms = excluded.updated_ms";
static const char sql_count[] = "SELECT count(*) FROM samples WHERE step = ?1";

struct total {
	const char *id;
	int64_t active, bytes_in, opened, at_ms;
};

static int work_total(struct db *tx, void *arg, struct err *e)
{
	const struct total *x = arg;

	return db_exec(tx, sql_total, e, bind_s(x->id), bind_i(x->active), bind_i(x->bytes_in), bind_i(x->opened),
		       bind_i(x->at_ms)) < 0
	               ? -1
	               : 0;
}

/* The total stands like this at that time, and is sampled. */
static void at(int64_t now_ms, const char *id, int64_t bytes_in, int64_t opened, int64_t active)
{
	struct total x = { id, active, bytes_in, opened, now_ms };
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_total, &x, &e), e);
	TEST_STORE_MUST(series_tick(series, now_ms, &e), e);
}

static void tick(int64_t now_ms)
{
	struct err e;

	TEST_STORE_MUST(series_tick(series, now_ms, &e), e);
}

static struct series_point *points(const char *id, struct series_range r, size_t *n)
{
	struct series_point *p;
	struct err e;

	TEST_STORE_MUST(series_read(series, TRAFFIC_MAPPING, "red", id, &r, &p, n, &e), e);
	return p;
}

static int64_t rows(int64_t step_ms)
{
	struct query *q;
	struct db *db;
	struct err e;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(samples, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql_count, &e, bind_i(step_ms)), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */
static void a_point_is_the_difference(void **state)
{
	const struct series_range r = { T0, T0 + MIN_, 10 * SEC };
	struct series_point *p;
	size_t n;

	(void)state;
	at(T0 + 1 * SEC, "m", 100, 1, 1);
	at(T0 + 6 * SEC, "m", 150, 2, 2); /* the same step: replaced */
	at(T0 + 12 * SEC, "m", 170, 3, 0);
	tick(T0 + 17 * SEC);
	tick(T0 + 35 * SEC); /* nothing moved */
	at(T0 + 41 * SEC, "m", 1170, 3, 7);
	p = points("m", r, &n);
	assert_int_equal(n, 6);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i].time_ms, T0 + (int64_t)i * 10 * SEC);
	assert_int_equal(p[0].bytes_in, 150);
	assert_int_equal(p[0].opened, 2);
	assert_int_equal(p[0].active, 2);
	assert_int_equal(p[0].refused, 3);
	assert_int_equal(p[1].bytes_in, 20);
	assert_int_equal(p[1].refused, 0);
	assert_int_equal(p[2].bytes_in, 0);
	assert_int_equal(p[3].active, 0);
	assert_int_equal(p[4].bytes_in, 1000);
	assert_int_equal(p[4].active, 7);
	assert_int_equal(p[5].active, 7); /* as seen last */
	free(p);
}

static void coarser_steps_have_the_same_sum(void **state)
{
	static const int64_t steps[] = { 10 * SEC, MIN_, HOUR };
	int64_t bytes = 0;

	(void)state;
	for (int64_t s = 0; s < 7200; s += 7)
		at(T0 + s * SEC, "m", bytes += s, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct series_point *p;
		int64_t sum = 0;
		size_t n;

		p = points("m", (struct series_range){ T0, T0 + 2 * HOUR, steps[i] }, &n);
		assert_int_equal(n, 2 * HOUR / steps[i]);
		for (size_t k = 0; k < n; k++)
			sum += p[k].bytes_in;
		assert_int_equal(sum, bytes);
		free(p);
	}
}

static void a_range_begins_with_what_was_before(void **state)
{
	struct series_point *p;
	size_t n;

	(void)state;
	at(T0, "m", 500, 1, 3);
	at(T0 + 5 * MIN_, "m", 600, 1, 4);
	p = points("m", (struct series_range){ T0 + MIN_, T0 + 6 * MIN_, MIN_ }, &n);
	assert_int_equal(p[0].bytes_in, 0);
	assert_int_equal(p[0].active, 3);
	assert_int_equal(p[4].bytes_in, 100);
	free(p);
}

static void a_restart_loses_and_doubles_nothing(void **state)
{
	struct series_point *p;
	struct err e;
	size_t n;

	(void)state;
	at(T0, "m", 100, 0, 0);
	series_free(series);
	{
		struct total x = { "m", 0, 180, 0, T0 + 3 * SEC }; /* stored, but not sampled any more */

		TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_total, &x, &e), e);
	}
	open_series();
	tick(T0 + 30 * SEC);
	tick(T0 + 31 * SEC);
	p = points("m", (struct series_range){ T0, T0 + MIN_, 10 * SEC }, &n);
	assert_int_equal(p[0].bytes_in, 100);
	assert_int_equal(p[3].bytes_in, 80);
	free(p);
}

static void what_rests_costs_nothing(void **state)
{
	int64_t before;

	(void)state;
	at(T0, "m", 100, 0, 0);
	for (int64_t s = 5; s < 60; s += 5)
		tick(T0 + s * SEC);
	before = rows(10 * SEC);
	for (int64_t s = 60; s < 600; s += 5)
		tick(T0 + s * SEC);
	assert_int_equal(rows(10 * SEC), before);
	assert_true(before <= 3);
}

static void old_samples_go_but_the_newest(void **state)
{
	struct series_point *p;
	size_t n;

	(void)state;
	for (int64_t s = 0; s < 600; s += 10)
		at(T0 + s * SEC, "m", 100 + s, 0, 0);
	assert_int_equal(rows(10 * SEC), 60);
	at(T0 + 5 * HOUR, "m", 2000, 0, 0);
	assert_int_equal(rows(10 * SEC), 2);
	assert_true(rows(MIN_) >= 10); /* kept longer */
	p = points("m", (struct series_range){ T0 + 5 * HOUR - MIN_, T0 + 5 * HOUR + MIN_, 10 * SEC }, &n);
	assert_int_equal(p[6].bytes_in, 2000 - 690); /* and not all that ever passed */
	free(p);
}

static void subjects_are_apart(void **state)
{
	struct series_point *p;
	size_t n;

	(void)state;
	at(T0, "m", 100, 0, 0);
	at(T0, "other", 900, 0, 0);
	p = points("m", (struct series_range){ T0, T0 + MIN_, MIN_ }, &n);
	assert_int_equal(p[0].bytes_in, 100);
	free(p);
	p = points("nobody", (struct series_range){ T0, T0 + MIN_, MIN_ }, &n);
	assert_int_equal(n, 1);
	assert_int_equal(p[0].bytes_in, 0);
	free(p);
}

static void every_statement_is_good(void **state)
{
	struct db *db;
	struct err e;

	(void)state;
	TEST_STORE_MUST(store_read_begin(samples, &db, &e), e);
	for (size_t i = 0; i < series_samples_sql.n; i++)
		TEST_STORE_MUST(db_prepare_only(db, series_samples_sql.sql[i], &e), e);
	store_read_end(db);
}

static void named_ranges(void **state)
{
	static const struct {
		const char *name;
		int64_t points, step; /* 0: not a name */
	} cases[] = { { "1h", 360, 10 * SEC }, { "24h", 1440, MIN_ }, { "7d", 168, HOUR }, { "30d", 720, HOUR },
		{ "", 0, 0 }, { "1y", 0, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int64_t now_ms = T0 + 1234567;
		struct series_range r;

		print_message("%s\n", cases[i].name);
		assert_int_equal(series_range_named(&r, cases[i].name, now_ms), cases[i].step != 0 ? 0 : -1);
		if (cases[i].step == 0)
			continue;
		assert_int_equal(r.step_ms, cases[i].step);
		assert_int_equal((r.to_ms - r.from_ms) / r.step_ms, cases[i].points);
		assert_true(r.to_ms > now_ms && r.to_ms - r.step_ms <= now_ms);
	}
}

static void ranges_between(void **state)
{
	static const struct {
		const char *what;
		int64_t from, to, step, points; /* relative to T0 = now; step 0: refused */
	} cases[] = {
		{ "an hour", -HOUR, 0, 10 * SEC, 360 },
		{ "a day", -24 * HOUR, 0, MIN_, 1440 },
		{ "a short one long ago", -30 * HOUR, -29 * HOUR, MIN_, 60 },
		{ "a short one very long ago", -90 * HOUR, -89 * HOUR, HOUR, 1 },
		{ "a year", -8760 * HOUR, 0, HOUR, 8760 },
		{ "ends in the future", -HOUR, 5 * HOUR, 10 * SEC, 361 },
		{ "not aligned", -HOUR + 1, -1, 10 * SEC, 360 },
		{ "backwards", 0, -HOUR, 0, 0 },
		{ "all in the future", HOUR, 2 * HOUR, 0, 0 },
		{ "ten years", -87600 * HOUR, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct series_range r;

		print_message("%s\n", cases[i].what);
		assert_int_equal(series_range_between(series, &r, T0 + cases[i].from, T0 + cases[i].to, T0),
			cases[i].step != 0 ? 0 : -1);
		if (cases[i].step == 0)
			continue;
		assert_int_equal(r.step_ms, cases[i].step);
		assert_int_equal((r.to_ms - r.from_ms) / r.step_ms, cases[i].points);
	}
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(a_point_is_the_difference),
		SEQUENCE(coarser_steps_have_the_same_sum),
		SEQUENCE(a_range_begins_with_what_was_before),
		SEQUENCE(a_restart_loses_and_doubles_nothing),
		SEQUENCE(what_rests_costs_nothing),
		SEQUENCE(old_samples_go_but_the_newest),
		SEQUENCE(subjects_are_apart),
		SEQUENCE(every_statement_is_good),
		SEQUENCE(named_ranges),
		SEQUENCE(ranges_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
