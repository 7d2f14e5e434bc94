#include "relayd/vhost/front_seat.h"

#include "common/uv/accept.h"
#include "relayd/vhost/arrival.h"
#include "relayd/vhost/front.h"

#include <stdlib.h>

struct door {
	struct io io;
	struct front_seat *seat;
};

struct front_doors {
	struct task grave;
	unsigned n;
	struct door at[];
};

static void on_doors_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct front_doors, grave));
}

static void stop_accepting(struct front_seat *s)
{
	for (unsigned i = 0; s->doors != NULL && i < s->doors->n; i++)
		io_del(s->worker, &s->doors->at[i].io);
}

static int start_accepting(struct front_seat *s)
{
	for (unsigned i = 0; s->doors != NULL && i < s->doors->n; i++)
		if (io_add(s->worker, &s->doors->at[i].io, EPOLLIN | EPOLLEXCLUSIVE) != 0)
			return -1;
	return 0;
}

static void on_pause_over(struct timer *t)
{
	struct front_seat *s = CONTAINER_OF(t, struct front_seat, pause);

	if (start_accepting(s) != 0) {
		stop_accepting(s);
		wheel_arm(&s->worker->wheel, t, s->worker->now_ns + ACCEPT_PAUSE_NS);
	}
}

/* The socket stays readable, so it must not wake us again and again. */
static void pause_accepting(struct front_seat *s)
{
	front_count(s, FRONT_resource);
	stop_accepting(s);
	wheel_arm(&s->worker->wheel, &s->pause, s->worker->now_ns + ACCEPT_PAUSE_NS);
}

static void on_accepted(void *arg, int fd, const struct addr *from)
{
	struct front_seat *s = arg;

	front_count(s, FRONT_accepted);
	arrival_open(s, fd, from);
}

static void accept_at(struct door *d, unsigned max)
{
	bool shortage;

	accept_some(d->io.fd, max, on_accepted, d->seat, &shortage);
	if (shortage)
		pause_accepting(d->seat);
}

/* Level-triggered: what is left wakes a worker again. */
static void on_door(struct io *io, uint32_t events)
{
	(void)events;
	accept_at(CONTAINER_OF(io, struct door, io), ACCEPT_MAX);
}

void front_seat_init(
	struct front_seat *s, struct worker *w, const struct front_conf *conf, struct source_table *sources)
{
	*s = (struct front_seat){ .worker = w, .conf = conf, .sources = sources };
	s->waiting_max = MAX(conf->waiting_max / conf->workers, 1);
	host_map_init(&s->hosts);
	slab_init(&s->arrivals, arrival_size());
	list_init(&s->waiting);
	list_init(&s->leaving);
	timer_init(&s->pause, on_pause_over);
}

void front_seat_fini(struct front_seat *s)
{
	slab_fini(&s->arrivals);
	host_map_fini(&s->hosts);
}

int front_seat_listen(struct front_seat *s)
{
	const unsigned n = s->sockets->n;

	if (n == 0 || s->doors != NULL)
		return 0;
	s->doors = malloc(sizeof *s->doors + n * sizeof s->doors->at[0]);
	if (s->doors == NULL)
		return -1;
	s->doors->n = n;
	task_init(&s->doors->grave, on_doors_buried);
	for (unsigned i = 0; i < n; i++) {
		s->doors->at[i].seat = s;
		io_init(&s->doors->at[i].io, on_door, s->sockets->fds[i]);
	}
	return start_accepting(s);
}

/* A successor with the same sockets does not see who was in the queue: the kernel may have woken this worker for them. */
void front_seat_quiesce(struct front_seat *s)
{
	if (s->doors == NULL)
		return;
	stop_accepting(s);
	for (unsigned i = 0; i < s->doors->n; i++)
		accept_at(&s->doors->at[i], ACCEPT_QUEUE_MAX);
	wheel_disarm(&s->pause);
	worker_bury(s->worker, &s->doors->grave);
	s->doors = NULL;
}

void front_seat_cut(struct front_seat *s)
{
	struct list *first;

	while ((first = list_first(&s->waiting)) != NULL || (first = list_first(&s->leaving)) != NULL)
		arrival_cut(arrival_of(first));
}
