/*
 * random_two and peak_ewma: two are drawn by weight, the better one is taken. Nothing is scanned and nothing is kept, the cost is
 * the same for any number of targets, and workers that know little about each other do not run after the same one.
 */
#include "relayd/lb/lb_set.h"

#define TRIES 4

/* Of equals the first: both were drawn by chance. */
typedef bool better_fn(const struct upstream *a, const struct upstream *b, uint64_t now_ns);

/* In a slow start a target takes the part of its draws that its weight has grown to. */
static struct upstream *draw_usable(const struct lb_set *s, const struct lb_ask *ask, const struct upstream *other)
{
	for (unsigned i = 0; i < TRIES; i++) {
		struct upstream *u = lb_set_draw(s, ask->rand);

		if (u == other || !lb_usable(u, ask))
			continue;
		if (upstream_slow_start_ns(u) != 0 &&
			lb_rand_below(ask->rand, upstream_configured_weight(u) << 8) >= upstream_weight(u, ask->now_ns))
			continue;
		return u;
	}
	return NULL;
}

static struct upstream *two_pick(const struct lb_set *s, const struct lb_ask *ask, better_fn *better)
{
	struct upstream *a = draw_usable(s, ask, NULL), *b;

	if (a == NULL || s->n == 1)
		return a;
	b = draw_usable(s, ask, a);
	return b != NULL && better(b, a, ask->now_ns) ? b : a;
}

/* ---- random_two ---- */

static bool fewer(const struct upstream *a, const struct upstream *b, uint64_t now_ns)
{
	(void)now_ns;
	return upstream_in_flight(a) < upstream_in_flight(b);
}

static struct upstream *random_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	(void)own;
	return two_pick(s, ask, fewer);
}

const struct lb_algorithm lb_two_random = { .name = "random_two", .pick = random_pick };

/* ---- peak_ewma ---- */

/*
 * How long a request would take there: what one takes, for each that is there. One that has not answered yet and has
 * something to do is left alone until it has: it may be about to show that it is dead.
 */
static double cost(const struct upstream *u, uint64_t now_ns)
{
	const uint64_t latency = upstream_latency(u, now_ns);
	const uint32_t in_flight = upstream_in_flight(u);

	if (latency == 0)
		return in_flight == 0 ? 0 : 1e18 + in_flight;
	return (double)latency * (in_flight + 1.0);
}

static bool cheaper(const struct upstream *a, const struct upstream *b, uint64_t now_ns)
{
	return cost(a, now_ns) < cost(b, now_ns);
}

static struct upstream *ewma_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	(void)own;
	return two_pick(s, ask, cheaper);
}

const struct lb_algorithm lb_two_peak_ewma = { .name = "peak_ewma", .pick = ewma_pick };
