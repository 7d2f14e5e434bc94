/* Every allocation of common/ that can fail does, once each: an error, the old state, and nothing leaks. */
#define _GNU_SOURCE
#include "tests/unit/lib/alloc_fail.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS_MAX 2000

static void test_buf(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct buf b;

		assert_true(n < ROUNDS_MAX);
		buf_init(&b, 100000);
		alloc_fail_after(n);
		for (uint32_t i = 0; i < 10000; i++)
			buf_u32(&b, i);
		assert_int_equal(b.failed, alloc_fail_stop());
		if (!b.failed) {
			buf_free(&b);
			break;
		}
		assert_true(b.len < 40000);
		for (uint32_t i = 0; i < b.len / 4; i++)
			assert_int_equal(b.data[4 * i + 3], (uint8_t)i);
		buf_free(&b);
	}
}

static void test_map(void **state)
{
	static uint32_t keys[300];

	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct map m;
		size_t put = 0;
		bool failed;

		assert_true(n < ROUNDS_MAX);
		map_init(&m);
		alloc_fail_after(n);
		for (; put < ARRAY_LEN(keys); put++) {
			keys[put] = (uint32_t)put;
			if (map_put(&m, &keys[put], sizeof keys[put], &keys[put], NULL) != 0)
				break;
		}
		failed = alloc_fail_stop();
		assert_int_equal(failed, put < ARRAY_LEN(keys));
		assert_int_equal(map_count(&m), put);
		for (size_t i = 0; i < put; i++)
			assert_ptr_equal(map_get(&m, &keys[i], sizeof keys[i]), &keys[i]);
		map_free(&m);
		if (!failed)
			break;
	}
}

static void test_file_read(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		uint8_t *data = NULL;
		struct err e;
		size_t len;
		int rc;

		assert_true(n < ROUNDS_MAX);
		alloc_fail_after(n);
		rc = file_read("/proc/self/exe", 64 << 20, &data, &len, &e);
		if (!alloc_fail_stop()) {
			assert_int_equal(rc, 0);
			free(data);
			break;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.code, ERR_NOMEM);
		assert_null(data);
	}
}

static const struct metric_def metric_defs[] = {
	{ "plain_total", METRIC_COUNTER, "", NULL, 0 },
	{ "by_total", METRIC_COUNTER, "", "by", 20 },
	{ "seconds", METRIC_HISTOGRAM, "", "by", 0 },
};

static void test_metrics_new(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct metrics *m = NULL;
		int rc;

		assert_true(n < ROUNDS_MAX);
		alloc_fail_after(n);
		rc = metrics_new(&m, metric_defs, ARRAY_LEN(metric_defs));
		if (!alloc_fail_stop()) {
			assert_int_equal(rc, 0);
			metrics_free(m);
			break;
		}
		assert_int_equal(rc, -1);
		assert_null(m);
	}
}

/* A series that cannot be made is "other": nobody has to check. */
static void test_metrics_get(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct metrics *m;
		uint64_t sum = 0;
		bool failed;

		assert_true(n < ROUNDS_MAX);
		assert_int_equal(metrics_new(&m, metric_defs, ARRAY_LEN(metric_defs)), 0);
		alloc_fail_after(n);
		for (char c = 'a'; c < 'k'; c++)
			metric_add(metrics_get(m, 1, (const char *const[]){ (char[]){ c, '\0' } }), 1);
		failed = alloc_fail_stop();
		for (char c = 'a'; c < 'k'; c++) {
			struct metric *series = metrics_get(m, 1, (const char *const[]){ (char[]){ c, '\0' } });

			sum += metric_value(series);
		}
		assert_true(failed ? sum <= 10 : sum == 10);
		metrics_free(m);
		if (!failed)
			break;
	}
}

struct settings {
	char *name;
	char *listen;
	uint64_t count;
};

static const struct conf_key keys[] = {
	{ .key = "a.count", .type = CONF_U64, .offset = offsetof(struct settings, count), .def = "3", .help = "" },
	{ .key = "a.listen",
		.env = "T_LISTEN",
		.type = CONF_LISTEN,
		.offset = offsetof(struct settings, listen),
		.def = "127.0.0.1:80",
		.help = "" },
	{ .key = "name",
		.type = CONF_STR,
		.offset = offsetof(struct settings, name),
		.def = "n",
		.min = 1,
		.help = "" },
};
static const struct conf_table table = { .program = "t", .keys = keys, .n = ARRAY_LEN(keys) };

static void test_conf(void **state)
{
	static const char *const env[] = { "T_LISTEN=127.0.0.1:81", NULL }, *const set[] = { "name=x", NULL };
	static struct err_list errs;
	char path[] = "/tmp/test_no_memory-XXXXXX";
	const struct conf_source src = { .file = path, .file_must_exist = true, .env = env, .set = set };
	const int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "a: {count: 4, listen: '[::1]:1'}\nname: file\n", 44), 44);
	close(fd);
	ALLOC_FAIL_EACH(n)
	{
		struct settings s = { 0 };
		bool failed;
		int rc;

		assert_true(n < ROUNDS_MAX);
		memset(&errs, 0, sizeof errs);
		alloc_fail_after(n);
		rc = conf_load(&table, &s, &src, &errs);
		failed = alloc_fail_stop();
		assert_int_equal(rc, failed ? -1 : 0);
		assert_int_equal(errs.n > 0, failed);
		if (!failed)
			assert_string_equal(s.listen, "127.0.0.1:81");
		conf_free(&table, &s);
		if (!failed)
			break;
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_file_read),
		cmocka_unit_test(test_metrics_new),
		cmocka_unit_test(test_metrics_get),
		cmocka_unit_test(test_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
