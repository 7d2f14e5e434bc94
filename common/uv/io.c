#include "common/uv/io.h"

#include "common/uv/worker.h"

#include <unistd.h>

void io_init(struct io *io, io_event_fn on_event, int fd)
{
	io->on_event = on_event;
	io->fd = fd;
	io->tag = 0;
	io->added = 0;
}

int io_add(struct worker *w, struct io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	io->tag = ++w->last_tag;
	ev.data.u64 = worker_event_data(io);
	if (epoll_ctl(w->epfd, EPOLL_CTL_ADD, io->fd, &ev) != 0)
		return -1;
	io->added = 1;
	return 0;
}

/* Cannot fail: the item is there, and nothing is allocated. */
void io_change(struct worker *w, struct io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = worker_event_data(io) };

	epoll_ctl(w->epfd, EPOLL_CTL_MOD, io->fd, &ev);
}

void io_pass(struct worker *w, struct io *to, struct io *from, uint32_t events)
{
	to->fd = from->fd;
	to->tag = ++w->last_tag;
	to->added = from->added;
	from->fd = -1;
	from->tag = ++w->last_tag;
	from->added = 0;
	if (to->added)
		io_change(w, to, events);
}

void io_del(struct worker *w, struct io *io)
{
	if (!io->added)
		return;
	epoll_ctl(w->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	io->added = 0;
	io->tag = ++w->last_tag;
}

void io_close(struct io *io)
{
	if (io->fd < 0)
		return;
	close(io->fd);
	io->fd = -1;
	io->added = 0;
}
