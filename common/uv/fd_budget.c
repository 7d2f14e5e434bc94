#include "common/uv/fd_budget.h"

#include "common/base/share.h"

void fd_budget_init(struct fd_budget *b, uint32_t limit)
{
	b->limit = limit;
	b->used = 0;
}

uint32_t fd_budget_ceiling(const struct fd_budget *b, enum fd_use use)
{
	uint32_t room = b->limit > FD_SPARE ? b->limit - FD_SPARE : 0;

	return use == FD_FOR_PORTS ? room - room / 8 : room;
}

bool fd_budget_take(struct fd_budget *b, uint32_t n, enum fd_use use)
{
	uint32_t used = __atomic_add_fetch(&b->used, n, __ATOMIC_RELAXED);

	if (used <= fd_budget_ceiling(b, use))
		return true;
	fd_budget_give(b, n);
	return false;
}

void fd_budget_give(struct fd_budget *b, uint32_t n)
{
	__atomic_sub_fetch(&b->used, n, __ATOMIC_RELAXED);
}

bool fd_budget_is_over_share(const struct fd_budget *b, const struct fd_share *s, uint32_t n)
{
	const uint32_t room = fd_budget_ceiling(b, FD_FOR_SESSIONS), used = fd_budget_used(b);

	return n <= (room > used ? room - used : 0) &&
	       !share_lets(room, used, __atomic_load_n(&s->used, __ATOMIC_RELAXED), n);
}

bool fd_budget_retake_share(struct fd_budget *b, struct fd_share *s, uint32_t n)
{
	if (!fd_budget_take(b, n, FD_FOR_SESSIONS))
		return false;
	__atomic_add_fetch(&s->used, n, __ATOMIC_RELAXED);
	return true;
}

bool fd_budget_take_share(struct fd_budget *b, struct fd_share *s, uint32_t n)
{
	return !fd_budget_is_over_share(b, s, n) && fd_budget_retake_share(b, s, n);
}

void fd_budget_give_share(struct fd_budget *b, struct fd_share *s, uint32_t n)
{
	__atomic_sub_fetch(&s->used, n, __ATOMIC_RELAXED);
	fd_budget_give(b, n);
}

bool fd_budget_is_short(const struct fd_budget *b)
{
	const uint32_t room = fd_budget_ceiling(b, FD_FOR_SESSIONS);

	return fd_budget_used(b) > room - room / 16;
}

uint32_t fd_budget_used(const struct fd_budget *b)
{
	return __atomic_load_n(&b->used, __ATOMIC_RELAXED);
}
