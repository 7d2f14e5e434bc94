/*
 * block - bytes that have to wait: a piece of memory that a connection holds only while there are any.
 *
 * Blocks of the usual size are kept for the next one; larger ones, which are rare, come from the heap and go back to it.
 *
 * Owner: the worker's desk has the pool; who takes a block gives it back. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_BLOCK_H
#define PORTWAY_RELAYD_HTTP_BLOCK_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

#define BLOCK_USUAL (8 * 1024 - 64)
#define BLOCK_KEEP  128 /* empty ones */

struct block {
	struct block *next; /* in the pool */
	size_t cap;
	size_t at, n; /* bytes[at..n) wait */
	uint8_t bytes[];
};

struct blocks {
	struct block *ready;
	unsigned n_ready;
	uint64_t held; /* bytes of all that are out */
};

void blocks_fini(struct blocks *bs); /* none is out */
/* For `room` bytes at least; NULL: out of memory. */
struct block *block_get(struct blocks *bs, size_t room);
void block_put(struct blocks *bs, struct block *b); /* NULL is fine */
/* Room for `more` bytes behind what waits in *b, which may move, or be NULL. -1: out of memory. */
int block_grow(struct blocks *bs, struct block **b, size_t more) MUST_CHECK;
int block_append(struct blocks *bs, struct block **b, const void *p, size_t n) MUST_CHECK;

static inline size_t block_waiting(const struct block *b)
{
	return b != NULL ? b->n - b->at : 0;
}

#endif
