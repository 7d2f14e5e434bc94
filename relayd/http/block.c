#include "relayd/http/block.h"

#include <stdlib.h>
#include <string.h>

void blocks_fini(struct blocks *bs)
{
	while (bs->ready != NULL) {
		struct block *b = bs->ready;

		bs->ready = b->next;
		free(b);
	}
	bs->n_ready = 0;
}

struct block *block_get(struct blocks *bs, size_t room)
{
	const size_t cap = MAX(room, BLOCK_USUAL);
	struct block *b = bs->ready;

	if (cap == BLOCK_USUAL && b != NULL) {
		bs->ready = b->next;
		bs->n_ready--;
	} else {
		b = malloc(sizeof *b + cap);
		if (b == NULL)
			return NULL;
		b->cap = cap;
	}
	b->next = NULL;
	b->at = b->n = 0;
	bs->held += b->cap;
	return b;
}

void block_put(struct blocks *bs, struct block *b)
{
	if (b == NULL)
		return;
	bs->held -= b->cap;
	if (b->cap != BLOCK_USUAL || bs->n_ready == BLOCK_KEEP) {
		free(b);
		return;
	}
	b->next = bs->ready;
	bs->ready = b;
	bs->n_ready++;
}

int block_grow(struct blocks *bs, struct block **b, size_t more)
{
	struct block *old = *b, *bigger;
	const size_t waiting = block_waiting(old);

	if (old != NULL && more <= old->cap - old->n)
		return 0;
	if (old != NULL && more <= old->cap - waiting) {
		memmove(old->bytes, old->bytes + old->at, waiting);
	} else {
		bigger = block_get(bs, waiting + more);
		if (bigger == NULL)
			return -1;
		if (waiting > 0)
			memcpy(bigger->bytes, old->bytes + old->at, waiting);
		block_put(bs, old);
		*b = bigger;
	}
	(*b)->at = 0;
	(*b)->n = waiting;
	return 0;
}

int block_append(struct blocks *bs, struct block **b, const void *p, size_t n)
{
	if (n == 0)
		return 0;
	if (block_grow(bs, b, n) != 0)
		return -1;
	memcpy((*b)->bytes + (*b)->n, p, n);
	(*b)->n += n;
	return 0;
}
