/*
 * outbox - what a connection writes: sent at once, together with what waits; only what the far side does not take is kept.
 *
 * A head is written into the block and goes with the content behind it, in one system call; the owner calls outbox_flush() at the end of
 * its turn for a head that nothing followed.
 *
 * Bytes in a pipe (common/uv/stock.h) go out of it, and what is not taken waits there, or as all else when the pipe is wanted elsewhere.
 * Its stock outlives the outbox, or its outbox_fini().
 *
 * Owner: the connection. Thread: the worker's. Limits: who gives bytes stops while outbox_is_full().
 */
#ifndef PORTWAY_RELAYD_HTTP_OUTBOX_H
#define PORTWAY_RELAYD_HTTP_OUTBOX_H

#include "common/http/http_head.h"
#include "relayd/http/block.h"
#include "relayd/http/wire.h"

struct outbox {
	struct block *kept;
	struct pipe *pipe;   /* lent: `piped` bytes are in it, behind those; NULL: none */
	struct blocks *bs;   /* for them, should another one want the pipe */
	struct stock *stock; /* in which `owed` bytes of kept are noted, as they were in a pipe */
	uint32_t piped, owed;
	uint64_t sent; /* bytes that the far side's kernel took */
	bool blocked;  /* what is kept did not go: an event will come */
	bool failed;   /* the connection is gone, or memory; for good */
};

/* Room for n bytes to be written in place, then outbox_wrote(). NULL and failed: out of memory. */
uint8_t *outbox_room(struct outbox *o, struct blocks *bs, size_t n);
void outbox_wrote(struct outbox *o, size_t n);
/* What waits, then these. */
void outbox_put(struct outbox *o, struct blocks *bs, struct wire *w, struct http_span p);
/* The same as one chunk of the chunked coding. */
void outbox_put_chunk(struct outbox *o, struct blocks *bs, struct wire *w, struct http_span p);
/* The end of the chunked coding; trailers NULL: none. It waits for outbox_flush(). */
void outbox_put_last_chunk(struct outbox *o, struct blocks *bs, const struct http_head *trailers);
/* What waits, then the n bytes in a pipe, which is the outbox's from now on. Nothing is put behind them until they went. */
void outbox_put_pipe(struct outbox *o, struct blocks *bs, struct wire *w, struct pipe *pipe, size_t n);
void outbox_flush(struct outbox *o, struct blocks *bs, struct wire *w);
static inline bool outbox_is_empty(const struct outbox *o)
{
	return o->kept == NULL && o->pipe == NULL;
}
static inline bool outbox_is_full(const struct outbox *o)
{
	return o->blocked;
}
void outbox_fini(struct outbox *o, struct blocks *bs);

#endif
