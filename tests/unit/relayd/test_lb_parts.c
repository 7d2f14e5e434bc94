/* What stands beside the choice: outliers and their cap, the budget of retries, the queue, the sticky cookie. */
#include "relayd/lb/lb_outlier.h"
#include "relayd/lb/lb_queue.h"
#include "relayd/lb/lb_retry.h"
#include "relayd/lb/lb_sticky.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 20
#define S UINT64_C(1000000000)

static struct upstream ups[N];
static struct upstream *list[N];
static struct {
	unsigned out, back;
	enum lb_outlier_why why;
} seen;

static void on_change(void *arg, struct upstream *u, enum lb_outlier_why why, double rate)
{
	(void)arg;
	(void)u;
	(void)rate;
	__atomic_fetch_add(why == LB_BACK ? &seen.back : &seen.out, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&seen.why, why, __ATOMIC_RELAXED);
}

static void setup(struct lb_outlier *o, uint32_t max_percent)
{
	const struct lb_outlier_conf conf = { .failures_in_row = 5,
		.max_percent = max_percent,
		.base_ns = 30 * S,
		.max_ns = 100 * S,
		.min_answers = 50,
		.min_targets = 5,
		.deviations = 19 };

	memset(&seen, 0, sizeof seen);
	for (unsigned i = 0; i < N; i++) {
		upstream_init(&ups[i], &(struct upstream_conf){ .weight = 1, .slow_start_ns = S });
		list[i] = &ups[i];
	}
	lb_outlier_init(o, &conf, N, on_change, NULL);
}

static bool fail_times(struct lb_outlier *o, struct upstream *u, unsigned times, uint64_t now_ns)
{
	bool ejected = false;

	for (unsigned i = 0; i < times; i++)
		ejected |= lb_outlier_answer(o, u, true, now_ns);
	return ejected;
}

static void test_in_row(void **state)
{
	struct lb_outlier o;

	(void)state;
	setup(&o, 50);
	assert_false(fail_times(&o, &ups[3], 4, S));
	assert_false(lb_outlier_answer(&o, &ups[3], false, S)); /* one that is well ends the row */
	assert_false(fail_times(&o, &ups[3], 4, S));
	assert_true(fail_times(&o, &ups[3], 1, S));
	assert_false(upstream_is_up(&ups[3]));
	assert_int_equal(seen.why, LB_FAILED_IN_ROW);
	assert_int_equal(lb_outlier_tick(&o, list, N, 30 * S), 0);
	assert_int_equal(lb_outlier_tick(&o, list, N, 31 * S), 1);
	assert_true(upstream_is_up(&ups[3]));
	assert_true(upstream_weight(&ups[3], 31 * S) < 256); /* starts slowly */
	/* The second time is twice as long, and there is a longest. */
	assert_true(fail_times(&o, &ups[3], 5, 40 * S));
	assert_int_equal(lb_outlier_tick(&o, list, N, 99 * S), 0);
	assert_int_equal(lb_outlier_tick(&o, list, N, 100 * S), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(fail_times(&o, &ups[3], 5, (200 + 200 * i) * S));
		assert_int_equal(lb_outlier_tick(&o, list, N, (301 + 200 * i) * S), 1);
	}
	/* A tick with answers and without a failure forgives. */
	lb_outlier_answer(&o, &ups[3], false, 1000 * S);
	lb_outlier_tick(&o, list, N, 1000 * S);
	assert_true(fail_times(&o, &ups[3], 5, 1000 * S));
	assert_int_equal(lb_outlier_tick(&o, list, N, 1030 * S), 1);
	assert_int_equal(seen.out, seen.back);
}

/* The proposed ejection is counted in: of 20 and 14 % two may be out, not three. */
static void test_cap(void **state)
{
	struct lb_outlier o;

	(void)state;
	setup(&o, 14);
	for (unsigned i = 0; i < N; i++)
		fail_times(&o, &ups[i], 50, S);
	assert_int_equal(seen.out, 2);
	assert_int_equal(lb_outlier_tick(&o, list, N, 100 * S), 2);
	setup(&o, 4); /* of 20 not even one */
	assert_false(fail_times(&o, &ups[0], 50, S));
	setup(&o, 5);
	assert_true(fail_times(&o, &ups[0], 50, S));
}

static void *work_fail(void *arg)
{
	struct lb_outlier *o = arg;

	for (unsigned round = 0; round < 200; round++)
		for (unsigned i = 0; i < N; i++)
			lb_outlier_answer(o, &ups[i], true, S);
	return NULL;
}

/* Workers that propose at once do not go over it together. */
static void test_cap_of_many(void **state)
{
	struct lb_outlier o;
	pthread_t threads[3];
	unsigned down = 0;

	(void)state;
	setup(&o, 25);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_fail, &o), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < N; i++)
		down += !upstream_is_up(&ups[i]);
	assert_int_equal(down, 5);
	assert_int_equal(seen.out, 5);
	assert_int_equal(o.out, 5);
}

