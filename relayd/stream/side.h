/*
 * side - one socket of a session, and what the kernel last said of it.
 *
 * The epoll tells changes only, so what was told and not used up stays here until a system call says otherwise.
 */
#ifndef PORTWAY_RELAYD_STREAM_SIDE_H
#define PORTWAY_RELAYD_STREAM_SIDE_H

#include "common/base/macros.h"
#include "relayd/loop/io.h"

#include <stdbool.h>

struct addr;

struct side {
	struct io io;
	bool readable;
	bool writable;
	bool fin; /* the peer's end of stream is in the kernel's queue: a read that comes back short was the last */
};

static inline void side_hear(struct side *s, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		s->writable = true;
	if (events & EPOLLRDHUP)
		s->fin = true;
}

/* Its close will send RST: the peer must know that this is not the end of its stream. */
void side_reset_on_close(int fd);
/* Keepalive probes after so much silence, and so far apart. */
void side_probe(const struct side *s, unsigned interval_s);
/* Both ends of the connection; -1 when it is gone already. Nobody keeps them for the few who ask. */
int side_local(const struct side *s, struct addr *out) MUST_CHECK;
int side_remote(const struct side *s, struct addr *out) MUST_CHECK;

#endif
