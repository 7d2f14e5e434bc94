/* metrics: values, series and their limit, the text format. */
#include "common/base/buf.h"
#include "common/metrics/metrics.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PLAIN, LABELLED, LEVEL, TIMES, TIMES_BY };

static const struct metric_def defs[] = {
	[PLAIN] = { "plain_total", METRIC_COUNTER, "A counter.", NULL, 0 },
	[LABELLED] = { "by_code_total", METRIC_COUNTER, "Two labels.", "method code", 2 },
	[LEVEL] = { "level", METRIC_GAUGE, "A gauge.", NULL, 0 },
	[TIMES] = { "wait_seconds", METRIC_HISTOGRAM, "A histogram.", NULL, 0 },
	[TIMES_BY] = { "step_seconds", METRIC_HISTOGRAM, "With a label.", "step", 0 },
};

struct fixture {
	struct metrics *m;
	struct buf out;
};

static int set_up(void **state)
{
	static struct fixture f;

	buf_init(&f.out, 1 << 20);
	assert_int_equal(metrics_new(&f.m, defs, ARRAY_LEN(defs)), 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	metrics_free(f->m);
	metrics_free(NULL);
	buf_free(&f->out);
	return 0;
}

static const char *print(struct fixture *f)
{
	buf_reset(&f->out);
	metrics_print(&f->m, 1, &f->out);
	assert_false(f->out.failed);
	return buf_cstr(&f->out);
}

static void assert_line(struct fixture *f, const char *line)
{
	if (strstr(print(f), line) == NULL)
		fail_msg("no %s in:\n%s", line, buf_cstr(&f->out));
}

static struct metric *labelled(struct fixture *f, const char *method, const char *code)
{
	return metrics_get(f->m, LABELLED, (const char *const[]){ method, code });
}

static void test_counter(void **state)
{
	struct fixture *f = *state;
	struct metric *c = metrics_get(f->m, PLAIN, NULL);

	assert_line(f, "# HELP plain_total A counter.\n# TYPE plain_total counter\nplain_total 0\n");
	metric_add(c, 2);
	metric_add(c, UINT64_C(1) << 60);
	assert_int_equal(metric_value(c), (UINT64_C(1) << 60) + 2);
	assert_line(f, "\nplain_total 1152921504606846978\n");
	assert_ptr_equal(metrics_get(f->m, PLAIN, NULL), c);
}

static void test_gauge(void **state)
{
	static const struct {
		double v;
		const char *line;
	} cases[] = {
		{ 0, "\nlevel 0\n" },
		{ 1.5, "\nlevel 1.5\n" },
		{ -3, "\nlevel -3\n" },
		{ 1e14, "\nlevel 100000000000000\n" },
		{ NAN, "\nlevel nan\n" },
		{ INFINITY, "\nlevel inf\n" },
	};
	struct fixture *f = *state;
	struct metric *g = metrics_get(f->m, LEVEL, NULL);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		metric_set(g, cases[i].v);
		assert_line(f, cases[i].line);
	}
	metric_set(g, 10);
	metric_add(g, 5);
	metric_sub(g, 7);
	assert_int_equal(metric_value(g), 8);
	metric_sub(g, 10);
	assert_int_equal(metric_value(g), 0);
	assert_line(f, "\nlevel -2\n");
}

static void test_labels(void **state)
{
	struct fixture *f = *state;

	metric_add(labelled(f, "GET", "200"), 1);
	metric_add(labelled(f, "G\"E\\T\n", "x"), 2);
	assert_ptr_equal(labelled(f, "GET", "200"), labelled(f, "GET", "200"));
	assert_line(f, "\nby_code_total{method=\"GET\",code=\"200\"} 1\n");
	assert_line(f, "\nby_code_total{method=\"G\\\"E\\\\T\\n\",code=\"x\"} 2\n");
	assert_line(f, "\nmetrics_series_refused_total{metric=\"by_code_total\"} 0\n");
}

static void test_too_many_series(void **state)
{
	struct fixture *f = *state;

	labelled(f, "a", "1");
	labelled(f, "a", "2");
	metric_add(labelled(f, "a", "3"), 1);
	metric_add(labelled(f, "a", "4"), 1);
	assert_ptr_equal(labelled(f, "a", "5"), labelled(f, "a", "6"));
	assert_line(f, "\nby_code_total{method=\"other\",code=\"other\"} 2\n");
	assert_line(f, "\nmetrics_series_refused_total{metric=\"by_code_total\"} 4\n");
}

