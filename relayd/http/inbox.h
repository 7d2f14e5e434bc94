/*
 * inbox - what a connection reads: the worker's shared buffer, with what the last turn left in front of it.
 *
 * A read goes into the worker's scratch, so an idle connection holds nothing. What is not used up in this turn is copied into a block:
 * an incomplete head (with its table, http_head.h), or requests whose turn has not come.
 *
 *   inbox_fill() or inbox_look(); then http_reader_next(.., inbox_head(..), in->p, in->n, ..) and inbox_use() as often as needed;
 *   inbox_keep()
 *
 * Owner: the connection. Thread: the worker's. Between fill and keep nothing else may use the scratch.
 */
#ifndef PORTWAY_RELAYD_HTTP_INBOX_H
#define PORTWAY_RELAYD_HTTP_INBOX_H

#include "common/http/http_head.h"
#include "relayd/http/block.h"
#include "relayd/http/wire.h"

#define INBOX_READ (64 * 1024)  /* bytes of one read */
#define INBOX_MAX  (128 * 1024) /* that are kept at most: a head, and a read behind it */

struct inbox {
	struct block *kept;
	struct http_head *partial; /* of an incomplete head in kept; NULL: none */
	/* within a turn */
	const uint8_t *p;
	size_t n;
};

/* What was kept, without a read. */
void inbox_look(struct inbox *in, struct worker *on);
/* What was kept, and what the wire has: how many bytes it had, 0 (the end), WIRE_AGAIN, WIRE_FAILED. */
ssize_t inbox_fill(struct inbox *in, struct wire *w, struct worker *on);
static inline void inbox_use(struct inbox *in, size_t n)
{
	in->p += n;
	in->n -= n;
}
/* The table for a head: the worker's, or that of the head which is under way. */
static inline struct http_head *inbox_head(const struct inbox *in, struct http_head *shared)
{
	return in->partial != NULL ? in->partial : shared;
}
/* Ends the turn: what is left stays. partial: it is the begin of a head, in this table. -1: out of memory. */
int inbox_keep(struct inbox *in, struct blocks *bs, const struct http_head *partial) MUST_CHECK;
static inline bool inbox_is_empty(const struct inbox *in)
{
	return in->kept == NULL;
}
void inbox_fini(struct inbox *in, struct blocks *bs);

#endif
