#include "controld/janitor.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

struct count {
	atomic_int runs;
	int fail;
};

static int run_count(void *arg, int64_t now_ms, struct err *e)
{
	struct count *c = arg;

	assert_true(now_ms > 0);
	atomic_fetch_add(&c->runs, 1);
	return c->fail ? err_set(e, ERR_STORAGE, NULL, "asked to fail") : 0;
}

static void wait_for(struct count *c, int runs)
{
	uint64_t end = clock_mono_ms() + 30000;

	while (atomic_load(&c->runs) < runs)
		assert_true(clock_mono_ms() < end);
}

static void test_tasks_come_again_whether_they_fail_or_not(void **state)
{
	struct count good = { 0 }, bad = { .fail = 1 }, rare = { 0 };
	const struct janitor_task tasks[] = {
		{ "good", 1, run_count, &good, false },
		{ "bad", 2, run_count, &bad, true },
		{ "rare", 3600 * 1000, run_count, &rare, false },
	};
	struct janitor *j;
	int runs;

	(void)state;
	assert_int_equal(janitor_new(&j, &(struct janitor_conf){ tasks, 3, NULL, "" }, NULL), 0);
	wait_for(&good, 3);
	wait_for(&bad, 3);
	assert_int_equal(atomic_load(&rare.runs), 0);
	janitor_free(j);
	runs = atomic_load(&good.runs);
	assert_int_equal(atomic_load(&good.runs), runs);
	janitor_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_tasks_come_again_whether_they_fail_or_not) };

	log_init("test_janitor", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
