/*
 * wire - the bytes of one connection, in clear or through TLS: the seam below which the engine does not look.
 *
 * Clear (wire_clear.c) is a socket, or a stream of an agent's link. Another transport has its own wire_ops and keeps what it needs in
 * `below`. Events come to side.io.on_event; the owner calls side_hear() first and then tries what it was waiting for: a read may have
 * waited for the socket to be writable, and the other way round.
 *
 *   side.readable   a read may find something: also bytes that are decrypted already. Cleared by a read that finds no more
 *   side.writable   a write may be taken
 *   side.fin        the peer's end has come, perhaps behind bytes
 *
 * Owner: the connection that embeds it. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_WIRE_H
#define PORTWAY_RELAYD_HTTP_WIRE_H

#include "common/uv/side.h"
#include "common/uv/worker.h"

#include <sys/uio.h>

#define WIRE_AGAIN  (-1) /* when an event comes */
#define WIRE_FAILED (-2)

struct pipe;
struct wire;
struct wire_ops {
	/* Bytes, 0: the end, WIRE_*. */
	ssize_t (*read)(struct wire *w, struct worker *on, uint8_t *p, size_t n);
	/* How many were taken, WIRE_*. Fewer than all: side.writable is false. */
	ssize_t (*writev)(struct wire *w, const struct iovec *iov, int n);
	/* The same for bytes that nobody looks at: into a pipe, and out of one. NULL: they have to be read. 0: read() says what it is. */
	ssize_t (*pull)(struct wire *w, struct worker *on, const struct pipe *to, size_t n);
	ssize_t (*push)(struct wire *w, const struct pipe *from, size_t n);
	int (*finish)(struct wire *w); /* no more will be written; -1: it is gone */
	void (*close)(struct wire *w, bool reset);
};

struct wire {
	struct side side;
	const struct wire_ops *ops; /* NULL: closed */
	void *below;
};

/* The side was initialised, and opened or accepted. */
void wire_open_clear(struct wire *w);
static inline bool wire_is_open(const struct wire *w)
{
	return w->ops != NULL;
}
static inline ssize_t wire_read(struct wire *w, struct worker *on, uint8_t *p, size_t n)
{
	return w->ops->read(w, on, p, n);
}
static inline ssize_t wire_writev(struct wire *w, const struct iovec *iov, int n)
{
	return w->ops->writev(w, iov, n);
}
static inline bool wire_splices(const struct wire *w)
{
	return w->ops != NULL && w->ops->pull != NULL;
}
static inline int wire_finish(struct wire *w)
{
	return w->ops->finish(w);
}
/* Any number of times. reset: the peer must see that this is not the end of what it was told. */
void wire_close(struct wire *w, bool reset);

#endif
