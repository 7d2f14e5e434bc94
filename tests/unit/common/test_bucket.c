/* bucket: exact over any rhythm of calls, no overflow, no borrowing. */
#include "common/base/macros.h"
#include "common/net/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static void test_no_limit(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 0, 0, 5);
	assert_true(bucket_take(&b, UINT64_MAX, 1, 5) == UINT64_MAX);
	assert_int_equal(bucket_wait_ns(&b, 1000, 5), 0);
}

static void test_take(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1000, 100, 0);
	assert_int_equal(bucket_take(&b, 60, 1, 0), 60);
	assert_int_equal(bucket_take(&b, 60, 60, 0), 0); /* all or nothing */
	assert_int_equal(bucket_take(&b, 60, 1, 0), 40);
	assert_int_equal(bucket_take(&b, 60, 1, 0), 0);
	assert_int_equal(bucket_wait_ns(&b, 1, 0), 1000000);
	assert_int_equal(bucket_take(&b, 60, 1, 999999), 0);
	assert_int_equal(bucket_take(&b, 60, 1, 1000000), 1);
	assert_int_equal(bucket_take(&b, 1000, 1, 100 * SECOND), 100); /* never more than the burst */
	bucket_give(&b, 30);
	assert_int_equal(bucket_take(&b, 1000, 1, 100 * SECOND), 30);
	bucket_give(&b, UINT64_MAX);
	assert_int_equal(bucket_take(&b, 1000, 1, 100 * SECOND), 100);
}

static void test_time_does_not_go_back(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1000, 100, 10 * SECOND);
	assert_int_equal(bucket_take(&b, 100, 1, 10 * SECOND), 100);
	assert_int_equal(bucket_take(&b, 100, 1, 9 * SECOND), 0);
	assert_int_equal(bucket_take(&b, 100, 1, 10 * SECOND), 0);
}

/* Whatever the step, what was given is what the rate makes, to the token. */
static void test_exact_over_odd_steps(void **state)
{
	static const uint64_t rates[] = { 1, 3, 7, 999, 1000003, 125000000, 12500000001 };
	static const uint64_t steps[] = { 1, 333, 1001, 999999, 10000019 };

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
		for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
			uint64_t given = 0, now = 0;
			struct bucket b;

			bucket_init(&b, rates[r], rates[r], 0);
			bucket_take(&b, UINT64_MAX, 1, 0);
			for (int i = 0; i < 5000; i++) {
				now += steps[s];
				given += bucket_take(&b, UINT64_MAX, 1, now);
			}
			/* now < 60 s: seconds and the rest apart keep the product in 64 bits */
			assert_true(given == now / SECOND * rates[r] + now % SECOND * (rates[r] / SECOND) +
						     now % SECOND * (rates[r] % SECOND) / SECOND);
		}
	}
}

static void test_wait_is_the_first_moment(void **state)
{
	static const uint64_t rates[] = { 1, 3, 1000, 999983, 12500000001 };

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
		for (uint64_t n = 1; n < 50; n += 7) {
			struct bucket b, early;
			uint64_t wait;

			bucket_init(&b, rates[r], 1000, 77);
			bucket_take(&b, 1000, 1, 77);
			wait = bucket_wait_ns(&b, n, 77);
			early = b;
			assert_int_equal(bucket_take(&early, n, n, 77 + wait - 1), 0);
			assert_int_equal(bucket_take(&b, n, n, 77 + wait), n);
		}
	}
}

static void test_wait_for_more_than_the_burst(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 10, 5, 0);
	bucket_take(&b, 5, 1, 0);
	assert_int_equal(bucket_wait_ns(&b, 1000, 0), SECOND / 2); /* until it is full: there will never be more */
	bucket_init(&b, 1, UINT64_MAX, 0);
	bucket_take(&b, UINT64_MAX, 1, 0);
	assert_true(bucket_wait_ns(&b, UINT64_MAX, 0) == UINT64_MAX);
}

static void test_set(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1000, 1000, 0);
	bucket_take(&b, 1000, 1, 0);
	bucket_set(&b, 10, 50, SECOND / 10); /* 100 came at the old rate, 50 fit */
	assert_int_equal(bucket_take(&b, 1000, 1, SECOND / 10), 50);
	assert_int_equal(bucket_take(&b, 1000, 1, SECOND / 10 + SECOND), 10);
	bucket_set(&b, 0, 0, 2 * SECOND);
	assert_int_equal(bucket_take(&b, 1000, 1, 2 * SECOND), 1000);
	bucket_set(&b, 1000, 100, 3 * SECOND);
	assert_true(bucket_take(&b, 1000, 1, 3 * SECOND) <= 100);
	bucket_init(&b, 1000, 0, 0); /* a burst of nothing would stop all: it is one */
	assert_int_equal(bucket_take(&b, 5, 1, 0), 1);
}

static void test_no_overflow(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, UINT64_MAX, UINT64_MAX, 0);
	assert_true(bucket_take(&b, UINT64_MAX, 1, 0) == UINT64_MAX);
	assert_true(bucket_take(&b, UINT64_MAX, 1, 1) == UINT64_MAX / SECOND);
	assert_true(bucket_take(&b, UINT64_MAX, 1, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_time_does_not_go_back),
		cmocka_unit_test(test_exact_over_odd_steps),
		cmocka_unit_test(test_wait_is_the_first_moment),
		cmocka_unit_test(test_wait_for_more_than_the_burst),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_no_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
