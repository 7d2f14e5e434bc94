#include "relayd/lb/lb_adaptive.h"

#include <string.h>

#define PROBES_MAX 16
#define PROBES_MIN 2 /* with fewer the choice is random_two's */
#define AGE_NS     UINT64_C(1000000000)
#define GAP_NS     UINT64_C(1000000) /* between two probes of a worker: at most 1,000 a second */
#define HOT \
	0.75 /* the quantile of requests in flight above which a target is hot (the paper's is 2^-0.25, with more probes) */
#define REUSE_MAX    8
#define REMOVE_EACH  2 /* one probe is dropped for so many that were answered, besides those that are used up */
#define DELTA        1.0
#define PER_PROBE_OF 8 /* answers over which the choices for each are averaged */

struct probe {
	struct upstream *u;
	uint64_t latency_ns, at_ns;
	uint32_t others;
	uint32_t uses; /* left */
};

struct adaptive {
	struct probe probes[PROBES_MAX]; /* the oldest first */
	unsigned n;
	unsigned wanted;  /* probes to send */
	unsigned choices; /* since one was answered */
	unsigned answers; /* since one was dropped */
	bool full;        /* there are more targets than probes */
	bool drop_worst;  /* next; else the oldest */
	uint64_t gap_until_ns;
	double threshold; /* of requests in flight, for weight: the quantile, followed step by step */
	double uses;      /* of a new probe, if there is one for each choice */
	double per_probe; /* choices for each that is answered, in the mean; 1 or more */
	double mean_weight;
};

/*
 * How often a probe may be used so that the pool neither runs dry nor holds old news: (1 + delta) / ((1 - m/n) * probes -
 * removals), of the paper, both for each choice; with few targets the pool holds nearly all of them and the bound is REUSE_MAX.
 * Where there are fewer probes than choices, both rates are so much lower, and a probe is used so much more.
 */
static double reuse(uint32_t n)
{
	const double rate = (1 - (double)PROBES_MAX / MAX(n, 1)) - 1.0 / REMOVE_EACH;

	return rate <= (1 + DELTA) / REUSE_MAX ? REUSE_MAX : (1 + DELTA) / rate;
}

static size_t adaptive_size(const struct lb_set *s)
{
	(void)s;
	return sizeof(struct adaptive);
}

static void adaptive_init(void *own, const struct lb_set *s, struct lb_rand *r)
{
	struct adaptive *a = own;

	(void)r;
	memset(a, 0, sizeof *a);
	a->wanted = MIN(s->n, PROBES_MAX);
	a->uses = reuse(s->n);
	a->per_probe = 1;
	a->full = s->n > PROBES_MAX;
	a->mean_weight = (double)s->weight / s->n;
}

/* In flight now, not when the probe was sent: this relay's own part of it is known exactly. */
static double crowd(const struct adaptive *a, const struct probe *p)
{
	return ((double)upstream_in_flight(p->u) + p->others) * a->mean_weight /
	       MAX(1, upstream_configured_weight(p->u));
}

static void drop(struct adaptive *a, unsigned i)
{
	a->n--;
	memmove(&a->probes[i], &a->probes[i + 1], (a->n - i) * sizeof a->probes[0]);
}

/* Whether a is the better choice. */
static bool better(const struct adaptive *own, const struct probe *a, const struct probe *b)
{
	const double crowd_a = crowd(own, a), crowd_b = crowd(own, b);
	const bool hot_a = crowd_a > own->threshold, hot_b = crowd_b > own->threshold;

	if (hot_a != hot_b)
		return hot_b;
	return hot_a ? crowd_a < crowd_b : a->latency_ns < b->latency_ns;
}

static void drop_old(struct adaptive *a, uint64_t now_ns)
{
	while (a->n > 0 && now_ns - a->probes[0].at_ns > AGE_NS)
		drop(a, 0);
}

/*
 * Only the news of bad targets would stay, as the good ones are used up: so the worst goes as well, by turns with the oldest. Where there
 * is room for news of all nothing has to go: each is replaced by its next one.
 */
