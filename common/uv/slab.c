#include "common/uv/slab.h"

#include "common/base/macros.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE       64
#define CHUNK_SIZE (32 * 1024)

struct slab_item {
	struct slab_item *next;
};

struct slab_chunk {
	struct slab_chunk *next;
};

void slab_init(struct slab *s, size_t size)
{
	*s = (struct slab){ .size = (size + LINE - 1) / LINE * LINE };
}

void slab_fini(struct slab *s)
{
	assert(s->live == 0);
	while (s->chunks != NULL) {
		struct slab_chunk *next = s->chunks->next;

		free(s->chunks);
		s->chunks = next;
	}
	s->free = NULL;
}

/* The first line of a chunk links it to the others; objects follow. Given out in rising order. */
static void grow(struct slab *s)
{
	size_t total = MAX((size_t)CHUNK_SIZE, LINE + s->size);
	char *chunk = aligned_alloc(LINE, total / LINE * LINE);

	if (chunk == NULL)
		return;
	((struct slab_chunk *)(void *)chunk)->next = s->chunks;
	s->chunks = (void *)chunk;
	for (size_t n = (total - LINE) / s->size; n-- > 0;) {
		struct slab_item *item = (void *)(chunk + LINE + n * s->size);

		item->next = s->free;
		s->free = item;
	}
}

void *slab_get(struct slab *s)
{
	struct slab_item *item;

	if (s->free == NULL)
		grow(s);
	item = s->free;
	if (item == NULL)
		return NULL;
	s->free = item->next;
	s->live++;
	memset(item, 0, s->size);
	return item;
}

void slab_put(struct slab *s, void *object)
{
	struct slab_item *item = object;

	item->next = s->free;
	s->free = item;
	s->live--;
}
