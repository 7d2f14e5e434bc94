/* The balancing algorithms one by one, and tiers, panic, drains, places: what each promises, counted over many choices. */
#include "relayd/lb/lb_adaptive.h"
#include "relayd/lb/lb_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 64
#define S    UINT64_C(1000000000)

/* A pool with one worker; `got` counts who was chosen. */
struct bench {
	struct upstream ups[MOST];
	struct upstream *list[MOST];
	struct lb_pool pool;
	struct lb_worker worker;
	unsigned got[MOST];
	uint64_t now;
};

static struct bench bench;

static const char *const all_names[] = { "round_robin", "weighted_round_robin", "least_connections", "random_two",
	"ip_hash", "consistent_hash", "peak_ewma", "adaptive_ai" };

static void setup(const char *algorithm, const struct upstream_conf *confs, unsigned n, uint32_t panic_percent)
{
	const struct lb_pool_conf conf = { lb_algorithm_find(algorithm), 140, panic_percent };

	memset(&bench, 0, sizeof bench);
	bench.now = 100 * S;
	assert_non_null(conf.algorithm);
	for (unsigned i = 0; i < n; i++) {
		upstream_init(&bench.ups[i], &confs[i]);
		bench.ups[i].conf.key = i + 1;
		bench.list[i] = &bench.ups[i];
	}
	assert_int_equal(lb_pool_init(&bench.pool, &conf, bench.list, n), 0);
	assert_int_equal(lb_worker_init(&bench.worker, &bench.pool, 42), 0);
}

static void setup_even(const char *algorithm, unsigned n)
{
	struct upstream_conf confs[MOST] = { 0 };

	for (unsigned i = 0; i < n; i++)
		confs[i].weight = 1;
	setup(algorithm, confs, n, 0);
}

static void teardown(void)
{
	lb_worker_fini(&bench.worker);
	lb_pool_fini(&bench.pool);
}

/* The number of the chosen one, which keeps its place; -1: full; -2: none. */
static int pick(uint64_t key)
{
	struct lb_ask ask = { .now_ns = bench.now, .key = key };
	struct upstream *u = NULL;

	switch (lb_worker_pick(&bench.worker, &ask, &u)) {
	case LB_CHOSEN:
		return (int)(u - bench.ups);
	case LB_FULL:
		return -1;
	default:
		return -2;
	}
}

/* Requests that are answered at once. */
static void run(unsigned times)
{
	memset(bench.got, 0, sizeof bench.got);
	for (unsigned i = 0; i < times; i++) {
		const int at = pick(i * UINT64_C(0x9e3779b97f4a7c15));
		struct upstream *probe = lb_worker_probe(&bench.worker, bench.now);

		assert_true(at >= 0);
		bench.got[at]++;
		upstream_release(&bench.ups[at]);
		if (probe != NULL) /* all answer alike, but not twice the same */
			lb_worker_probed(&bench.worker, probe, 1000000 + i % 7, 0, bench.now);
		bench.now += 1000000;
	}
}

static void assert_near(unsigned got, unsigned want, unsigned percent)
{
	if (got * 100 < want * (100 - percent) || got * 100 > want * (100 + percent))
		fail_msg("%u, not %u within %u %%", got, want, percent);
}

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_names); i++)
		assert_string_equal(lb_algorithm_find(all_names[i])->name, all_names[i]);
	assert_null(lb_algorithm_find("roundrobin"));
}

/* Every algorithm: idle targets of one weight get the same, the drained one nothing, the one that is down nothing. */
static void test_spread(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_names); i++) {
		struct upstream_conf confs[6] = { { .weight = 1 }, { .weight = 1 }, { .weight = 1 }, { .weight = 0 },
			{ .weight = 1 }, { .weight = 1 } };

		setup(all_names[i], confs, 6, 0);
		upstream_set_down(&bench.ups[5], UPSTREAM_UNHEALTHY, true, bench.now);
		lb_pool_refresh(&bench.pool);
		run(8000);
		assert_int_equal(bench.got[3], 0);
		assert_int_equal(bench.got[5], 0);
		for (unsigned k = 0; k < 5; k++)
			if (k != 3)
				assert_near(bench.got[k], 2000, strcmp(all_names[i], "adaptive_ai") == 0 ? 60 : 15);
		teardown();
	}
}

