/*
 * io - one descriptor in a worker's epoll, and who is told when it is ready.
 *
 * Owner:  whoever embeds it. Its memory must stay mapped for the life of the worker (a slab), or the owner calls
 *         io_del() before the last close: a descriptor that a forked child still holds stays in the epoll after our
 *         close, and its events must find something to compare their tag with.
 * Thread: the worker's.
 * Edge-triggered unless said otherwise: on_event is called when something changed, and it must use up what is there or
 * remember that it has not.
 */
#ifndef PORTWAY_UV_IO_H
#define PORTWAY_UV_IO_H

#include "common/base/macros.h"

#include <stdint.h>
#include <sys/epoll.h>

struct io;
struct worker;
typedef void (*io_event_fn)(struct io *io, uint32_t events);

struct io {
	io_event_fn on_event;
	int fd;       /* -1: none */
	uint16_t tag; /* of the registration; an event with another one is a dead descriptor's */
	uint16_t added;
};

/* Everything a data socket needs to hear, said once for its life. */
#define IO_STREAM (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

void io_init(struct io *io, io_event_fn on_event, int fd);
/* 0 or -1 with errno. */
int io_add(struct worker *w, struct io *io, uint32_t events) MUST_CHECK;
/* Other events from now on; what is there already is told again. */
void io_change(struct worker *w, struct io *io, uint32_t events);
/* The descriptor and its place in the epoll are to's from now on, in one call; what is there already is told again. */
void io_pass(struct worker *w, struct io *to, struct io *from, uint32_t events);
/* No more events; the descriptor stays open. */
void io_del(struct worker *w, struct io *io);
/* Closes the descriptor, which takes it out of the epoll; events of it that are already here are dropped. */
void io_close(struct io *io);

#endif
