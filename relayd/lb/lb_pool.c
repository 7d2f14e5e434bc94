#include "relayd/lb/lb_pool.h"

#include "relayd/lb/lb_adaptive.h"

#include <stdlib.h>
#include <string.h>

#define SHARES 65536
#define RACES  3 /* times that the chosen one's last place may be taken by another worker */

static unsigned tier_of(const struct upstream *u)
{
	const uint8_t tier = __atomic_load_n(&u->conf.tier, __ATOMIC_RELAXED);

	return __atomic_load_n(&u->conf.backup, __ATOMIC_RELAXED) ? LB_TIERS_MAX - 1 : MIN(tier, LB_TIERS_MAX - 2);
}

/* ---- building ---- */

static int compare_ups(const void *a, const void *b)
{
	const uint64_t key_a = (*(struct upstream *const *)a)->conf.key,
		       key_b = (*(struct upstream *const *)b)->conf.key;

	return key_a < key_b ? -1 : key_a > key_b;
}

static int compare_key(const void *key, const void *b)
{
	const uint64_t key_a = *(const uint64_t *)key, key_b = (*(struct upstream *const *)b)->conf.key;

	return key_a < key_b ? -1 : key_a > key_b;
}

int lb_pool_init(struct lb_pool *p, const struct lb_pool_conf *conf, struct upstream *const *ups, uint32_t n)
{
	struct upstream **some = calloc(MAX(n, 1), sizeof *some);

	*p = (struct lb_pool){ .conf = *conf };
	if (some == NULL)
		return -1;
	for (unsigned tier = 0; tier < LB_TIERS_MAX; tier++) {
		uint32_t count = 0;

		for (uint32_t i = 0; i < n; i++)
			if (tier_of(ups[i]) == tier)
				some[count++] = ups[i];
		if (count == 0)
			continue;
		if (lb_set_init(&p->tiers[p->n_tiers], conf->algorithm, some, count) != 0)
			goto fail;
		p->backups = tier == LB_TIERS_MAX - 1;
		p->n_tiers++;
	}
	memcpy(some, ups, n * sizeof *some);
	qsort(some, n, sizeof *some, compare_ups);
	p->by_key = some;
	p->n_by_key = n;
	lb_pool_refresh(p);
	return 0;
fail:
	free(some);
	lb_pool_fini(p);
	return -1;
}

void lb_pool_fini(struct lb_pool *p)
{
	for (unsigned i = 0; i < LB_TIERS_MAX; i++)
		lb_set_fini(&p->tiers[i]);
	free(p->by_key);
	p->by_key = NULL;
	p->n_tiers = 0;
}

/* ---- shares ---- */

static uint64_t weight_up(const struct lb_set *s)
{
	uint64_t up = 0;

	for (uint32_t i = 0; i < s->n; i++)
		up += upstream_is_up(s->ups[i]) ? upstream_configured_weight(s->ups[i]) : 0;
	return up;
}

/* In parts of SHARES, by what each tier can carry; what they cannot carry together is shared out in the same proportion. */
static void share_by_health(const struct lb_pool *p, const uint64_t up[], unsigned primaries, uint64_t share[])
{
	uint64_t left = SHARES, given = 0;

	for (unsigned i = 0; i < primaries; i++) {
		const struct lb_set *s = &p->tiers[i];
		const uint64_t carries =
			s->weight > 0 ? up[i] * SHARES / s->weight * p->conf.headroom_percent / 100 : 0;

		share[i] = MIN(left, carries);
		left -= share[i];
		given += share[i];
	}
	if (given == 0 && p->backups)
		share[p->n_tiers - 1] = SHARES;
	else if (given > 0)
		for (unsigned i = 0; i < primaries; i++)
			share[i] = share[i] * SHARES / given;
}

static void share_by_weight(const struct lb_pool *p, unsigned primaries, uint64_t share[])
{
	uint64_t total = 0;

	for (unsigned i = 0; i < primaries; i++)
		total += p->tiers[i].weight;
	for (unsigned i = 0; i < primaries; i++)
		share[i] = total > 0 ? p->tiers[i].weight * SHARES / total : 0;
}

bool lb_pool_refresh(struct lb_pool *p)
{
	const unsigned primaries = p->n_tiers - (p->backups ? 1 : 0);
	uint64_t share[LB_TIERS_MAX] = { 0 }, up[LB_TIERS_MAX], all = 0, all_up = 0, upto = 0;
	bool panic;

	for (unsigned i = 0; i < primaries; i++) {
		up[i] = weight_up(&p->tiers[i]);
		all += p->tiers[i].weight;
		all_up += up[i];
	}
	panic = all > 0 && all_up * 100 < all * p->conf.panic_percent;
	if (panic && !(p->backups && weight_up(&p->tiers[p->n_tiers - 1]) > 0 && all_up == 0))
		share_by_weight(p, primaries, share);
	else
		share_by_health(p, up, primaries, share);
	for (unsigned i = 0; i < p->n_tiers; i++) {
		upto += share[i];
		__atomic_store_n(&p->upto[i], (uint32_t)upto, __ATOMIC_RELAXED);
	}
	return __atomic_exchange_n(&p->panic, panic, __ATOMIC_RELAXED) != panic;
}

bool lb_pool_panics(const struct lb_pool *p)
{
	return __atomic_load_n(&p->panic, __ATOMIC_RELAXED);
}

/* ---- choosing ---- */