/* Every algorithm: who is down for all is nobody; with weight 0 as well. */
static void test_nobody(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_names); i++) {
		setup_even(all_names[i], 2);
		upstream_set_down(&bench.ups[0], UPSTREAM_UNHEALTHY, true, bench.now);
		upstream_set_down(&bench.ups[1], UPSTREAM_EJECTED, true, bench.now);
		lb_pool_refresh(&bench.pool);
		assert_int_equal(pick(1), -2);
		teardown();
		setup(all_names[i], &(struct upstream_conf){ .weight = 0 }, 1, 0);
		assert_int_equal(pick(1), -2);
		teardown();
		setup(all_names[i], NULL, 0, 0);
		assert_int_equal(pick(1), -2);
		teardown();
	}
}

/* Every algorithm: no more than max_in_flight, then full; a place that is given back is found, wherever it is. */
static void test_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_names); i++) {
		struct upstream_conf confs[40];

		for (unsigned k = 0; k < 40; k++)
			confs[k] = (struct upstream_conf){ .weight = 1, .max_in_flight = 2 };
		setup(all_names[i], confs, 40, 0);
		for (unsigned k = 0; k < 80; k++)
			assert_true(pick(k) >= 0);
		assert_int_equal(pick(1), -1);
		for (unsigned k = 0; k < 40; k++)
			assert_int_equal(upstream_in_flight(&bench.ups[k]), 2);
		for (unsigned k = 0; k < 40; k += 13) {
			upstream_release(&bench.ups[k]);
			assert_int_equal(pick(1), (int)k);
		}
		teardown();
	}
}

/* Every algorithm: what was tried is not chosen again. */
static void test_tried(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_names); i++) {
		setup_even(all_names[i], 3);
		for (unsigned k = 0; k < 100; k++) {
			struct lb_ask ask = {
				.now_ns = bench.now, .key = k, .n_tried = 2, .tried = { &bench.ups[2], &bench.ups[0] }
			};
			struct upstream *u;

			assert_int_equal(lb_worker_pick(&bench.worker, &ask, &u), LB_CHOSEN);
			assert_ptr_equal(u, &bench.ups[1]);
			upstream_release(u);
		}
		teardown();
	}
}

