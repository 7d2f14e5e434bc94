/* The n-th allocation fails, for every n: nothing crashes, leaks or is left locked, and the reason is said. */
#define _GNU_SOURCE
#include "tests/unit/lib/alloc_fail.h"

#include "common/base/log.h"
#include "controld/janitor.h"
#include "controld/store/changes.h"
#include "controld/store/upkeep.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* SQLite keeps memory of its own between calls, so the first run of anything is not the same as the second. */
static void warm_up(struct test_store *t)
{
	test_store_open(t);
	store_close(t->store);
	t->store = NULL;
}

static void test_open(void **state)
{
	struct test_store t;
	const struct store_conf conf = { .url = t.url, .readers = 2 };

	(void)state;
	warm_up(&t);
	ALLOC_FAIL_EACH(n)
	{
		struct err e = { 0 };
		int rc;

		alloc_fail_after(n);
		rc = store_open(&t.store, &conf, &e);
		if (!alloc_fail_stop()) {
			assert_int_equal(rc, 0);
			break;
		}
		if (rc == 0) {
			store_close(t.store); /* what could not be had was only a cache */
			t.store = NULL;
		} else {
			assert_int_not_equal(e.code, ERR_NONE);
			assert_null(t.store);
		}
	}
	test_store_close(&t);
}

static int read_once(struct store *s, struct err *e)
{
	static const char sql[] = "SELECT key, value FROM meta WHERE key <> ?1";
	struct query *q;
	struct db *db;
	int rc;

	if (store_read_begin(s, &db, e) != 0)
		return -1;
	rc = db_query(db, &q, sql, e, bind_s("x"));
	if (rc == 0)
		rc = query_next(q, e) == 1 ? 0 : -1;
	query_end(q);
	store_read_end(db);
	return rc;
}

static void test_read(void **state)
{
	struct test_store t;

	(void)state;
	warm_up(&t);
	ALLOC_FAIL_EACH(n)
	{
		struct err e = { 0 };
		bool failed;
		int rc;

		test_store_reopen(&t);
		alloc_fail_after(n);
		rc = read_once(t.store, &e);
		failed = alloc_fail_stop();
		if (rc != 0)
			assert_int_not_equal(e.code, ERR_NONE);
		assert_int_equal(read_once(t.store, &e), 0); /* and again with memory: the pool has lost nothing */
		store_close(t.store);
		t.store = NULL;
		if (!failed)
			break;
	}
	test_store_close(&t);
}

static void test_backup(void **state)
{
	struct test_store t;
	char copy[128];

	(void)state;
	warm_up(&t);
	(void)str_fmt(copy, sizeof copy, "%s/copy", t.folder);
	/* A copy allocates for each page and table of the schema: after the first ones, every 17th says as much, in seconds. */
	for (size_t n = 0;; n += n < 300 ? 1 : 17) {
		struct err e = { 0 };
		int rc;

		alloc_fail_after(n);
		rc = upkeep_backup(t.url, copy, NULL, NULL, &e);
		if (!alloc_fail_stop()) {
			assert_int_equal(rc, 0);
			break;
		}
		if (rc != 0)
			assert_int_not_equal(e.code, ERR_NONE);
	}
	test_store_close(&t);
}

static int run_nothing(void *arg, int64_t now_ms, struct err *e)
{
	(void)arg;
	(void)now_ms;
	(void)e;
	return 0;
}

static void test_janitor(void **state)
{
	const struct janitor_task task = { "nothing", 60000, run_nothing, NULL, false };
	const struct janitor_conf conf = { .tasks = &task, .n = 1, .self = "ctl_1" };

	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct janitor *j = NULL;
		struct err e = { 0 };
		int rc;

		alloc_fail_after(n);
		rc = janitor_new(&j, &conf, &e);
		if (!alloc_fail_stop()) {
			assert_int_equal(rc, 0);
			janitor_free(j);
			break;
		}
		if (rc == 0)
			janitor_free(j);
		else
			assert_null(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_backup),
		cmocka_unit_test(test_janitor),
	};

	log_init("test_store_no_memory", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