static void drop_one(struct adaptive *a)
{
	unsigned worst = 0;

	if (!a->full || ++a->answers < REMOVE_EACH || a->n == 0)
		return;
	a->answers = 0;
	if (a->drop_worst)
		for (unsigned i = 1; i < a->n; i++)
			if (better(a, &a->probes[worst], &a->probes[i]))
				worst = i;
	a->drop_worst = !a->drop_worst;
	drop(a, worst);
}

static struct upstream *adaptive_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	struct adaptive *a = own;
	unsigned best = PROBES_MAX, usable = 0;
	struct upstream *u;

	a->wanted = MIN(a->wanted + 1, PROBES_MAX);
	a->choices++;
	drop_old(a, ask->now_ns);
	for (unsigned i = 0; i < a->n; i++) {
		if (!lb_usable(a->probes[i].u, ask))
			continue;
		usable++;
		if (best == PROBES_MAX || better(a, &a->probes[i], &a->probes[best]))
			best = i;
	}
	if (usable < MIN(PROBES_MIN, s->n))
		return lb_two_random.pick(s, NULL, ask);
	u = a->probes[best].u;
	if (a->full && --a->probes[best].uses == 0)
		drop(a, best);
	return u;
}

struct upstream *lb_adaptive_probe(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	struct adaptive *a = own;

	if (a->wanted == 0 || s->n == 0 || ask->now_ns < a->gap_until_ns)
		return NULL;
	a->wanted--;
	a->gap_until_ns = ask->now_ns + GAP_NS;
	for (unsigned tries = 0; tries < 4; tries++) {
		struct upstream *u = lb_set_draw(s, ask->rand);

		if (lb_usable(u, ask))
			return u;
	}
	return NULL;
}

/* The quantile is followed by small steps, up and down as often as their sizes say: no history is kept. */
static void follow(struct adaptive *a, double seen)
{
	const double step = MAX(a->threshold / 16, 0.25);

	a->threshold = MAX(0, a->threshold + (seen > a->threshold ? HOT : HOT - 1) * step);
}

static void forget(struct adaptive *a, const struct upstream *u)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->probes[i].u == u) {
			drop(a, i);
			return;
		}
}

void lb_adaptive_lost(void *own, const struct upstream *u)
{
	forget(own, u);
}

static void answered(struct adaptive *a)
{
	a->per_probe = MAX(1, a->per_probe + (a->choices - a->per_probe) / PER_PROBE_OF);
	a->choices = 0;
	drop_one(a);
}

/*
 * A probe is small: it tells how long one waits there, hardly how long the work takes. What requests took, as all workers saw
 * it, tells that, but fades for a target that nobody chooses. Together they are ahead of either (tests/unit/relayd/
 * test_lb_simulation.c: p99.9 halves).
 */
static void put(struct adaptive *a, struct upstream *u, uint64_t latency_ns, uint32_t others, uint64_t now_ns)
{
	forget(a, u); /* newer news of the same one */
	if (a->n == PROBES_MAX)
		drop(a, 0);
	latency_ns += upstream_latency(u, now_ns);
	a->probes[a->n] = (struct probe){ u, latency_ns, now_ns, others, (uint32_t)(a->uses * a->per_probe) };
	follow(a, crowd(a, &a->probes[a->n]));
	a->n++;
}

void lb_adaptive_probed(void *own, struct upstream *u, uint64_t latency_ns, uint32_t others, uint64_t now_ns)
{
	struct adaptive *a = own;

	answered(a);
	put(a, u, latency_ns, others, now_ns);
}

void lb_adaptive_waits(void *own, struct upstream *u, uint64_t waited_ns, uint64_t now_ns)
{
	put(own, u, waited_ns, 0, now_ns);
}

const struct lb_algorithm lb_adaptive_ai = {
	.name = "adaptive_ai",
	.worker_size = adaptive_size,
	.worker_init = adaptive_init,
	.pick = adaptive_pick,
};
