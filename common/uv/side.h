/*
 * side - one socket of a session, and what the kernel last said of it.
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

struct addr;

#define SIDE_TOLD_MAX 4

struct side {
	struct io io;
	bool readable;
	bool writable;
	bool fin; /* the peer's end of stream is in the kernel's queue: a read that comes back short was the last */
	bool nodelay;
	bool muted;   /* not told of bytes that come in: there are enough already */
	uint8_t told; /* how often it was, since the last read */
};

void side_init(struct side *s, io_event_fn on_event, int fd);
void side_hear(struct side *s, struct worker *w, uint32_t events);
/* A read found no more. */
void side_drained(struct side *s, struct worker *w);
/* From the second write on small pieces must not wait for the peer's acknowledgement (Nagle); a lone request never does. */
void side_before_write(struct side *s, uint64_t written);

/* Sends now what the kernel holds back because more was announced. */
void side_push(const struct side *s);
/* Its close will send RST: the peer must know that this is not the end of its stream. */
void side_reset_on_close(int fd);
/* Keepalive probes after so much silence, and so far apart. */
void side_probe(const struct side *s, unsigned interval_s);
/* Both ends of the connection; -1 when it is gone already. Nobody keeps them for the few who ask. */
int side_local(const struct side *s, struct addr *out) MUST_CHECK;
int side_remote(const struct side *s, struct addr *out) MUST_CHECK;

#endif
