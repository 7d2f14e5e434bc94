#include "relayd/lb/lb_set.h"

#include <stdlib.h>
#include <string.h>

const struct lb_algorithm *lb_algorithm_find(const char *name)
{
	static const struct lb_algorithm *const all[] = { &lb_rotate_round_robin, &lb_rotate_weighted,
		&lb_least_connections, &lb_two_random, &lb_two_peak_ewma, &lb_hash_ip, &lb_hash_consistent,
		&lb_adaptive_ai };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

bool lb_usable(const struct upstream *u, const struct lb_ask *ask)
{
	if (!ask->panic && !upstream_is_up(u))
		return false;
	if (upstream_max_in_flight(u) != 0 && upstream_in_flight(u) >= upstream_max_in_flight(u))
		return false;
	for (unsigned i = 0; i < ask->n_tried; i++)
		if (ask->tried[i] == u)
			return false;
	return true;
}

/*
 * Walker's alias method, built as Vose does: each slot holds a part of its own and the rest of one that has too much, so
 * that all slots are equally likely.
 */
static int build_slots(struct lb_set *s)
{
	uint64_t *scaled = calloc(s->n, sizeof *scaled);
	uint32_t *order = calloc(s->n, sizeof *order);
	uint32_t small = 0, large = s->n;

	s->slots = calloc(s->n, sizeof *s->slots);
	if (s->slots == NULL || scaled == NULL || order == NULL) {
		free(scaled);
		free(order);
		return -1;
	}
	for (uint32_t i = 0; i < s->n; i++) {
		s->slots[i] = (struct lb_slot){ UINT32_MAX, i };
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): below n none is NULL */
		scaled[i] = s->ups[i]->conf.weight * (uint64_t)s->n;
		order[scaled[i] < s->weight ? small++ : --large] = i; /* the light ones in front, the others behind */
	}
	while (small > 0 && large < s->n) {
		const uint32_t less = order[--small], more = order[large];

		s->slots[less] = (struct lb_slot){ (uint32_t)((scaled[less] << 32) / s->weight), more };
		scaled[more] -= s->weight - scaled[less];
		if (scaled[more] < s->weight) {
			large++;
			order[small++] = more;
		}
	}
	free(scaled);
	free(order);
	return 0;
}

int lb_set_init(struct lb_set *s, const struct lb_algorithm *a, struct upstream *const *ups, uint32_t n)
{
	*s = (struct lb_set){ .algorithm = a, .even = true };
	s->ups = calloc(MAX(n, 1), sizeof *s->ups);
	if (s->ups == NULL)
		return -1;
	for (uint32_t i = 0; i < MIN(n, LB_SET_MAX); i++) {
		if (ups[i]->conf.weight == 0)
			continue;
		s->ups[s->n++] = ups[i];
		s->weight += ups[i]->conf.weight;
		s->even &= ups[i]->conf.weight == s->ups[0]->conf.weight;
	}
	if (s->n == 0)
		return 0;
	if (!s->even && build_slots(s) != 0)
		goto fail;
	if (a->build != NULL && a->build(s) != 0)
		goto fail;
	return 0;
fail:
	lb_set_fini(s);
	return -1;
}

void lb_set_fini(struct lb_set *s)
{
	free(s->ups);
	free(s->slots);
	free(s->table);
	*s = (struct lb_set){ .n = 0 };
}

struct upstream *lb_set_draw(const struct lb_set *s, struct lb_rand *r)
{
	const uint64_t draw = lb_rand_next(r);
	const uint32_t i = (uint32_t)((draw >> 32) * s->n >> 32);

	if (s->slots == NULL || (uint32_t)draw < s->slots[i].keep)
		return s->ups[i];
	return s->ups[s->slots[i].alias];
}

struct upstream *lb_set_any(const struct lb_set *s, const struct lb_ask *ask)
{
	uint32_t at;

	if (s->n == 0)
		return NULL;
	at = lb_rand_below(ask->rand, s->n);
	for (uint32_t i = 0; i < s->n; i++, at = at + 1 < s->n ? at + 1 : 0)
		if (lb_usable(s->ups[at], ask))
			return s->ups[at];
	return NULL;
}
