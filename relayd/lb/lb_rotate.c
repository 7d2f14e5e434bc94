/*
 * round_robin and weighted_round_robin: each worker has its own round, begun at a place of its own.
 *
 * The weighted round is a heap of due times: the first is chosen and is due again 1/weight later. That interleaves
 * smoothly (weights 5, 1, 1 give a b a a c a a, never five in a row), costs log n where the usual "smooth" scheme looks at all
 * n for each choice, and lets a weight change at any time, as in a slow start.
 */
#include "relayd/lb/lb_set.h"

#define TRIES 4 /* places in the round that are passed by before all are looked at */

/* ---- round_robin ---- */

struct round {
	uint32_t at;
};

static size_t round_size(const struct lb_set *s)
{
	(void)s;
	return sizeof(struct round);
}

static void round_init(void *own, const struct lb_set *s, struct lb_rand *r)
{
	*(struct round *)own = (struct round){ lb_rand_below(r, s->n) };
}

static struct upstream *round_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	struct round *round = own;

	for (unsigned i = 0; i < TRIES; i++) {
		struct upstream *u = s->ups[round->at];

		round->at = round->at + 1 < s->n ? round->at + 1 : 0;
		if (lb_usable(u, ask))
			return u;
	}
	return NULL;
}

const struct lb_algorithm lb_rotate_round_robin = {
	.name = "round_robin",
	.worker_size = round_size,
	.worker_init = round_init,
	.pick = round_pick,
};

/* ---- weighted_round_robin ---- */

#define TURN (UINT64_C(1) << 40) /* between two turns of one with weight 1/256 */

struct due {
	uint64_t at;
	uint32_t index, tie; /* ties by a random number, or all workers would begin alike */
};

static bool before(const struct due *a, const struct due *b)
{
	return a->at != b->at ? a->at < b->at : a->tie < b->tie;
}

static void sink(struct due *heap, uint32_t n, uint32_t i)
{
	const struct due moved = heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &moved))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moved;
}

static size_t due_size(const struct lb_set *s)
{
	return s->n * sizeof(struct due);
}

static void due_init(void *own, const struct lb_set *s, struct lb_rand *r)
{
	struct due *heap = own;

	for (uint32_t i = 0; i < s->n; i++) {
		const uint64_t turn = TURN / MAX(1, (uint64_t)upstream_configured_weight(s->ups[i]) << 8);

		heap[i] = (struct due){ turn, i, (uint32_t)lb_rand_next(r) };
	}
	for (uint32_t i = s->n / 2; i-- > 0;)
		sink(heap, s->n, i);
}

static struct upstream *due_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	struct due *heap = own;

	for (unsigned i = 0; i < TRIES; i++) {
		struct upstream *u = s->ups[heap[0].index];

		heap[0].at += TURN / MAX(1, upstream_weight(u, ask->now_ns));
		sink(heap, s->n, 0);
		if (lb_usable(u, ask))
			return u;
	}
	return NULL;
}

const struct lb_algorithm lb_rotate_weighted = {
	.name = "weighted_round_robin",
	.worker_size = due_size,
	.worker_init = due_init,
	.pick = due_pick,
};