static void test_rates(void **state)
{
	struct lb_outlier o;

	(void)state;
	setup(&o, 10);
	for (unsigned i = 0; i < N; i++)
		for (unsigned k = 0; k < 100; k++) /* 99 % are well, of one 90 % */
			lb_outlier_answer(&o, &ups[i], i == 6 ? k % 10 == 0 : k == 0, S);
	assert_int_equal(lb_outlier_tick(&o, list, N, S), 1);
	assert_false(upstream_is_up(&ups[6]));
	assert_int_equal(seen.why, LB_RATE);
	/* Too few answers say nothing. */
	setup(&o, 10);
	for (unsigned i = 0; i < N; i++)
		for (unsigned k = 0; k < 49; k++)
			lb_outlier_answer(&o, &ups[i], i == 6 && k % 2 == 0, S);
	assert_int_equal(lb_outlier_tick(&o, list, N, S), 0);
}

static void test_retry(void **state)
{
	struct lb_retry r;
	unsigned got = 0;

	(void)state;
	lb_retry_init(&r, 20, 3, S);
	while (lb_retry_take(&r, S))
		got++;
	assert_int_equal(got, 3);
	for (unsigned i = 0; i < 100; i++)
		lb_retry_request(&r);
	for (got = 0; lb_retry_take(&r, S);)
		got++;
	assert_int_equal(got, 20);
	for (got = 0; lb_retry_take(&r, 3 * S);)
		got++;
	assert_int_equal(got, 6); /* two seconds of three */
	for (unsigned i = 0; i < 100000; i++)
		lb_retry_request(&r);
	for (got = 0; lb_retry_take(&r, 1000 * S);)
		got++;
	assert_int_equal(got, 230); /* what is kept has an end */
	lb_retry_init(&r, 0, 0, S);
	lb_retry_request(&r);
	assert_false(lb_retry_take(&r, 100 * S));
}

static void test_queue(void **state)
{
	struct lb_waiter w[4];
	struct lb_queue q;

	(void)state;
	lb_queue_init(&q, 3, 5 * S);
	assert_int_equal(lb_queue_next_ns(&q), 0);
	assert_null(lb_queue_pop(&q, 0));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(lb_queue_push(&q, &w[i], i * S), i < 3);
	assert_int_equal(lb_queue_next_ns(&q), 5 * S);
	assert_null(lb_queue_expired(&q, 4 * S));
	assert_ptr_equal(lb_queue_pop(&q, 4 * S), &w[0]);
	lb_queue_remove(&q, &w[1]);
	assert_true(lb_queue_push(&q, &w[3], 4 * S));
	/* Whose time is over is not served any more. */
	assert_ptr_equal(lb_queue_pop(&q, 7 * S), &w[3]);
	assert_ptr_equal(lb_queue_expired(&q, 7 * S), &w[2]);
	assert_null(lb_queue_expired(&q, 100 * S));
	assert_int_equal(q.n, 0);
}

static const uint8_t secret[LB_STICKY_SECRET] = "0123456789abcdef0123456789abcdef";

static void test_sticky(void **state)
{
	char cookie[LB_STICKY_LEN + 1], other[LB_STICKY_LEN + 1];
	uint8_t secret_2[LB_STICKY_SECRET] = { 0 };
	uint64_t key = 0;

	(void)state;
	lb_sticky_make(cookie, secret, "pool_1", UINT64_C(0x0123456789abcdef), 600000);
	assert_string_equal(cookie, "AQEjRWeJq83vAAAACrqn5lH-adueelYOUu3tTWg");
	assert_int_equal(lb_sticky_read(&key, secret, "pool_1", cookie, LB_STICKY_LEN, 600000), 0);
	assert_true(key == UINT64_C(0x0123456789abcdef));
	assert_int_equal(lb_sticky_read(&key, secret, "pool_1", cookie, LB_STICKY_LEN, 600001), -1); /* over */
	assert_int_equal(lb_sticky_read(&key, secret, "pool_2", cookie, LB_STICKY_LEN, 0), -1);
	assert_int_equal(lb_sticky_read(&key, secret_2, "pool_1", cookie, LB_STICKY_LEN, 0), -1);
	assert_int_equal(lb_sticky_read(&key, secret, "pool_1", cookie, LB_STICKY_LEN - 1, 0), -1);
	for (unsigned i = 0; i < LB_STICKY_LEN - 1; i++) { /* the last one has two bits that are not used */
		memcpy(other, cookie, sizeof other);
		other[i] = other[i] == 'x' ? 'y' : 'x';
		assert_int_equal(lb_sticky_read(&key, secret, "pool_1", other, LB_STICKY_LEN, 0), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_row),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_cap_of_many),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
