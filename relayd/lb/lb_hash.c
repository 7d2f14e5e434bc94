/*
 * ip_hash and consistent_hash: a key goes to the same target on every worker and every relay, for as long as it is there; when
 * one comes or goes, few other keys move.
 *
 * The table is Maglev's (NSDI'16): the targets take turns, as many as their weight, and each takes the next free slot of a
 * permutation of its own, which only its key decides. A look-up is one load. When a target is down, its keys go by a
 * second, third, ... hash, so they spread over all the others and come back when it does.
 *
 * consistent_hash is bounded (Mirrokni et al. 2017): a target with more than LOAD_PERCENT of the mean in flight is passed by,
 * so one hot key cannot drown one target. ip_hash is not: it promises the same target first of all.
 */
#include "relayd/lb/lb_set.h"

#include <stdlib.h>
#include <string.h>

#define TRIES        16
#define LOAD_PERCENT 125
#define NO_FLOOD     4 /* in flight: too few to send anybody elsewhere */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Primes; at least a hundred slots for each target keep their shares within a percent or two. */
static uint32_t table_size(uint32_t n)
{
	static const uint32_t primes[] = { 1021, 4093, 16381, 65521, 262139 };
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(primes) && primes[i] < n * 100)
		i++;
	return primes[i];
}

struct turn {
	uint32_t next, skip; /* of its permutation */
	uint32_t share;      /* grows by its weight with each turn; a slot costs the heaviest one's weight */
};

static int hash_build(struct lb_set *s)
{
	const uint32_t size = table_size(s->n);
	struct turn *turns = calloc(s->n, sizeof *turns);
	uint32_t heaviest = 1, taken = 0;

	s->table = calloc(size, sizeof *s->table);
	if (turns == NULL || s->table == NULL) {
		free(turns);
		return -1;
	}
	memset(s->table, 0xff, size * sizeof *s->table); /* free: no index is that high */
	s->table_n = size;
	for (uint32_t i = 0; i < s->n; i++) {
		const uint64_t h = mix(s->ups[i]->conf.key);

		turns[i] = (struct turn){ (uint32_t)(h % size), (uint32_t)(mix(h) % (size - 1) + 1), 0 };
		heaviest = MAX(heaviest, s->ups[i]->conf.weight);
	}
	for (uint32_t i = 0; taken < size; i = i + 1 < s->n ? i + 1 : 0) {
		struct turn *t = &turns[i];

		t->share += s->ups[i]->conf.weight;
		if (t->share < heaviest)
			continue;
		t->share -= heaviest;
		while (s->table[t->next] != UINT16_MAX)
			t->next = (t->next + t->skip) % size;
		s->table[t->next] = (uint16_t)i;
		taken++;
	}
	free(turns);
	return 0;
}

static struct upstream *look_up(const struct lb_set *s, uint64_t key)
{
	return s->ups[s->table[(mix(key) >> 32) * s->table_n >> 32]];
}

static struct upstream *ip_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	(void)own;
	for (uint64_t i = 0; i < TRIES; i++) {
		struct upstream *u = look_up(s, ask->key + i * UINT64_C(0x9e3779b97f4a7c15));

		if (lb_usable(u, ask))
			return u;
	}
	return NULL;
}

const struct lb_algorithm lb_hash_ip = { .name = "ip_hash", .uses_key = true, .build = hash_build, .pick = ip_pick };

/*
 * The mean is that of the targets that this key may go to, by its own order: a sample that needs no counter shared by all
 * workers. Passing all of them by means that they are equally full; then the first one is right.
 */
static struct upstream *consistent_pick(const struct lb_set *s, void *own, const struct lb_ask *ask)
{
	struct upstream *seen[TRIES], *first = NULL;
	uint64_t load = 0, weight = 0;
	unsigned n = 0;

	(void)own;
	for (uint64_t i = 0; i < TRIES; i++) {
		struct upstream *u = look_up(s, ask->key + i * UINT64_C(0x9e3779b97f4a7c15));

		if (!lb_usable(u, ask))
			continue;
		if (first == NULL && upstream_in_flight(u) < NO_FLOOD)
			return u;
		first = first != NULL ? first : u;
		seen[n++] = u;
		load += upstream_in_flight(u);
		weight += upstream_configured_weight(u);
	}
	for (unsigned i = 0; i < n; i++) {
		const uint64_t mine = upstream_configured_weight(seen[i]);

		/* (in flight + 1) / weight <= mean * LOAD_PERCENT, the new request counted */
		if (((uint64_t)upstream_in_flight(seen[i]) + 1) * weight * 100 <= (load + n) * mine * LOAD_PERCENT)
			return seen[i];
	}
	return first;
}

const struct lb_algorithm lb_hash_consistent = {
	.name = "consistent_hash", .uses_key = true, .build = hash_build, .pick = consistent_pick
};
