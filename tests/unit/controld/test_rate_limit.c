#include "controld/rest/rate_limit.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND 1000000000ull

static struct rate_limit *limiter(size_t entries)
{
	struct rate_limit *r;
	struct err e;

	assert_int_equal(rate_limit_new(&r, entries, &e), 0);
	return r;
}

static void test_burst_then_rate(void **state)
{
	struct rate_limit *r = limiter(8);
	uint64_t now = 5 * SECOND;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rate_limit_take(r, "a", 10, 3, now), 0);
	assert_in_range(rate_limit_take(r, "a", 10, 3, now), 1, 101);
	assert_int_equal(rate_limit_take(r, "b", 10, 3, now), 0); /* others are not held up */
	now += SECOND / 10;
	assert_int_equal(rate_limit_take(r, "a", 10, 3, now), 0);
	assert_in_range(rate_limit_take(r, "a", 10, 3, now), 1, 101);
	now += 10 * SECOND; /* no more than the burst is saved up */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rate_limit_take(r, "a", 10, 3, now), 0);
	assert_true(rate_limit_take(r, "a", 10, 3, now) > 0);
	rate_limit_free(r);
}

static void test_long_run_is_the_rate(void **state)
{
	struct rate_limit *r = limiter(8);
	unsigned taken = 0;

	(void)state;
	for (uint64_t ms = 0; ms < 10000; ms++)
		taken += rate_limit_take(r, "a", 50, 5, SECOND + ms * 1000000) == 0;
	assert_in_range(taken, 500, 505);
	rate_limit_free(r);
}

static void test_rate_0_is_no_limit(void **state)
{
	struct rate_limit *r = limiter(8);

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(rate_limit_take(r, "a", 0, 0, SECOND), 0);
	assert_int_equal(rate_limit_entries(r), 0);
	rate_limit_free(r);
	rate_limit_free(NULL);
}

static void test_waiting_as_told_suffices(void **state)
{
	struct rate_limit *r = limiter(8);
	uint64_t now = SECOND;
	uint64_t wait_ms;

	(void)state;
	assert_int_equal(rate_limit_take(r, "a", 3, 1, now), 0);
	wait_ms = rate_limit_take(r, "a", 3, 1, now);
	assert_true(wait_ms > 0);
	assert_int_equal(rate_limit_take(r, "a", 3, 1, now + wait_ms * 1000000), 0);
	rate_limit_free(r);
}

static void test_changed_rate_holds_at_once(void **state)
{
	struct rate_limit *r = limiter(8);

	(void)state;
	assert_int_equal(rate_limit_take(r, "a", 1000, 1000, SECOND), 0);
	assert_int_equal(rate_limit_take(r, "a", 1, 1, SECOND), 0);
	assert_true(rate_limit_take(r, "a", 1, 1, SECOND) > 0);
	rate_limit_free(r);
}

static void test_table_forgets_the_quiet(void **state)
{
	struct rate_limit *r = limiter(4);
	char key[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof key, "k%u", i);
		assert_int_equal(rate_limit_take(r, key, 1, 1, SECOND), 0);
		if (i > 0) /* who keeps asking is kept */
			assert_true(rate_limit_take(r, "k0", 1, 1, SECOND) > 0);
	}
	assert_int_equal(rate_limit_entries(r), 4);
	rate_limit_free(r);
}

static void test_hour(void **state)
{
	struct rate_limit *r = limiter(8);
	struct rate_window w;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		rate_limit_count(r, "t", 100, 1000 + i, &w);
		assert_false(w.refused);
		assert_int_equal(w.limit, 100);
		assert_int_equal(w.remaining, 99 - i);
		assert_int_equal(w.reset_s, 1000 + 3600);
	}
	rate_limit_count(r, "t", 100, 4599, &w);
	assert_true(w.refused);
	assert_int_equal(w.remaining, 0);
	rate_limit_count(r, "t", 100, 4600, &w); /* the next hour */
	assert_false(w.refused);
	assert_int_equal(w.remaining, 99);
	assert_int_equal(w.reset_s, 8200);
	rate_limit_count(r, "t", 100, 0, &w); /* the clock was set back */
	assert_int_equal(w.reset_s, 3600);
	rate_limit_free(r);
}

/* So many a minute, all at once if need be; what is left is told. */
static void of_a_row(void **state)
{
	const uint64_t second = UINT64_C(1000000000);
	struct rate_limit *r;
	struct rate_left left;

	(void)state;
	assert_int_equal(rate_limit_new(&r, 10, NULL), 0);
	for (uint64_t n = 0; n < 5; n++) {
		rate_limit_take_of(r, "k", 5, second, &left);
		assert_int_equal(left.wait_ms, 0);
		assert_int_equal(left.remaining, 4 - n);
		assert_int_equal(left.full_ms, (n + 1) * 12000);
	}
	rate_limit_take_of(r, "k", 5, 2 * second, &left);
	assert_true(left.wait_ms > 10900 && left.wait_ms <= 11001);
	assert_int_equal(left.remaining, 0);
	rate_limit_take_of(r, "k", 5, 13 * second, &left); /* 12 s for one */
	assert_int_equal(left.wait_ms, 0);
	rate_limit_take_of(r, "other", 5, 13 * second, &left);
	assert_int_equal(left.remaining, 4);
	rate_limit_take_of(r, "k", 5, 1000 * second, &left);
	assert_int_equal(left.remaining, 4); /* no more than are in a minute */
	rate_limit_free(r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_row),
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_long_run_is_the_rate),
		cmocka_unit_test(test_rate_0_is_no_limit),
		cmocka_unit_test(test_waiting_as_told_suffices),
		cmocka_unit_test(test_changed_rate_holds_at_once),
		cmocka_unit_test(test_table_forgets_the_quiet),
		cmocka_unit_test(test_hour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
