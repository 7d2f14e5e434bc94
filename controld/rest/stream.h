/*
 * stream - an answer that goes on: begun by a handler, written from the loop, until either side ends it.
 *
 * A handler calls reply_stream() and returns 0. Then ops->begin() gets the stream on the loop thread. ops->gone() is called
 * exactly once, whoever ended it, also when it never began; afterwards the stream is no more.
 *
 * Owner:  the server. Thread: loop, but reply_stream().
 * Ends:   stream_end() at any time, again is fine: gone() may run before it returns. The connection ends with it.
 */
#ifndef PORTWAY_CONTROLD_REST_STREAM_H
#define PORTWAY_CONTROLD_REST_STREAM_H

#include <stddef.h>

struct conn;
struct conn_output;
struct reply;
struct stream;

struct stream_ops {
	void (*begin)(void *state, struct stream *s);
	void (*gone)(void *state);
};

void reply_stream(struct reply *rp, const char *content_type, const struct stream_ops *ops, void *state);

/* Bytes that were written and not taken: whoever writes looks, and ends a stream that does not come along. */
size_t stream_waiting(const struct stream *s);
void stream_write(struct stream *s, const void *p, size_t n);
/* The same, n > 0; taken(arg) once the kernel has all that was written, unless the stream ends before. A client that takes
 * longer than http.write_timeout is cut off. */
void stream_write_then(struct stream *s, const void *p, size_t n, void (*taken)(void *arg), void *arg);
void stream_end(struct stream *s);
/* Ends it without waiting for what was written: for who does not take it. gone() comes soon. */
void stream_cut(struct stream *s);
/* gone() is not called any more: its owner goes before the server. */
void stream_abandon(struct stream *s);

/* For dispatch.c: the head of the answer goes out, and begin() runs; or gone(), when the client left or for no memory. */
void stream_begin(struct conn *c, struct conn_output *out, const struct stream_ops *ops, void *state);

#endif
