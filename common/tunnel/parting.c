#include "common/tunnel/parting.h"

#include "common/base/clock.h"
#include "common/uv/fd_budget.h"
#include "common/uv/sys.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>

#define NS_PER_MS UINT64_C(1000000)

struct parting {
	struct io io;
	struct partings *all;
	struct worker *worker;
	struct list in;
	struct timer timer;
	struct task grave;
	size_t got; /* bytes thrown away */
};

static struct parting *parting_in(struct list *in)
{
	return CONTAINER_OF(in, struct parting, in);
}

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct parting, grave));
}

static void parting_end(struct parting *p)
{
	io_del(p->worker, &p->io);
	io_close(&p->io);
	fd_budget_give(p->worker->fds, 1);
	wheel_disarm(&p->timer);
	list_remove(&p->in);
	p->all->n--;
	worker_bury(p->worker, &p->grave); /* events of this round may still be told */
}

/* Level-triggered: what is left is told again. */
static void on_socket(struct io *io, uint32_t events)
{
	struct parting *p = CONTAINER_OF(io, struct parting, io);
	ssize_t n = sys_recv(io->fd, p->worker->scratch, WORKER_SCRATCH, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	p->got += n > 0 ? (size_t)n : 0;
	if (n <= 0 || p->got > PARTING_BYTES)
		parting_end(p);
}

static void on_due(struct timer *t)
{
	parting_end(CONTAINER_OF(t, struct parting, timer));
}

void partings_init(struct partings *all)
{
	*all = (struct partings){ .n = 0 };
	list_init(&all->all);
}

void partings_take(struct partings *all, struct worker *w, struct io *from)
{
	struct parting *p = calloc(1, sizeof *p);

	if (p == NULL) {
		io_close(from);
		fd_budget_give(w->fds, 1);
		return;
	}
	if (all->n == PARTINGS_MAX)
		parting_end(parting_in(list_first(&all->all)));
	p->all = all;
	p->worker = w;
	io_init(&p->io, on_socket, -1);
	task_init(&p->grave, on_buried);
	timer_init(&p->timer, on_due);
	list_init(&p->in);
	list_push_back(&all->all, &p->in);
	all->n++;
	wheel_arm(&w->wheel, &p->timer, w->now_ns + PARTING_NS);
	(void)shutdown(from->fd, SHUT_WR);
	io_pass(w, &p->io, from, EPOLLIN | EPOLLRDHUP);
}

void partings_cut(struct partings *all)
{
	struct list *first;

	while ((first = list_first(&all->all)) != NULL)
		parting_end(parting_in(first));
}

static void wait_for_peers(struct partings *all, int ms)
{
	struct pollfd fds[PARTINGS_MAX];
	unsigned n = 0, i = 0;

	LIST_FOREACH (it, &all->all)
		fds[n++] = (struct pollfd){ .fd = parting_in(it)->io.fd, .events = POLLIN };
	if (poll(fds, n, ms) <= 0)
		return;
	LIST_FOREACH_SAFE (it, &all->all)
		if (fds[i++].revents != 0)
			on_socket(&parting_in(it)->io, 0);
}

void partings_fini(struct partings *all)
{
	const uint64_t end = clock_mono_ns() + PARTING_END_MS * NS_PER_MS;
	uint64_t now;

	while (!list_empty(&all->all) && (now = clock_mono_ns()) < end)
		wait_for_peers(all, (int)((end - now) / NS_PER_MS) + 1);
	partings_cut(all);
}