int lb_worker_init(struct lb_worker *w, const struct lb_pool *p, uint64_t seed)
{
	const struct lb_algorithm *a = p->conf.algorithm;

	*w = (struct lb_worker){ .pool = p };
	lb_rand_init(&w->rand, seed);
	for (unsigned i = 0; i < p->n_tiers && a->worker_size != NULL; i++) {
		if (p->tiers[i].n == 0)
			continue;
		w->own[i] = malloc(a->worker_size(&p->tiers[i]));
		if (w->own[i] == NULL) {
			lb_worker_fini(w);
			return -1;
		}
		a->worker_init(w->own[i], &p->tiers[i], &w->rand);
	}
	return 0;
}

void lb_worker_fini(struct lb_worker *w)
{
	for (unsigned i = 0; i < LB_TIERS_MAX; i++)
		free(w->own[i]);
	memset(w->own, 0, sizeof w->own);
}

static unsigned draw_tier(struct lb_worker *w)
{
	const struct lb_pool *p = w->pool;
	uint32_t draw;
	unsigned i = 0;

	if (__atomic_load_n(&p->upto[0], __ATOMIC_RELAXED) >= SHARES)
		return 0;
	draw = lb_rand_below(&w->rand, SHARES);
	while (i + 1 < p->n_tiers && draw >= __atomic_load_n(&p->upto[i], __ATOMIC_RELAXED))
		i++;
	return i;
}

static struct upstream *pick_in_tier(struct lb_worker *w, unsigned tier, const struct lb_ask *ask)
{
	const struct lb_set *s = &w->pool->tiers[tier];
	struct upstream *u;

	for (unsigned i = 0; i < RACES && s->n > 0; i++) {
		u = s->algorithm->pick(s, w->own[tier], ask);
		if (u == NULL)
			u = lb_set_any(s, ask);
		if (u == NULL || upstream_acquire(u))
			return u;
	}
	return NULL;
}

static bool anybody_up(const struct lb_pool *p, bool panic)
{
	for (unsigned i = 0; i < p->n_tiers; i++)
		if (panic ? p->tiers[i].n > 0 : weight_up(&p->tiers[i]) > 0)
			return true;
	return false;
}

/* The tier that was drawn, then the others from the nearest on: a full one spills over. */
enum lb_verdict lb_worker_pick(struct lb_worker *w, struct lb_ask *ask, struct upstream **out)
{
	const struct lb_pool *p = w->pool;
	unsigned drawn;

	if (p->n_tiers == 0)
		return LB_NONE;
	ask->rand = &w->rand;
	ask->panic = lb_pool_panics(p);
	drawn = draw_tier(w);
	*out = pick_in_tier(w, drawn, ask);
	for (unsigned i = 0; *out == NULL && i < p->n_tiers; i++)
		if (i != drawn)
			*out = pick_in_tier(w, i, ask);
	if (*out != NULL)
		return LB_CHOSEN;
	return anybody_up(p, ask->panic) ? LB_FULL : LB_NONE;
}

bool lb_worker_take(struct lb_worker *w, struct lb_ask *ask, uint64_t key, struct upstream **out)
{
	const struct lb_pool *p = w->pool;
	struct upstream *const *found;

	ask->rand = &w->rand;
	ask->panic = lb_pool_panics(p);
	found = bsearch(&key, p->by_key, p->n_by_key, sizeof *p->by_key, compare_key);
	if (found == NULL || upstream_configured_weight(*found) == 0 || !lb_usable(*found, ask) ||
		!upstream_acquire(*found))
		return false;
	*out = *found;
	return true;
}

/* ---- probes ---- */

static unsigned main_tier(const struct lb_pool *p)
{
	uint32_t before = 0, most = 0;
	unsigned best = 0;

	for (unsigned i = 0; i < p->n_tiers; i++) {
		const uint32_t upto = __atomic_load_n(&p->upto[i], __ATOMIC_RELAXED);

		if (upto - before > most) {
			most = upto - before;
			best = i;
		}
		before = upto;
	}
	return best;
}

struct upstream *lb_worker_probe(struct lb_worker *w, uint64_t now_ns)
{
	const struct lb_ask ask = { .now_ns = now_ns, .rand = &w->rand };
	const unsigned tier = main_tier(w->pool);

	if (w->pool->conf.algorithm != &lb_adaptive_ai || w->own[tier] == NULL)
		return NULL;
	return lb_adaptive_probe(&w->pool->tiers[tier], w->own[tier], &ask);
}

/* What the worker keeps for the tier that u is in; NULL with other algorithms. */
static void *own_of(const struct lb_worker *w, const struct upstream *u)
{
	const struct lb_pool *p = w->pool;

	for (unsigned i = 0; i < p->n_tiers && p->conf.algorithm == &lb_adaptive_ai; i++)
		if (p->tiers[i].n > 0 && tier_of(p->tiers[i].ups[0]) == tier_of(u))
			return w->own[i];
	return NULL;
}

void lb_worker_probed(struct lb_worker *w, struct upstream *u, uint64_t latency_ns, uint32_t others, uint64_t now_ns)
{
	void *own = own_of(w, u);

	if (own != NULL)
		lb_adaptive_probed(own, u, latency_ns, others, now_ns);
}

void lb_worker_waits(struct lb_worker *w, struct upstream *u, uint64_t waited_ns, uint64_t now_ns)
{
	void *own = own_of(w, u);

	if (own != NULL)
		lb_adaptive_waits(own, u, waited_ns, now_ns);
}

void lb_worker_lost(struct lb_worker *w, struct upstream *u)
{
	void *own = own_of(w, u);

	if (own != NULL)
		lb_adaptive_lost(own, u);
}
