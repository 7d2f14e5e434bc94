#define _GNU_SOURCE
#include "relayd/tunnel/agent_door.h"

#include "common/net/addr.h"
#include "common/net/bucket.h"
#include "common/uv/fd_budget.h"
#include "common/uv/slab.h"
#include "relayd/tunnel/agent_link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ACCEPT_MAX 32
#define GUEST_NS   UINT64_C(10000000000) /* to say something */
#define PAUSE_NS   UINT64_C(100000000)   /* after the kernel had no descriptor left */
#define LOOK_NS    UINT64_C(500000000)

struct guest {
	struct io io;
	struct list link; /* in silent or speaking */
	struct agent_door *door;
	struct addr from;
	uint64_t since_ns;
	struct task grave;
};

struct agent_door {
	struct io io;
	struct agent_table *table;
	struct slab guests;
	struct list silent, speaking; /* oldest first */
	unsigned n;
	struct bucket rate; /* of handshakes */
	struct timer next;  /* more may begin then */
	struct timer look;  /* at who has been silent for too long */
	struct timer pause; /* accepting goes on then */
};

static void on_buried(struct task *t)
{
	struct guest *g = CONTAINER_OF(t, struct guest, grave);

	slab_put(&g->door->guests, g);
}

/* Out of the door's hands; its memory stays until the end of the round. */
static void let_go(struct guest *g)
{
	struct agent_door *d = g->door;

	list_remove(&g->link);
	d->n--;
	fd_budget_give(d->table->worker->fds, 1);
	worker_bury(d->table->worker, &g->grave);
}

static void turn_away(struct guest *g)
{
	io_close(&g->io);
	let_go(g);
}

static void admit(struct guest *g)
{
	struct agent_door *d = g->door;
	int fd = g->io.fd;

	io_del(d->table->worker, &g->io);
	let_go(g);
	agent_link_open(d->table, fd, &g->from);
}

/* As many as the rate allows. */
static void let_in(struct agent_door *d)
{
	struct worker *w = d->table->worker;
	struct list *first;

	while ((first = list_first(&d->speaking)) != NULL && bucket_take(&d->rate, 1, 1, w->now_ns) == 1)
		admit(CONTAINER_OF(first, struct guest, link));
	if (!list_empty(&d->speaking) && !timer_armed(&d->next))
		wheel_arm(&w->wheel, &d->next, w->now_ns + bucket_wait_ns(&d->rate, 1, w->now_ns));
}

static void on_next(struct timer *t)
{
	let_in(CONTAINER_OF(t, struct agent_door, next));
}

static void on_guest(struct io *io, uint32_t events)
{
	struct guest *g = CONTAINER_OF(io, struct guest, io);
	struct agent_door *d = g->door;

	if (events & (EPOLLHUP | EPOLLERR)) {
		turn_away(g);
		return;
	}
	if (!(events & EPOLLIN))
		return;
	list_remove(&g->link);
	list_push_back(&d->speaking, &g->link);
	let_in(d);
	if (!list_empty(&d->speaking))
		agent_count(&d->table->counts.delayed);
}

static void evict_oldest(struct agent_door *d)
{
	struct list *first = list_first(&d->silent);

	if (first == NULL)
		first = list_first(&d->speaking);
	agent_count(&d->table->counts.evicted);
	turn_away(CONTAINER_OF(first, struct guest, link));
}

static void receive_guest(struct agent_door *d, int fd, const struct addr *from)
{
	struct worker *w = d->table->worker;
	struct guest *g;

	if (d->n >= d->table->conf->guests_max)
		evict_oldest(d);
	g = fd_budget_take(w->fds, 1, FD_FOR_SESSIONS) ? slab_get(&d->guests) : NULL;
	if (g == NULL) {
		struct io io;

		io_init(&io, NULL, fd);
		io_close(&io);
		return;
	}
	g->door = d;
	g->from = *from;
	g->since_ns = w->now_ns;
	io_init(&g->io, on_guest, fd);
	task_init(&g->grave, on_buried);
	list_push_back(&d->silent, &g->link);
	d->n++;
	if (io_add(w, &g->io, EPOLLIN | EPOLLET) != 0)
		turn_away(g);
}

static int start_accepting(struct agent_door *d)
{
	return io_add(d->table->worker, &d->io, EPOLLIN | EPOLLEXCLUSIVE);
}

static void on_pause_over(struct timer *t)
{
	struct agent_door *d = CONTAINER_OF(t, struct agent_door, pause);

	if (start_accepting(d) != 0)
		wheel_arm(&d->table->worker->wheel, t, d->table->worker->now_ns + PAUSE_NS);
}

/* Level-triggered: what is left wakes a worker again. */
static void on_door(struct io *io, uint32_t events)
{
	struct agent_door *d = CONTAINER_OF(io, struct agent_door, io);

	(void)events;
	for (unsigned i = 0; i < ACCEPT_MAX; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		int fd = accept4(d->io.fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct addr from;

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				io_del(d->table->worker, &d->io);
				wheel_arm(&d->table->worker->wheel, &d->pause, d->table->worker->now_ns + PAUSE_NS);
			}
			return;
		}
		agent_count(&d->table->counts.accepted);
		addr_from_sockaddr(&from, (struct sockaddr *)&ss, len);
		receive_guest(d, fd, &from);
	}
}

static void on_look(struct timer *t)
{
	struct agent_door *d = CONTAINER_OF(t, struct agent_door, look);
	struct worker *w = d->table->worker;
	struct list *first;

	while ((first = list_first(&d->silent)) != NULL &&
		w->now_ns - CONTAINER_OF(first, struct guest, link)->since_ns >= GUEST_NS)
		evict_oldest(d);
	wheel_arm(&w->wheel, t, w->now_ns + LOOK_NS);
}

int agent_door_open(struct agent_door **out, struct agent_table *t, int fd)
{
	struct agent_door *d = calloc(1, sizeof *d);
	uint64_t rate = MAX(t->conf->handshakes_per_s / t->n_all, 1);

	if (d == NULL)
		return -1;
	d->table = t;
	list_init(&d->silent);
	list_init(&d->speaking);
	slab_init(&d->guests, sizeof(struct guest));
	bucket_init(&d->rate, rate, MAX(rate / 10, 8), t->worker->now_ns);
	timer_init(&d->next, on_next);
	timer_init(&d->look, on_look);
	timer_init(&d->pause, on_pause_over);
	io_init(&d->io, on_door, fd);
	if (start_accepting(d) != 0) {
		slab_fini(&d->guests);
		free(d);
		return -1;
	}
	wheel_arm(&t->worker->wheel, &d->look, t->worker->now_ns + LOOK_NS);
	*out = d;
	return 0;
}

void agent_door_close(struct agent_door *d)
{
	struct list *first;

	if (d == NULL)
		return;
	io_del(d->table->worker, &d->io);
	while ((first = list_first(&d->silent)) != NULL || (first = list_first(&d->speaking)) != NULL)
		turn_away(CONTAINER_OF(first, struct guest, link));
	wheel_disarm(&d->next);
	wheel_disarm(&d->look);
	wheel_disarm(&d->pause);
	worker_bury_all(d->table->worker);
	slab_fini(&d->guests);
	free(d);
}
