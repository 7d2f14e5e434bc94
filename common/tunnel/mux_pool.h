/*
 * mux_pool - what the links of one worker share: how much their windows may grow by, and memory for what they send.
 *
 * A link that has nothing to send holds no memory for it. So that a busy one need not grow its buffer anew each round, it
 * takes one that another, or itself, has just emptied.
 *
 * Owner: the worker's desk. Thread: the worker's. A zeroed one is ready.
 */
#ifndef PORTWAY_TUNNEL_MUX_POOL_H
#define PORTWAY_TUNNEL_MUX_POOL_H

#include <stddef.h>
#include <stdint.h>

struct buf;

#define MUX_SPARES 4

struct mux_pool {
	uint64_t lent; /* that windows have grown by */
	struct {
		uint8_t *data;
		size_t cap;
	} spare[MUX_SPARES];
	unsigned n_spare;
};

void mux_pool_fini(struct mux_pool *p);
/* For a buf that has no memory. Nothing happens when there is none to spare. NULL is a pool that has none. */
void mux_pool_borrow(struct mux_pool *p, struct buf *b);
/* Takes the memory of a buf that is empty. */
void mux_pool_return(struct mux_pool *p, struct buf *b);

#endif
