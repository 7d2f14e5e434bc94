#include "controld/store/lease.h"

#include "common/base/log.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct test_store t;

static const struct lease a = { "clean", "ctl_a", 10000, 60000 }, b = { "clean", "ctl_b", 10000, 60000 },
			  other = { "other", "ctl_b", 10000, 60000 };

static bool take(const struct lease *l, int64_t now_ms)
{
	struct err e;
	bool mine;

	TEST_STORE_MUST(lease_take(t.store, l, now_ms, &mine, &e), e);
	return mine;
}

static void end(const struct lease *l)
{
	struct err e;

	TEST_STORE_MUST(lease_end(t.store, l, &e), e);
}

static void once_per_interval_over_all(void **state)
{
	(void)state;
	assert_true(take(&a, 100000));
	assert_false(take(&b, 100001));
	assert_true(take(&other, 100001)); /* names do not touch each other */
	end(&a);
	assert_false(take(&b, 105000)); /* done, and not due again */
	assert_false(take(&a, 105000));
	assert_true(take(&b, 109500)); /* nearly is in time */
	end(&b);
	assert_true(take(&a, 120000));
}

static void who_is_at_it_is_left_alone(void **state)
{
	(void)state;
	assert_true(take(&a, 100000));
	assert_false(take(&b, 115000)); /* due, but a is still at it */
	end(&b);                        /* which it was not */
	assert_false(take(&b, 116000));
	assert_true(take(&a, 117000));
	assert_false(take(&b, 176999));
	assert_true(take(&b, 177000)); /* a has died */
	end(&a);                       /* it had not, and ends nothing of b's */
	assert_false(take(&a, 190000));
}

/* Rows from the future, of a clock that has been set right since. */
static void a_wrong_clock_stops_nothing_for_ever(void **state)
{
	(void)state;
	assert_true(take(&a, 900000000));
	assert_true(take(&b, 100000));
}

static int setup(void **state)
{
	(void)state;
	test_store_open(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(once_per_interval_over_all, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_at_it_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wrong_clock_stops_nothing_for_ever, setup, teardown),
	};

	log_init("test_lease", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
