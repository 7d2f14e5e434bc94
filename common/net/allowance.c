#include "common/net/allowance.h"

#include "common/base/macros.h"

void allowance_init(struct allowance *a, void (*on_low)(struct allowance *a))
{
	*a = (struct allowance){ .on_low = on_low };
}

static void tell_if_low(struct allowance *a, uint64_t taken)
{
	if (taken < __atomic_load_n(&a->low, __ATOMIC_RELAXED))
		return;
	if (__atomic_exchange_n(&a->low, UINT64_MAX, __ATOMIC_ACQ_REL) != UINT64_MAX)
		a->on_low(a);
}

size_t allowance_take(struct allowance *a, size_t want)
{
	const uint64_t before = __atomic_fetch_add(&a->taken, want, __ATOMIC_RELAXED);
	const uint64_t limit = __atomic_load_n(&a->limit, __ATOMIC_RELAXED);
	const size_t may = before >= limit ? 0 : (size_t)MIN((uint64_t)want, limit - before);

	tell_if_low(a, before + want);
	if (may < want)
		allowance_give(a, want - may);
	return may;
}

void allowance_give(struct allowance *a, size_t n)
{
	const uint64_t before = __atomic_fetch_sub(&a->taken, n, __ATOMIC_RELAXED);

	if (before < n) /* of another account: its mapping changed hands while these were on their way */
		__atomic_fetch_add(&a->taken, n - before, __ATOMIC_RELAXED);
}

void allowance_count(struct allowance *a, uint64_t n)
{
	__atomic_fetch_add(&a->done, n, __ATOMIC_RELEASE);
}

bool allowance_spend(struct allowance *a, size_t n)
{
	const uint64_t before = __atomic_fetch_add(&a->taken, n, __ATOMIC_RELAXED);

	tell_if_low(a, before + n);
	if (before < __atomic_load_n(&a->limit, __ATOMIC_RELAXED))
		return true;
	allowance_give(a, n);
	return false;
}

void allowance_set(struct allowance *a, uint64_t limit, uint64_t low)
{
	__atomic_store_n(&a->limit, limit, __ATOMIC_RELAXED);
	__atomic_store_n(&a->low, low, __ATOMIC_RELEASE);
}

void allowance_end(struct allowance *a, bool over)
{
	__atomic_store_n(&a->over, over, __ATOMIC_RELAXED);
}