static void test_long_and_broken_values(void **state)
{
	struct fixture *f = *state;
	char quotes[400];

	memset(quotes, '"', sizeof quotes - 1);
	quotes[sizeof quotes - 1] = '\0';
	labelled(f, quotes, quotes);
	labelled(f, "\xff", "1");
	assert_line(f, "method=\"invalid\",code=\"1\"");
}

static void test_histogram(void **state)
{
	struct fixture *f = *state;
	struct metric *h = metrics_get(f->m, TIMES, NULL);

	metric_observe(h, 0.0005); /* bounds belong to their bucket */
	metric_observe(h, 0.02);
	metric_observe(h, 11);
	metric_observe(h, -1);
	metric_observe(h, NAN);
	assert_int_equal(metric_value(h), 5);
	assert_line(f, "\nwait_seconds_bucket{le=\"0.0005\"} 3\n");
	assert_line(f, "\nwait_seconds_bucket{le=\"0.01\"} 3\nwait_seconds_bucket{le=\"0.025\"} 4\n");
	assert_line(f, "\nwait_seconds_bucket{le=\"10\"} 4\nwait_seconds_bucket{le=\"+Inf\"} 5\n");
	assert_line(f, "\nwait_seconds_sum 11.0205\nwait_seconds_count 5\n");
	metric_observe(metrics_get(f->m, TIMES_BY, (const char *const[]){ "dial" }), 1);
	assert_line(f, "\nstep_seconds_bucket{step=\"dial\",le=\"1\"} 1\n");
	assert_line(f, "\nstep_seconds_sum{step=\"dial\"} 1\n");
}

static void on_collect(void *arg)
{
	struct fixture *f = arg;

	metric_set(metrics_get(f->m, LEVEL, NULL), 42);
	metric_add(labelled(f, "made", "late"), 1);
}

static void test_collect(void **state)
{
	struct fixture *f = *state;

	metrics_on_collect(f->m, on_collect, f);
	assert_line(f, "\nlevel 42\n");
	assert_line(f, "{method=\"made\",code=\"late\"} 2\n");
}

#define ROUNDS 20000

static void *work_count(void *arg)
{
	struct fixture *f = arg;

	for (int i = 0; i < ROUNDS; i++) {
		metric_add(labelled(f, "t", i % 2 != 0 ? "1" : "2"), 1);
		metric_add(metrics_get(f->m, LEVEL, NULL), 3);
		metric_sub(metrics_get(f->m, LEVEL, NULL), 2);
		metric_observe(metrics_get(f->m, TIMES, NULL), 0.001);
	}
	return NULL;
}

static void test_several_registries_are_one_page(void **state)
{
	static const struct metric_def more[] = { { "other_total", METRIC_COUNTER, "Another.", "kind", 2 } };
	static const char help[] = "# HELP metrics_series_refused_total";
	struct fixture *f = *state;
	struct metrics *all[2] = { f->m, NULL };
	const char *first;

	assert_int_equal(metrics_new(&all[1], more, ARRAY_LEN(more)), 0);
	metric_add(labelled(f, "GET", "200"), 1);
	metric_add(metrics_get(all[1], 0, (const char *const[]){ "a" }), 1);
	metrics_print(all, ARRAY_LEN(all), &f->out);
	first = strstr(buf_cstr(&f->out), help);
	assert_non_null(first);
	assert_null(strstr(first + 1, help));
	assert_non_null(strstr(first, "{metric=\"by_code_total\"} 0\n"));
	assert_non_null(strstr(first, "{metric=\"other_total\"} 0\n"));
	metrics_free(all[1]);
}

static void test_threads_lose_nothing(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_count, f), 0);
	print(f);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_value(labelled(f, "t", "1")), 4 * ROUNDS / 2);
	assert_int_equal(metric_value(metrics_get(f->m, LEVEL, NULL)), 4 * ROUNDS);
	assert_int_equal(metric_value(metrics_get(f->m, TIMES, NULL)), 4 * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gauge, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_labels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_series, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_and_broken_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_histogram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_collect, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_several_registries_are_one_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads_lose_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
