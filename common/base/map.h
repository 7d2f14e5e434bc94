/*
 * map - a hash map from bytes to a pointer (open addressing, SipHash-2-4 with a per-process key).
 *
 * Owner: whoever embeds it. Keys are borrowed: the value must keep them alive and unchanged while it is in the map.
 * Values are never NULL. Iteration order is unspecified; the map must not change while iterating.
 */
#ifndef PORTWAY_BASE_MAP_H
#define PORTWAY_BASE_MAP_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct map_slot;
struct map {
	struct map_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t n;
	size_t used; /* with tombstones */
};

void map_init(struct map *m);
void map_free(struct map *m);
size_t map_count(const struct map *m);
void *map_get(const struct map *m, const void *key, size_t len);
/* Inserts or replaces; *old (may be NULL) gets what was there. 0, or -1 for no memory (map unchanged). */
int map_put(struct map *m, const void *key, size_t len, void *value, void **old) MUST_CHECK;
/* Removes and answers the value, or NULL. */
void *map_remove(struct map *m, const void *key, size_t len);
/* String keys. */
void *map_get_str(const struct map *m, const char *key);
int map_put_str(struct map *m, const char *key, void *value, void **old) MUST_CHECK;
void *map_remove_str(struct map *m, const char *key);
/* Iterate: size_t it = 0; while ((v = map_next(m, &it)) != NULL) ... */
void *map_next(const struct map *m, size_t *it);
/* SipHash-2-4 with this process's key; for tables of our own. */
uint64_t map_hash(const void *p, size_t n);

#endif
