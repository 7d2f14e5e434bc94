/* One choice among n targets: each algorithm, with some requests in flight. */
#include "relayd/lb/lb_pool.h"
#include "tests/bench/cost/cost.h"

#include <stdlib.h>

static struct lb_pool pool;
static struct lb_worker worker;
static uint64_t now_ns = UINT64_C(1000000000);

static void prepare(const char *algorithm, unsigned n)
{
	const struct lb_pool_conf conf = { lb_algorithm_find(algorithm), 140, 0 };
	struct upstream *ups = aligned_alloc(64, n * sizeof *ups);
	struct upstream **list = calloc(n, sizeof *list);

	if (ups == NULL || list == NULL)
		abort();
	for (unsigned i = 0; i < n; i++) {
		upstream_init(&ups[i], &(struct upstream_conf){ .key = i, .weight = 1 + i % 3, .max_in_flight = 1000 });
		ups[i].in_flight = i * 7 % 11;
		upstream_observe(&ups[i], 1000000 + i, now_ns);
		list[i] = &ups[i];
	}
	if (lb_pool_init(&pool, &conf, list, n) != 0 || lb_worker_init(&worker, &pool, 1) != 0)
		abort();
	free(list);
}

static void step(void)
{
	struct lb_ask ask = { .now_ns = now_ns, .key = now_ns };
	struct upstream *u, *probe;

	now_ns += 1000000;
	if (lb_worker_pick(&worker, &ask, &u) != LB_CHOSEN)
		abort();
	cost_found += u->conf.weight;
	upstream_release(u);
	probe = lb_worker_probe(&worker, now_ns);
	if (probe != NULL)
		lb_worker_probed(&worker, probe, now_ns % 1000003, 0, now_ns);
}

#define CASE(name)                             \
	static void prepare_##name(unsigned n) \
	{                                      \
		prepare(#name, n);             \
	}
CASE(round_robin)
CASE(weighted_round_robin)
CASE(least_connections)
CASE(random_two)
CASE(ip_hash)
CASE(consistent_hash)
CASE(peak_ewma)
CASE(adaptive_ai)

#define ROW(name)                                 \
	{                                         \
		"lb", #name, prepare_##name, step \
	}
const struct cost_case cost_lb[] = {
	ROW(round_robin),
	ROW(weighted_round_robin),
	ROW(least_connections),
	ROW(random_two),
	ROW(ip_hash),
	ROW(consistent_hash),
	ROW(peak_ewma),
	ROW(adaptive_ai),
	{ NULL, NULL, NULL, NULL },
};
