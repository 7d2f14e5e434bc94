/*
 * side - one end of a session: a socket, and what the kernel last said of it; or something that behaves like one (side_ops).
 *
 * The epoll tells changes only, so what was told and not used up stays here until a system call says otherwise. While the
 * other side takes nothing, every packet that arrives would wake the worker for nothing: after SIDE_TOLD_MAX times the
 * epoll is asked to be silent about them until there is nothing left to read.
 */
#ifndef PORTWAY_UV_SIDE_H
#define PORTWAY_UV_SIDE_H

#include "common/base/macros.h"
#include "common/uv/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct addr;

#define SIDE_TOLD_MAX 4

/* An end without a socket (a stream on a link). Told by side_hear() with the names of epoll; side.far is its own. */
struct side;
struct side_ops {
	/* Bytes that have come, where they are; 0: none (or the end, when side.fin was told). */
	size_t (*peek)(struct side *s, const uint8_t **p);
	void (*take)(struct side *s, size_t n);
	/* Behind all of that is more, which is told as soon as the callback returns. */
	bool (*more)(const struct side *s);
	/* How much send() would take now; 0: EPOLLOUT will come. */
	size_t (*room)(struct side *s);
	/* Where n bytes can be read into that are then sent: nothing is copied. NULL: no such place. */
	uint8_t *(*space)(struct side *s, size_t n);
	/* At most room(); -1: it is over. */
	ssize_t (*send)(struct side *s, const uint8_t *p, size_t n);
	int (*finish)(struct side *s); /* no more will be sent */
	void (*close)(struct side *s, bool reset);
};

struct side {
	struct io io;
	const struct side_ops *ops; /* NULL: a socket, io.fd */
	void *far;
	bool readable;
	bool writable;
	bool fin; /* the peer's end of stream is in the kernel's queue: a read that comes back short was the last */
	bool urgent; /* it sent urgent data once: a read ends there, too, so a short one says nothing (RFC 6093 section 3) */
	bool nodelay;
	bool muted;   /* not told of bytes that come in, urgent ones either: there are enough already */
	uint8_t told; /* how often it was, since the last read */
};

void side_init(struct side *s, io_event_fn on_event, int fd);
void side_hear(struct side *s, struct worker *w, uint32_t events);
/* A read found no more. */
void side_drained(struct side *s, struct worker *w);
/* From the second write on small pieces must not wait for the peer's acknowledgement (Nagle); a lone request never does. */
void side_before_write(struct side *s, uint64_t written);

/* The first bytes on a new connection, of which there is room for all: -1 if they did not go. Others follow. */
int side_send_first(struct side *s, const uint8_t *p, size_t n) MUST_CHECK;
/* Tells the peer that no more will come. -1: it is gone. */
int side_finish(struct side *s) MUST_CHECK;
/* reset: the peer must know that this is not the end of its stream. Any number of times. */
void side_close(struct side *s, bool reset);
bool side_is_open(const struct side *s);

/* Its close will send RST: the peer must know that this is not the end of its stream. */
void side_reset_on_close(int fd);
/* Keepalive probes after so much silence, and so far apart. */
void side_probe(const struct side *s, unsigned interval_s);
/* Both ends of the connection; -1 when it is gone already. Nobody keeps them for the few who ask. */
int side_local(const struct side *s, struct addr *out) MUST_CHECK;
int side_remote(const struct side *s, struct addr *out) MUST_CHECK;

#endif
