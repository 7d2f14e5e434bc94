/* allowance: what is taken, given back and counted; that little is left is told once; threads never take more than there is. */
#include "common/net/allowance.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static unsigned lows;

static void on_low(struct allowance *a)
{
	(void)a;
	__atomic_add_fetch(&lows, 1, __ATOMIC_RELAXED);
}

static void test_taking(void **state)
{
	struct allowance a;

	(void)state;
	lows = 0;
	allowance_init(&a, on_low);
	assert_int_equal(allowance_take(&a, 10), 0);
	assert_int_equal(allowance_take(&a, 10), 0);
	assert_int_equal(lows, 1); /* once, until it is set again */
	assert_true(allowance_is_spent(&a));
	allowance_set(&a, 100, 50);
	assert_int_equal(allowance_take(&a, 40), 40);
	assert_int_equal(lows, 1);
	assert_int_equal(allowance_take(&a, 80), 60);
	assert_int_equal(lows, 2);
	assert_int_equal(allowance_take(&a, 1), 0);
	allowance_give(&a, 30);
	assert_false(allowance_spend(&a, 0) && allowance_is_spent(&a));
	assert_true(allowance_spend(&a, 50)); /* whole, and beyond by its size at most */
	assert_false(allowance_spend(&a, 1));
	allowance_set(&a, 90, 95); /* a limit that falls takes nothing back */
	assert_int_equal(allowance_take(&a, 10), 0);
	allowance_give(&a, 1000); /* of another account */
	assert_int_equal(allowance_take(&a, 1000), 90);
}

#define THREADS 4
#define EACH    100000

static struct allowance shared;

static void *work_take(void *arg)
{
	uint64_t *got = arg;

	for (unsigned i = 0; i < EACH; i++) {
		size_t n = allowance_take(&shared, 7);

		if (n > 0 && i % 3 == 0) {
			allowance_give(&shared, 1);
			n--;
		}
		allowance_count(&shared, n);
		*got += n;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	uint64_t got[THREADS] = { 0 }, sum = 0;

	(void)state;
	allowance_init(&shared, on_low);
	allowance_set(&shared, 1000003, UINT64_MAX);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_take, &got[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += got[i];
	}
	assert_true(sum <= 1000003);
	assert_int_equal(allowance_done(&shared), sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taking),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
