#include "controld/identity/throttle.h"

#include "tests/unit/lib/test_store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct test_store store;
static struct throttle *second; /* of another controld on the same database */

static int setup(void **state)
{
	static const uint8_t key[SHA256_SIZE] = { 1, 2, 3 };

	test_store_open(&store);
	assert_int_equal(throttle_new(&second, store.store, key, NULL), 0);
	return throttle_new((struct throttle **)state, store.store, key, NULL);
}

static int teardown(void **state)
{
	throttle_free(*state);
	throttle_free(second);
	test_store_close(&store);
	return 0;
}

static uint64_t attempt(struct throttle *t, const char *address, const char *account, int64_t now)
{
	uint64_t wait = UINT64_MAX;
	struct err e;

	TEST_STORE_MUST(throttle_attempt(t, address, account, now, &wait, &e), e);
	return wait;
}

static void succeed(struct throttle *t, const char *address, const char *account)
{
	struct err e;

	TEST_STORE_MUST(throttle_succeed(t, address, account, &e), e);
}

static void waits_double_up_to_the_cap(void **state)
{
	struct throttle *t = *state;
	int64_t now = 1000000, wait = THROTTLE_BASE_MS;

	for (int i = 0; i < THROTTLE_FREE; i++)
		assert_int_equal(attempt(t, "10.0.0.1", "a@b", now), 0);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(attempt(t, "10.0.0.1", "a@b", now), wait);
		assert_int_equal(attempt(t, "10.0.0.1", "a@b", now + wait - 1), 1);
		now += wait;
		assert_int_equal(attempt(t, "10.0.0.1", "a@b", now), 0);
		wait = wait * 2 > THROTTLE_CAP_MS ? THROTTLE_CAP_MS : wait * 2;
	}
	assert_int_equal(throttle_refusals(t), 80);
}

static void exhaust(struct throttle *t, const char *address, const char *account, int64_t now)
{
	for (int i = 0; i < THROTTLE_FREE; i++)
		assert_int_equal(attempt(t, address, account, now), 0);
	assert_int_not_equal(attempt(t, address, account, now), 0);
}

static void pairs_do_not_touch_each_other(void **state)
{
	struct throttle *t = *state;

	exhaust(t, "10.0.0.1", "a@b", 1);
	assert_int_equal(attempt(t, "10.0.0.2", "a@b", 1), 0);
	assert_int_equal(attempt(t, "10.0.0.1", "b@b", 1), 0);
	assert_int_equal(attempt(t, "10.0.0.1a", "@b", 1), 0);
}

static void a_success_clears(void **state)
{
	struct throttle *t = *state;

	exhaust(t, "10.0.0.1", "a@b", 1);
	succeed(t, "10.0.0.1", "a@b");
	exhaust(t, "10.0.0.1", "a@b", 1);
	succeed(t, "10.0.0.9", "nobody"); /* was never there */
}

static void another_controld_counts_on(void **state)
{
	for (int i = 0; i < THROTTLE_FREE; i++)
		assert_int_equal(attempt(i % 2 ? *state : second, "10.0.0.1", "a@b", 1), 0);
	assert_int_equal(attempt(*state, "10.0.0.1", "a@b", 1), THROTTLE_BASE_MS);
	assert_int_equal(attempt(second, "10.0.0.1", "a@b", 1), THROTTLE_BASE_MS);
	succeed(second, "10.0.0.1", "a@b");
	assert_int_equal(attempt(*state, "10.0.0.1", "a@b", 1), 0);
}

static void quiet_forgets(void **state)
{
	struct throttle *t = *state;

	exhaust(t, "10.0.0.1", "a@b", 1);
	exhaust(t, "10.0.0.1", "a@b", 2 + THROTTLE_FORGET_MS);
}

static void a_clock_that_steps_back_forgives_nothing(void **state)
{
	struct throttle *t = *state;

	exhaust(t, "10.0.0.1", "a@b", 5000);
	assert_int_not_equal(attempt(t, "10.0.0.1", "a@b", 4999), 0);
}

static void strangers_cannot_fill_it(void **state)
{
	struct throttle *t = *state;
	char account[32];

	for (int i = 0; i < 3000; i++) {
		snprintf(account, sizeof account, "user%d", i);
		assert_int_equal(attempt(t, "10.0.0.1", account, 1 + i), 0);
	}
}

static atomic_int passed;

static void *work_attempt(void *t)
{
	for (int i = 0; i < 100; i++)
		passed += attempt(t, "10.0.0.1", "a@b", 77) == 0;
	return NULL;
}

static void many_at_once_gain_nothing(void **state)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_attempt, *state), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(passed, THROTTLE_FREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(waits_double_up_to_the_cap, setup, teardown),
		cmocka_unit_test_setup_teardown(pairs_do_not_touch_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_success_clears, setup, teardown),
		cmocka_unit_test_setup_teardown(another_controld_counts_on, setup, teardown),
		cmocka_unit_test_setup_teardown(quiet_forgets, setup, teardown),
		cmocka_unit_test_setup_teardown(a_clock_that_steps_back_forgives_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(strangers_cannot_fill_it, setup, teardown),
		cmocka_unit_test_setup_teardown(many_at_once_gain_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
