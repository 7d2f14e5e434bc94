#include "common/base/map.h"

#include "common/base/rand.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAP_CAP_MIN 8

/* A free slot has neither key nor value, a tombstone (a removed entry that a search must pass) a key only. */
struct map_slot {
	uint64_t hash;
	const void *key;
	size_t len;
	void *value;
};

static const char map_tombstone;

static bool map_slot_free(const struct map_slot *s)
{
	return s->value == NULL && s->key != &map_tombstone;
}

/* ---- SipHash-2-4 (Aumasson, Bernstein 2012): without the key nobody can choose keys that collide ---- */

static inline uint64_t map_rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline __attribute__((always_inline)) void map_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = map_rotl(v[1], 13) ^ v[0];
	v[0] = map_rotl(v[0], 32);
	v[2] += v[3];
	v[3] = map_rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = map_rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = map_rotl(v[1], 17) ^ v[2];
	v[2] = map_rotl(v[2], 32);
}

static inline __attribute__((always_inline)) void map_sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	map_sip_round(v);
	map_sip_round(v);
	v[0] ^= word;
}

static uint64_t map_sip_load(const uint8_t *p, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

static uint64_t map_sip_load_8(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof word);
	return le64toh(word);
}

static uint64_t map_siphash(const uint64_t key[2], const uint8_t *p, size_t n)
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	const uint64_t last = (uint64_t)n << 56;

	for (; n >= 8; p += 8, n -= 8)
		map_sip_word(v, map_sip_load_8(p));
	map_sip_word(v, last | map_sip_load(p, n));
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		map_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t map_key[2];

static void map_key_make(void)
{
	rand_bytes(map_key, sizeof map_key);
}

uint64_t map_hash(const void *p, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, map_key_make);
	return map_siphash(map_key, p, n);
}

/* ---- the table ---- */

void map_init(struct map *m)
{
	*m = (struct map){ .slots = NULL };
}

void map_free(struct map *m)
{
	free(m->slots);
	map_init(m);
}

size_t map_count(const struct map *m)
{
	return m->n;
}

/* The slot that holds the key, or NULL. */
static struct map_slot *map_find(const struct map *m, uint64_t hash, const void *key, size_t len)
{
	if (m->n == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (map_slot_free(s))
			return NULL;
		if (s->value != NULL && s->hash == hash && s->len == len && (len == 0 || memcmp(s->key, key, len) == 0))
			return s;
	}
}

/* The first slot on the key's way that holds nothing; there is always one. */
static struct map_slot *map_find_empty(const struct map *m, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].value != NULL)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

/* Makes sure that one more entry leaves at least 30 % of the slots free; tombstones go on the way. */
static int map_make_room(struct map *m)
{
	struct map old = *m;

	if (m->cap > 0 && (m->used + 1) * 10 <= m->cap * 7)
		return 0;
	if (m->cap == 0)
		m->cap = MAP_CAP_MIN;
	else if ((m->n + 1) * 10 > m->cap * 5) /* else it is full of tombstones: the same size will do */
		m->cap *= 2;
	m->slots = calloc(m->cap, sizeof *m->slots);
	if (m->slots == NULL) {
		*m = old;
		return -1;
	}
	m->used = m->n;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value != NULL)
			*map_find_empty(m, old.slots[i].hash) = old.slots[i];
	free(old.slots);
	return 0;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	const struct map_slot *s = m->n > 0 ? map_find(m, map_hash(key, len), key, len) : NULL;

	return s != NULL ? s->value : NULL;
}

int map_put(struct map *m, const void *key, size_t len, void *value, void **old)
{
	const uint64_t hash = map_hash(key, len);
	struct map_slot *s = map_find(m, hash, key, len);
	void *before = s != NULL ? s->value : NULL;

	assert(value != NULL);
	if (s == NULL) {
		if (map_make_room(m) != 0)
			return -1;
		s = map_find_empty(m, hash);
		m->used += map_slot_free(s);
		m->n++;
	}
	/* The key too: the old one may live in the value that goes. */
	*s = (struct map_slot){ .hash = hash, .key = key, .len = len, .value = value };
	if (old != NULL)
		*old = before;
	return 0;
}

void *map_remove(struct map *m, const void *key, size_t len)
{
	struct map_slot *s = map_find(m, map_hash(key, len), key, len);
	void *value;

	if (s == NULL)
		return NULL;
	value = s->value;
	*s = (struct map_slot){ .key = &map_tombstone };
	m->n--;
	return value;
}

void *map_get_str(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key));
}

int map_put_str(struct map *m, const char *key, void *value, void **old)
{
	return map_put(m, key, strlen(key), value, old);
}

void *map_remove_str(struct map *m, const char *key)
{
	return map_remove(m, key, strlen(key));
}

void *map_next(const struct map *m, size_t *it)
{
	while (*it < m->cap) {
		void *value = m->slots[(*it)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
