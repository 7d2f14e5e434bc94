/*
 * least_connections: fewest requests in flight for its weight; among equals one by chance, so that workers that look at the
 * same moment do not all go to the same one, and the neighbour of one that is down does not get its part.
 *
 * Of up to LOOK targets all are looked at. Of more, LOOK neighbours from a random place on: the least of 64 is among the
 * lowest few percent of any number, and the cost of a choice stays what it is.
 */
#include "relayd/lb/lb_set.h"

#define LOOK 64

/* a has fewer for its weight: a/wa < b/wb without a division. */
static bool lighter(uint64_t a, uint64_t weight_a, uint64_t b, uint64_t weight_b)
{
	return a * weight_b < b * weight_a;
}

static struct upstream *least_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	uint32_t at = lb_rand_below(ask->rand, s->n);
	struct upstream *best = NULL;
	uint32_t equals = 0;
	uint64_t best_load = 0, best_weight = 0;

	(void)own;
	for (uint32_t i = 0; i < MIN(s->n, LOOK); i++, at = at + 1 < s->n ? at + 1 : 0) {
		struct upstream *u = s->ups[at];
		uint64_t load, weight;

		if (!lb_usable(u, ask))
			continue;
		load = (uint64_t)upstream_in_flight(u) +
		       1; /* as it would be: an idle one of weight 1 is no better than of 2 */
		weight = upstream_weight(u, ask->now_ns);
		if (best != NULL && !lighter(load, weight, best_load, best_weight)) {
			const bool equal = !lighter(best_load, best_weight, load, weight);

			if (!equal || lb_rand_below(ask->rand, ++equals) != 0)
				continue;
		} else {
			equals = 1;
		}
		best = u;
		best_load = load;
		best_weight = weight;
	}
	return best;
}

const struct lb_algorithm lb_least_connections = { .name = "least_connections", .pick = least_pick };