static void test_weights(void **state)
{
	static const char *const names[] = { "weighted_round_robin", "random_two", "ip_hash", "consistent_hash",
		"peak_ewma" };
	const struct upstream_conf confs[] = { { .weight = 5 }, { .weight = 1 }, { .weight = 4 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		setup(names[i], confs, 3, 0);
		run(20000);
		assert_near(bench.got[0], 10000, 8);
		assert_near(bench.got[1], 2000, 20);
		assert_near(bench.got[2], 8000, 8);
		teardown();
	}
}

/* 5, 1, 1 in every seven choices, give or take one. */
static void test_smooth(void **state)
{
	const struct upstream_conf confs[] = { { .weight = 5 }, { .weight = 1 }, { .weight = 1 } };
	unsigned in_row = 0;

	(void)state;
	setup("weighted_round_robin", confs, 3, 0);
	for (unsigned i = 0; i < 700; i++) {
		const int at = pick(0);

		bench.got[at]++;
		in_row = at == 0 ? in_row + 1 : 0;
		assert_true(in_row <= 5); /* the end of one turn and the begin of the next */
		if (i % 7 == 6) {
			assert_in_range(bench.got[0], (i + 1) / 7 * 5 - 1, (i + 1) / 7 * 5 + 1);
		}
	}
	teardown();
}

static void test_least(void **state)
{
	const struct upstream_conf confs[] = { { .weight = 1 }, { .weight = 3 } };

	(void)state;
	setup_even("least_connections", 4);
	for (unsigned i = 0; i < 40; i++)
		pick(0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(upstream_in_flight(&bench.ups[i]), 10);
	upstream_release(&bench.ups[2]);
	assert_int_equal(pick(0), 2);
	teardown();
	setup("least_connections", confs, 2, 0);
	for (unsigned i = 0; i < 40; i++)
		pick(0);
	assert_int_equal(upstream_in_flight(&bench.ups[0]), 10);
	teardown();
}

/* A key stays where it is; when one of 20 goes, only its own keys move, and they come back with it. */
static void test_hash_stays(void **state)
{
	static const char *const names[] = { "ip_hash", "consistent_hash" };
	static int before[4000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		unsigned moved = 0, to[MOST] = { 0 };

		setup_even(names[i], 20);
		for (unsigned k = 0; k < 4000; k++) {
			before[k] = pick(k);
			upstream_release(&bench.ups[before[k]]);
		}
		upstream_set_down(&bench.ups[7], UPSTREAM_UNHEALTHY, true, bench.now);
		lb_pool_refresh(&bench.pool);
		for (unsigned k = 0; k < 4000; k++) {
			const int now = pick(k);

			upstream_release(&bench.ups[now]);
			assert_true(now == before[k] || before[k] == 7);
			moved += now != before[k];
			to[now] += before[k] == 7;
		}
		assert_near(moved, 200, 25);
		for (unsigned k = 0; k < 20; k++) /* and all share them */
			assert_true(k == 7 ? to[k] == 0 : to[k] < 40);
		upstream_set_down(&bench.ups[7], UPSTREAM_UNHEALTHY, false, bench.now);
		for (unsigned k = 0; k < 4000; k++) {
			const int now = pick(k);

			assert_int_equal(now, before[k]);
			upstream_release(&bench.ups[now]);
		}
		teardown();
	}
}

/* When a target is taken away for good, few of the other keys move. */
static void test_hash_rebuilt(void **state)
{
	static int before[4000];
	struct lb_pool_conf conf = { lb_algorithm_find("ip_hash"), 140, 0 };
	unsigned moved = 0;

	(void)state;
	setup_even("ip_hash", 20);
	for (unsigned k = 0; k < 4000; k++)
		before[k] = pick(k);
	teardown();
	assert_int_equal(lb_pool_init(&bench.pool, &conf, bench.list, 19), 0); /* the last one has gone */
	assert_int_equal(lb_worker_init(&bench.worker, &bench.pool, 1), 0);
	for (unsigned k = 0; k < 4000; k++)
		moved += pick(k) != before[k] && before[k] != 19;
	assert_true(moved < 4000 / 10);
	teardown();
}

/* One hot key: consistent_hash spreads what is too much, ip_hash does not. */
static void test_bounded_load(void **state)
{
	unsigned most = 0;

	(void)state;
	setup_even("consistent_hash", 20);
	for (unsigned i = 0; i < 400; i++)
		pick(99);
	for (unsigned i = 0; i < 20; i++)
		most = MAX(most, upstream_in_flight(&bench.ups[i]));
	assert_true(most < 80); /* 20 are the mean of all, but the key has an order of its own */
	teardown();
	setup_even("ip_hash", 20);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(pick(99), pick(99));
	teardown();
}

static void test_peak_ewma(void **state)
{
	(void)state;
	setup_even("peak_ewma", 2);
	upstream_observe(&bench.ups[0], 50000000, bench.now);
	upstream_observe(&bench.ups[1], 1000000, bench.now);
	run(1000);
	assert_true(bench.got[1] > 700); /* both are drawn in half of all choices, and then the fast one is taken */
	/* It rises at once and falls slowly. */
	upstream_observe(&bench.ups[1], 90000000, bench.now);
	assert_int_equal(upstream_latency(&bench.ups[1], bench.now), 90000000);
	upstream_observe(&bench.ups[1], 1000000, bench.now + S / 100);
	assert_true(upstream_latency(&bench.ups[1], bench.now + S / 100) > 80000000);
	assert_true(upstream_latency(&bench.ups[1], bench.now + 60 * S) < 20000000);
	teardown();
}

/* Cold: the fast one. Hot: away from the crowd, however fast it is. Without probes: as random_two. */
static void test_adaptive(void **state)
{
	(void)state;
	setup_even("adaptive_ai", 10);
	run(100);           /* with probes that all say the same */
	bench.now += 5 * S; /* forgotten */
	for (unsigned i = 0; i < 10; i++)
		lb_worker_probed(&bench.worker, &bench.ups[i], i == 4 ? 1000000 : 9000000, 0, bench.now);
	assert_int_equal(pick(0), 4);
	for (unsigned i = 0; i < 50; i++)
		assert_true(upstream_acquire(&bench.ups[4]));
	for (unsigned i = 0; i < 5; i++)
		assert_int_not_equal(pick(0), 4);
	teardown();
}

/* A fast one whose probe fails is chosen no more, and a crowd that others send there counts as our own. */
static void test_adaptive_news(void **state)
{
	(void)state;
	setup_even("adaptive_ai", 10);
	for (unsigned i = 0; i < 10; i++)
		lb_worker_probed(&bench.worker, &bench.ups[i], i == 4 ? 1000000 : 2000000 + i, 0, bench.now);
	assert_int_equal(pick(0), 4);
	upstream_release(&bench.ups[4]);
	lb_worker_lost(&bench.worker, &bench.ups[4]);
	for (unsigned i = 0; i < 10; i++)
		assert_int_not_equal(pick(0), 4);
	lb_worker_probed(&bench.worker, &bench.ups[4], 1000000, 5000, bench.now);
	for (unsigned i = 0; i < 5; i++)
		assert_int_not_equal(pick(0), 4);
	teardown();
}

/* Probes that are wanted within two milliseconds; in all. */
static unsigned probes_within_2ms(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i <= 20; i++, bench.now += 100000)
		while (lb_worker_probe(&bench.worker, bench.now) != NULL)
			n++;
	return n;
}

static unsigned probes_wanted(void)
{
	unsigned n = 0;

	for (bench.now += S; lb_worker_probe(&bench.worker, bench.now) != NULL; n++)
		bench.now += 1000000;
	return n;
}

/* As many as there were choices, and a few to begin with; never more than one in a millisecond. */
static void test_adaptive_probes(void **state)
{
	(void)state;
	setup_even("adaptive_ai", 10);
	assert_int_equal(probes_within_2ms(), 3);
	assert_int_equal(probes_wanted(), 7);
	for (unsigned i = 0; i < 7; i++)
		pick(0);
	assert_int_equal(probes_wanted(), 7);
	for (unsigned i = 0; i < 1000; i++)
		pick(0);
	assert_int_equal(probes_wanted(), 16);
	teardown();
	setup_even("random_two", 10);
	assert_null(lb_worker_probe(&bench.worker, bench.now));
	teardown();
}

/* One at a time to each target, and not at once again. */
static void test_probing(void **state)
{
	struct lb_probing p = { .out = false };

	(void)state;
	assert_true(lb_probing_may(&p, 5));
	p = (struct lb_probing){ true, S };
	assert_false(lb_probing_may(&p, 9 * S));
	p.out = false;
	assert_false(lb_probing_may(&p, S + LB_PROBE_APART_NS - 1));
	assert_true(lb_probing_may(&p, S + LB_PROBE_APART_NS));
}

static void test_slow_start(void **state)
{
	static const char *const names[] = { "weighted_round_robin", "random_two", "peak_ewma" };
	struct upstream_conf confs[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		confs[i] = (struct upstream_conf){ .weight = 10, .slow_start_ns = 100 * S };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		setup(names[i], confs, 4, 0);
		run(4000);
		assert_near(bench.got[1], 1000, 15);
		assert_true(upstream_set_down(&bench.ups[1], UPSTREAM_UNHEALTHY, true, bench.now));
		assert_true(upstream_set_down(&bench.ups[1], UPSTREAM_UNHEALTHY, false, bench.now));
		assert_int_equal(upstream_weight(&bench.ups[1], bench.now), 256);
		assert_int_equal(upstream_weight(&bench.ups[1], bench.now - 1), 256); /* looked earlier */
		run(4000);                                                            /* 4 s of its 100 */
		assert_true(bench.got[1] > 30 && bench.got[1] < 300);
		bench.now += 100 * S;
		assert_int_equal(upstream_weight(&bench.ups[1], bench.now), 2560);
		run(4000);
		assert_near(bench.got[1], 1000, 15);
		teardown();
	}
}

static void test_acquire(void **state)
{
	struct upstream u;

	(void)state;
	upstream_init(&u, &(struct upstream_conf){ .weight = 1, .max_in_flight = 2 });
	assert_true(upstream_acquire(&u));
	assert_true(upstream_acquire(&u));
	assert_false(upstream_acquire(&u));
	assert_int_equal(upstream_in_flight(&u), 2);
	upstream_release(&u);
	assert_true(upstream_acquire(&u));
}

/* Two reasons to be down are both to go; only the last one makes a change. */
static void test_reasons(void **state)
{
	struct upstream u;

	(void)state;
	upstream_init(&u, &(struct upstream_conf){ .weight = 1 });
	assert_true(upstream_set_down(&u, UPSTREAM_UNHEALTHY, true, 1));
	assert_false(upstream_set_down(&u, UPSTREAM_EJECTED, true, 1));
	assert_false(upstream_set_down(&u, UPSTREAM_UNHEALTHY, false, 1));
	assert_false(upstream_is_up(&u));
	assert_true(upstream_set_down(&u, UPSTREAM_EJECTED, false, 1));
	assert_false(upstream_set_down(&u, UPSTREAM_EJECTED, false, 1));
	assert_true(upstream_is_up(&u));
}

static void set_down(unsigned from, unsigned to, bool down)
{
	for (unsigned i = from; i < to; i++)
		upstream_set_down(&bench.ups[i], UPSTREAM_UNHEALTHY, down, bench.now);
	lb_pool_refresh(&bench.pool);
}

static unsigned sum(unsigned from, unsigned to)
{
	unsigned n = 0;

	for (unsigned i = from; i < to; i++)
		n += bench.got[i];
	return n;
}

/* 10 near, 10 far, 2 backups; headroom 140 %. */
static void test_tiers(void **state)
{
	struct upstream_conf confs[22];

	(void)state;
	for (unsigned i = 0; i < 22; i++)
		confs[i] = (struct upstream_conf){ .weight = 1, .tier = i < 10 ? 0 : 3, .backup = i >= 20 };
	setup("random_two", confs, 22, 0);
	run(1000);
	assert_int_equal(sum(0, 10), 1000);
	set_down(0, 2, true); /* 80 % * 1.4 is more than all */
	run(1000);
	assert_int_equal(sum(0, 10), 1000);
	set_down(0, 5, true); /* 50 % * 1.4 = 70 % */
	run(10000);
	assert_near(sum(0, 10), 7000, 5);
	assert_near(sum(10, 20), 3000, 10);
	set_down(0, 10, true);
	run(1000);
	assert_int_equal(sum(10, 20), 1000);
	set_down(0, 20, true);
	run(1000);
	assert_int_equal(sum(20, 22), 1000);
	set_down(0, 22, true);
	assert_int_equal(pick(0), -2);
	set_down(0, 20, false);
	run(1000);
	assert_int_equal(sum(0, 10), 1000);
	teardown();
}

/* A near tier without a free place spills over, too. */
static void test_tier_full(void **state)
{
	const struct upstream_conf confs[] = { { .weight = 1, .max_in_flight = 3 }, { .weight = 1, .tier = 1 } };

	(void)state;
	setup("round_robin", confs, 2, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pick(0), 0);
	assert_int_equal(pick(0), 1);
	teardown();
}

static void test_panic(void **state)
{
	struct upstream_conf confs[10];

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		confs[i] = (struct upstream_conf){ .weight = i == 9 ? 0 : 1 };
	setup("random_two", confs, 10, 50);
	set_down(0, 4, true);
	assert_false(lb_pool_panics(&bench.pool));
	run(1000);
	assert_int_equal(sum(0, 4), 0);
	upstream_set_down(&bench.ups[4], UPSTREAM_UNHEALTHY, true, bench.now);
	assert_true(lb_pool_refresh(&bench.pool)); /* 4 of 9: panic begins, and says so */
	assert_false(lb_pool_refresh(&bench.pool));
	assert_true(lb_pool_panics(&bench.pool));
	run(9000);
	assert_near(sum(0, 5), 5000, 10);
	assert_int_equal(bench.got[9], 0); /* who drains is not called back */
	upstream_set_down(&bench.ups[4], UPSTREAM_UNHEALTHY, false, bench.now);
	assert_true(lb_pool_refresh(&bench.pool));
	run(1000);
	assert_int_equal(sum(0, 4), 0);
	teardown();
}

static void test_take(void **state)
{
	const struct upstream_conf confs[] = { { .weight = 1 }, { .weight = 1, .max_in_flight = 1 }, { .weight = 0 } };
	struct lb_ask ask = { .now_ns = 1 };
	struct upstream *u;

	(void)state;
	setup("round_robin", confs, 3, 0);
	assert_true(lb_worker_take(&bench.worker, &ask, 2, &u));
	assert_ptr_equal(u, &bench.ups[1]);
	assert_int_equal(upstream_in_flight(u), 1);
	assert_false(lb_worker_take(&bench.worker, &ask, 2, &u)); /* full */
	assert_false(lb_worker_take(&bench.worker, &ask, 3, &u)); /* drains */
	assert_false(lb_worker_take(&bench.worker, &ask, 4, &u)); /* gone */
	upstream_set_down(&bench.ups[0], UPSTREAM_UNHEALTHY, true, bench.now);
	assert_false(lb_worker_take(&bench.worker, &ask, 1, &u));
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_tried),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_smooth),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_hash_stays),
		cmocka_unit_test(test_hash_rebuilt),
		cmocka_unit_test(test_bounded_load),
		cmocka_unit_test(test_peak_ewma),
		cmocka_unit_test(test_adaptive),
		cmocka_unit_test(test_adaptive_probes),
		cmocka_unit_test(test_adaptive_news),
		cmocka_unit_test(test_probing),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_acquire),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_tier_full),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
