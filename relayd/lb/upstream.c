#include "relayd/lb/upstream.h"

#include <math.h>
#include <string.h>

#define LATENCY_DECAY_NS 10e9 /* time constant of the mean */
#define SLOW_START_MIN   10   /* percent of the weight at its begin */

void upstream_init(struct upstream *u, const struct upstream_conf *conf)
{
	memset(u, 0, sizeof *u);
	u->conf = *conf;
	u->conf.weight = MIN(conf->weight, UPSTREAM_WEIGHT_MAX);
}

void upstream_reconfigure(struct upstream *u, const struct upstream_conf *conf)
{
	__atomic_store_n(&u->conf.weight, MIN(conf->weight, UPSTREAM_WEIGHT_MAX), __ATOMIC_RELAXED);
	__atomic_store_n(&u->conf.max_in_flight, conf->max_in_flight, __ATOMIC_RELAXED);
	__atomic_store_n(&u->conf.slow_start_ns, conf->slow_start_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&u->conf.tier, conf->tier, __ATOMIC_RELAXED);
	__atomic_store_n(&u->conf.backup, conf->backup, __ATOMIC_RELAXED);
}

bool upstream_acquire(struct upstream *u)
{
	const uint32_t before = __atomic_fetch_add(&u->in_flight, 1, __ATOMIC_RELAXED);
	const uint32_t most = upstream_max_in_flight(u);

	if (most == 0 || before < most)
		return true;
	__atomic_fetch_sub(&u->in_flight, 1, __ATOMIC_RELAXED);
	return false;
}

void upstream_release(struct upstream *u)
{
	__atomic_fetch_sub(&u->in_flight, 1, __ATOMIC_RELAXED);
}

bool upstream_set_down(struct upstream *u, uint32_t reason, bool down, uint64_t now_ns)
{
	const uint32_t before = down ? __atomic_fetch_or(&u->down, reason, __ATOMIC_RELAXED)
	                             : __atomic_fetch_and(&u->down, ~reason, __ATOMIC_RELAXED);

	if (down)
		return before == 0;
	if (before != reason)
		return false;
	__atomic_store_n(&u->up_since_ns, now_ns, __ATOMIC_RELAXED);
	return true;
}

uint64_t upstream_weight(const struct upstream *u, uint64_t now_ns)
{
	const uint64_t since = __atomic_load_n(&u->up_since_ns, __ATOMIC_RELAXED), span = upstream_slow_start_ns(u);
	const uint64_t full = (uint64_t)upstream_configured_weight(u) << 8;
	const uint64_t up = now_ns > since ? now_ns - since : 0; /* another worker's clock may be a turn ahead */

	if (since == 0 || span == 0 || up >= span || full == 0)
		return full;
	return MAX(1, full * (SLOW_START_MIN + (100 - SLOW_START_MIN) * (up / 1000) / MAX(1, span / 1000)) / 100);
}

uint64_t upstream_latency(const struct upstream *u, uint64_t now_ns)
{
	const uint64_t mean = __atomic_load_n(&u->latency_ns, __ATOMIC_RELAXED);
	const uint64_t at = __atomic_load_n(&u->latency_at_ns, __ATOMIC_RELAXED);

	if (mean == 0 || now_ns <= at)
		return mean;
	/* e^-x as 1/(1+x): near enough, monotone, and no call of libm for each choice */
	return MAX(1, (uint64_t)((double)mean / (1 + (double)(now_ns - at) / LATENCY_DECAY_NS)));
}

/* Two workers at once may lose one of two observations: the next one comes soon. */
void upstream_observe(struct upstream *u, uint64_t latency_ns, uint64_t now_ns)
{
	const uint64_t mean = __atomic_load_n(&u->latency_ns, __ATOMIC_RELAXED);
	const uint64_t at = __atomic_load_n(&u->latency_at_ns, __ATOMIC_RELAXED);
	uint64_t next = MAX(1, latency_ns);

	if (next < mean) {
		const double keep = now_ns > at ? exp(-(double)(now_ns - at) / LATENCY_DECAY_NS) : 1;

		next = MAX(1, (uint64_t)((double)mean * keep + (double)latency_ns * (1 - keep)));
	}
	__atomic_store_n(&u->latency_ns, next, __ATOMIC_RELAXED);
	__atomic_store_n(&u->latency_at_ns, now_ns, __ATOMIC_RELAXED);
}
