/*
 * slab - objects of one size for one worker: O(1) to get and put, the last one put is the next one given (still warm).
 *
 * Owner:  whoever embeds it. Thread: the worker's.
 * Memory goes back to the system only in slab_fini(), so what was once an object stays readable until then (see io.h).
 */
#ifndef PORTWAY_UV_SLAB_H
#define PORTWAY_UV_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_chunk;
struct slab_item;

struct slab {
	size_t size; /* of one object, rounded up to a cache line */
	struct slab_item *free;
	struct slab_chunk *chunks;
	uint32_t live;
};

void slab_init(struct slab *s, size_t size);
/* Every object has been put back. */
void slab_fini(struct slab *s);
/* Zeroed and aligned to a cache line; NULL: out of memory. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *object);

#endif
