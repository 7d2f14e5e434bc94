/* Pools, workers and route tables when memory runs out at any point: -1, and nothing is left behind (the sanitizer looks). */
#define _GNU_SOURCE
#include "tests/unit/lib/alloc_fail.h"

#include "relayd/lb/lb_pool.h"
#include "relayd/route/route_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define N 8

static void test_pools(void **state)
{
	static const char *const names[] = { "weighted_round_robin", "consistent_hash", "random_two", "adaptive_ai" };
	static struct upstream ups[N];
	struct upstream *list[N];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		upstream_init(
			&ups[i], &(struct upstream_conf){ .key = i, .weight = i, .tier = i % 2, .backup = i == 7 });
		list[i] = &ups[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct lb_pool_conf conf = { lb_algorithm_find(names[i]), 140, 50 };
		size_t failures = 0;

		ALLOC_FAIL_EACH(n)
		{
			struct lb_worker w;
			struct lb_pool p;
			int pool, worker = -1;

			alloc_fail_after(n);
			pool = lb_pool_init(&p, &conf, list, N);
			if (pool == 0)
				worker = lb_worker_init(&w, &p, 1);
			if (worker == 0)
				lb_worker_fini(&w);
			if (pool == 0)
				lb_pool_fini(&p);
			if (!alloc_fail_stop())
				break;
			assert_int_equal(worker, -1);
			failures++;
		}
		assert_true(!ALLOC_FAIL_WORKS || failures > 4);
	}
}

static void test_routes(void **state)
{
	static int somewhere;
	static const struct route_match routes[] = {
		{ .host = "a", .path_prefix = "/", .to = &somewhere },
		{ .host = "*.b", .path_prefix = "/", .n_fields = 1, .fields = { { "x", "y" } }, .to = &somewhere },
	};
	size_t failures = 0;

	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct route_table *t = NULL;
		int rc;

		alloc_fail_after(n);
		rc = route_table_new(&t, routes, ARRAY_LEN(routes));
		if (!alloc_fail_stop()) {
			route_table_free(t);
			break;
		}
		assert_int_equal(rc, -1);
		assert_null(t);
		failures++;
	}
	assert_true(!ALLOC_FAIL_WORKS || failures > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
