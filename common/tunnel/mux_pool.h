/*
 * mux_pool - what the links of one worker share: how much their windows may grow by, memory for what they send, and a place
 * to gather datagrams.
 *
 * A link that has nothing to send holds no memory for it. So that a busy one need not grow its buffer anew each round, it
 * takes one that another, or itself, has just emptied.
 *
 * Datagrams that came together are told together, those of each stream at once. They lie where they came.
 *
 * Owner: the worker's desk. Thread: the worker's. A zeroed one is ready.
 */
#ifndef PORTWAY_TUNNEL_MUX_POOL_H
#define PORTWAY_TUNNEL_MUX_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct buf;
struct stream;

#define MUX_SPARES    4
#define MUX_DATAGRAMS 64
#define MUX_ZIPS_MAX  128 /* streams that may be compressed: a megabyte each, when both ways are */

struct mux_pool {
	uint64_t lent;     /* that windows have grown by; this and the next two are read by other threads, too */
	uint64_t short_of; /* times that a window did not grow, or grew less, as there was not enough left; */
	uint64_t narrowed; /* and that one was made narrow again */
	struct {
		uint8_t *data;
		size_t cap;
	} spare[MUX_SPARES];
	unsigned n_spare;
	struct {
		struct stream *to; /* NULL: told, or gone */
		struct iovec d;
	} gathered[MUX_DATAGRAMS];
	unsigned n_gathered;
	unsigned zips;
	uint8_t *opened; /* what one compressed frame opened to; NULL: none has come yet */
};

void mux_pool_fini(struct mux_pool *p);
/* For a buf that has no memory. Nothing happens when there is none to spare. NULL is a pool that has none. */
void mux_pool_borrow(struct mux_pool *p, struct buf *b);
/* Takes the memory of a buf that is empty. */
void mux_pool_return(struct mux_pool *p, struct buf *b);

/* Room for FRAME_DATA_MAX bytes and one. NULL: out of memory. */
uint8_t *mux_pool_opened(struct mux_pool *p);

/* true: there is no more room, those there are must be told first. */
bool mux_pool_gather(struct mux_pool *p, struct stream *to, const uint8_t *at, size_t n);
/* The datagrams of the stream whose first came before those of all others; 0: there are none left. */
unsigned mux_pool_next(struct mux_pool *p, struct stream **to, struct iovec d[MUX_DATAGRAMS]);
/* It takes no more. */
void mux_pool_forget(struct mux_pool *p, const struct stream *to);

#endif
