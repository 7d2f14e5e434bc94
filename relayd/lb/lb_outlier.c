#include "relayd/lb/lb_outlier.h"

#include <math.h>

void lb_outlier_init(
	struct lb_outlier *o, const struct lb_outlier_conf *conf, uint32_t n, lb_outlier_fn *on_change, void *arg)
{
	*o = (struct lb_outlier){ .conf = *conf, .n = n, .on_change = on_change, .arg = arg };
}

/* One more may be out, the proposed one counted. Several workers may ask at once: the count is taken first, and given back. */
static bool take_place(struct lb_outlier *o)
{
	const uint32_t out = __atomic_add_fetch(&o->out, 1, __ATOMIC_RELAXED);

	if ((uint64_t)out * 100 <= (uint64_t)o->n * o->conf.max_percent)
		return true;
	__atomic_fetch_sub(&o->out, 1, __ATOMIC_RELAXED);
	return false;
}

static bool eject(struct lb_outlier *o, struct upstream *u, enum lb_outlier_why why, double rate, uint64_t now_ns)
{
	uint64_t span;

	if ((__atomic_load_n(&u->down, __ATOMIC_RELAXED) & UPSTREAM_EJECTED) != 0 || !take_place(o))
		return false;
	if ((__atomic_fetch_or(&u->down, UPSTREAM_EJECTED, __ATOMIC_RELAXED) & UPSTREAM_EJECTED) != 0) {
		__atomic_fetch_sub(&o->out, 1, __ATOMIC_RELAXED); /* another worker was faster */
		return false;
	}
	span = o->conf.base_ns * __atomic_add_fetch(&u->ejections, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&u->ejected_until_ns, now_ns + MIN(span, o->conf.max_ns), __ATOMIC_RELAXED);
	__atomic_store_n(&u->failed_in_row, 0, __ATOMIC_RELAXED);
	o->on_change(o->arg, u, why, rate);
	return true;
}

bool lb_outlier_answer(struct lb_outlier *o, struct upstream *u, bool failed, uint64_t now_ns)
{
	uint32_t in_row;

	__atomic_fetch_add(&u->answers, 1, __ATOMIC_RELAXED);
	if (!failed) {
		if (__atomic_load_n(&u->failed_in_row, __ATOMIC_RELAXED) !=
			0) /* a line that is only read stays shared */
			__atomic_store_n(&u->failed_in_row, 0, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_fetch_add(&u->failures, 1, __ATOMIC_RELAXED);
	in_row = __atomic_add_fetch(&u->failed_in_row, 1, __ATOMIC_RELAXED);
	return o->conf.failures_in_row != 0 && in_row >= o->conf.failures_in_row &&
	       eject(o, u, LB_FAILED_IN_ROW, 0, now_ns);
}

/* ---- the control thread ---- */

static uint32_t let_back(struct lb_outlier *o, struct upstream *u, uint64_t now_ns)
{
	if ((__atomic_load_n(&u->down, __ATOMIC_RELAXED) & UPSTREAM_EJECTED) == 0 ||
		now_ns < __atomic_load_n(&u->ejected_until_ns, __ATOMIC_RELAXED))
		return 0;
	__atomic_store_n(&u->failed_in_row, 0, __ATOMIC_RELAXED);
	upstream_set_down(u, UPSTREAM_EJECTED, false, now_ns);
	__atomic_fetch_sub(&o->out, 1, __ATOMIC_RELAXED);
	o->on_change(o->arg, u, LB_BACK, 0);
	return 1;
}

/* Success in percent since the last tick; below 0 where it says nothing. */
static double rate_of(const struct lb_outlier *o, const struct upstream *u)
{
	const uint32_t answers = __atomic_load_n(&u->answers, __ATOMIC_RELAXED);
	const uint32_t failures = MIN(answers, __atomic_load_n(&u->failures, __ATOMIC_RELAXED));

	if (answers < MAX(1, o->conf.min_answers) || !upstream_is_up(u))
		return -1;
	return 100.0 * (answers - failures) / answers;
}

static uint32_t eject_by_rate(struct lb_outlier *o, struct upstream *const *ups, uint32_t n, uint64_t now_ns)
{
	double sum = 0, squares = 0, limit, mean;
	uint32_t known = 0, changed = 0;

	for (uint32_t i = 0; i < n; i++) {
		const double rate = rate_of(o, ups[i]);

		if (rate < 0)
			continue;
		known++;
		sum += rate;
		squares += rate * rate;
	}
	if (o->conf.min_targets == 0 || known < o->conf.min_targets)
		return 0;
	mean = sum / known;
	limit = mean - sqrt(MAX(0, squares / known - mean * mean)) * o->conf.deviations / 10;
	for (uint32_t i = 0; i < n; i++) {
		const double rate = rate_of(o, ups[i]);

		if (rate >= 0 && rate < limit)
			changed += eject(o, ups[i], LB_RATE, rate, now_ns);
	}
	return changed;
}

uint32_t lb_outlier_tick(struct lb_outlier *o, struct upstream *const *ups, uint32_t n, uint64_t now_ns)
{
	uint32_t changed = eject_by_rate(o, ups, n, now_ns);

	for (uint32_t i = 0; i < n; i++) {
		struct upstream *u = ups[i];
		const uint32_t answers = __atomic_exchange_n(&u->answers, 0, __ATOMIC_RELAXED);
		const uint32_t failures = __atomic_exchange_n(&u->failures, 0, __ATOMIC_RELAXED);

		if (answers > 0 && failures == 0 &&
			upstream_is_up(u)) /* a tick without a failure: the next ejection is short again */
			__atomic_store_n(&u->ejections, 0, __ATOMIC_RELAXED);
		changed += let_back(o, u, now_ns);
	}
	return changed;
}
