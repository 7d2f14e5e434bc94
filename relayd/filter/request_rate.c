#include "relayd/filter/request_rate.h"

#include <stdlib.h>

#define WAYS       4
#define SETS_KEYED 4096 /* 256 KiB */

struct slot {
	uint64_t key; /* atomic */
	uint64_t tat; /* atomic: the theoretical arrival time, ns */
};

struct request_rate {
	unsigned refs;
	uint32_t sets;
	struct slot slots[];
};

struct request_rate *request_rate_new(bool keyed)
{
	const uint32_t sets = keyed ? SETS_KEYED : 1;
	struct request_rate *r = calloc(1, sizeof *r + sizeof(struct slot) * WAYS * sets);

	if (r != NULL) {
		r->refs = 1;
		r->sets = sets;
	}
	return r;
}

struct request_rate *request_rate_ref(struct request_rate *r)
{
	__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void request_rate_unref(struct request_rate *r)
{
	if (r != NULL && __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(r);
}

bool request_rate_is_keyed(const struct request_rate *r)
{
	return r->sets > 1;
}

/* Of two that want one place at once the second goes on with the first one's key: a limit that is shared for one request. */
static struct slot *slot_of(struct request_rate *r, uint64_t key)
{
	struct slot *set = &r->slots[(size_t)(key % r->sets) * WAYS], *oldest = set;
	uint64_t least = UINT64_MAX, was;

	key |= 1; /* 0: nobody's */
	for (unsigned i = 0; i < WAYS; i++) {
		const uint64_t tat = __atomic_load_n(&set[i].tat, __ATOMIC_RELAXED);

		if (__atomic_load_n(&set[i].key, __ATOMIC_RELAXED) == key)
			return &set[i];
		if (tat < least) {
			least = tat;
			oldest = &set[i];
		}
	}
	was = __atomic_load_n(&oldest->key, __ATOMIC_RELAXED);
	if (__atomic_compare_exchange_n(&oldest->key, &was, key, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		__atomic_store_n(&oldest->tat, 0, __ATOMIC_RELAXED);
	return oldest;
}

uint64_t request_rate_take(struct request_rate *r, uint64_t key, uint32_t per_second, uint32_t burst, uint64_t now_ns)
{
	const uint64_t step = UINT64_C(1000000000) / MAX(per_second, 1), room = step * (MAX(burst, 1) - 1);
	struct slot *s = slot_of(r, key * UINT64_C(0x9e3779b97f4a7c15));
	uint64_t tat = __atomic_load_n(&s->tat, __ATOMIC_RELAXED);

	for (;;) {
		const uint64_t from = MAX(tat, now_ns);

		if (from - now_ns > room)
			return from - now_ns - room;
		if (__atomic_compare_exchange_n(&s->tat, &tat, from + step, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return 0;
	}
}
