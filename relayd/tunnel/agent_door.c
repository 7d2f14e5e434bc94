#include "relayd/tunnel/agent_door.h"

#include "common/net/addr.h"
#include "common/net/bucket.h"
#include "common/uv/accept.h"
#include "common/uv/fd_budget.h"
#include "common/uv/slab.h"
#include "common/uv/sys.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/visitors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define GUEST_NS UINT64_C(10000000000) /* to say something */
#define LOOK_NS  UINT64_C(500000000)
#define ROOM_NS  UINT64_C(20000000) /* after that it is seen whether a greeting has ended */

struct guest {
	struct io io;
	struct visitor place;
	struct agent_door *door;
	struct addr from;
	uint64_t since_ns;
	bool speaks;
	struct task grave;
};

struct agent_door {
	struct io io;
	struct agent_table *table;
	struct slab guests;
	struct visitors visitors;
	struct bucket rate; /* of handshakes */
	struct timer next;  /* more may begin then */
	struct timer look;  /* at who has been silent for too long */
	struct timer pause; /* accepting goes on then */
	struct task grave;
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

	visitors_leave(&d->visitors, &g->place);
	fd_budget_give(d->table->worker->fds, 1);
	worker_bury(d->table->worker, &g->grave);
}

static struct guest *guest_of(struct visitor *v)
{
	return CONTAINER_OF(v, struct guest, place);
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

/* Who has begun and does not go on holds a descriptor for some seconds, so there is a limit of those, too. */
static bool has_room(const struct agent_door *d)
{
	return d->table->n_greeting < d->table->conf->guests_max;
}

/* As many as the rate allows. */
static void let_in(struct agent_door *d)
{
	struct worker *w = d->table->worker;

	while (visitors_waiting(&d->visitors) && has_room(d) && bucket_take(&d->rate, 1, 1, w->now_ns) == 1)
		admit(guest_of(visitors_next(&d->visitors)));
	if (visitors_waiting(&d->visitors) && !timer_armed(&d->next))
		wheel_arm(&w->wheel, &d->next,
			w->now_ns + (has_room(d) ? bucket_wait_ns(&d->rate, 1, w->now_ns) : ROOM_NS));
}

static void on_next(struct timer *t)
{
	let_in(CONTAINER_OF(t, struct agent_door, next));
}

/*
 * Whether what came begins as TLS does (RFC 8446 section 5.1, 4.1.2), or as the request for a WebSocket: 1, 0 as far as it has
 * come, -1 if it does not.
 */
static int looks_like_link(const uint8_t *p, size_t n)
{
	static const char request[] = "GET /";
	static const struct {
		uint8_t at, from, to;
	} rules[] = { { 0, 22, 22 }, { 1, 3, 3 }, { 2, 1, 4 }, { 5, 1, 1 } };

	if (memcmp(p, request, MIN(n, sizeof request - 1)) == 0)
		return n >= sizeof request - 1;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].at < n && (p[rules[i].at] < rules[i].from || p[rules[i].at] > rules[i].to))
			return -1;
	return n > 5;
}

/* What came first: 1 if it begins as a link does, 0 if that is not known yet, -1 if it does not. */
static int look_at(const struct guest *g)
{
	uint8_t first[6];
	ssize_t n = sys_recv(g->io.fd, first, sizeof first, MSG_PEEK);

	if (n < 0 && errno == EAGAIN)
		return 0;
	return n <= 0 ? -1 : looks_like_link(first, (size_t)n);
}

/* Also of one that waits for its turn: when it goes, its place is wanted. */
static void on_guest(struct io *io, uint32_t events)
{
	struct guest *g = CONTAINER_OF(io, struct guest, io);
	struct agent_door *d = g->door;
	int looks = events & EPOLLIN && !g->speaks ? look_at(g) : 0;

	if (looks < 0 || events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
		agent_count(looks < 0 ? &d->table->counts.junk : &d->table->counts.gave_up);
		turn_away(g);
		return;
	}
	if (looks == 0)
		return;
	g->speaks = true;
	visitors_speak(&d->visitors, &g->place);
	let_in(d);
	if (visitors_waiting(&d->visitors))
		agent_count(&d->table->counts.delayed);
}

static void evict(struct agent_door *d, struct visitor *v)
{
	agent_count(&d->table->counts.evicted);
	turn_away(guest_of(v));
}

/* A place for one from there, if need be another one's. */
static bool make_room(struct agent_door *d, const struct addr *from)
{
	struct visitor *victim;

	if (!visitors_may_enter(&d->visitors, from, &victim)) {
		agent_count(&d->table->counts.crowded);
		return false;
	}
	if (victim != NULL)
		evict(d, victim);
	return worker_take_fds(d->table->worker, 1);
}

static void shut(int fd)
{
	struct io io;

	io_init(&io, NULL, fd);
	io_close(&io);
}

static void on_accepted(void *arg, int fd, const struct addr *from)
{
	struct agent_door *d = arg;
	struct worker *w = d->table->worker;
	struct guest *g;

	agent_count(&d->table->counts.accepted);
	if (!make_room(d, from)) {
		shut(fd);
		return;
	}
	g = slab_get(&d->guests);
	if (g == NULL || visitors_enter(&d->visitors, &g->place, from) != 0) {
		fd_budget_give(w->fds, 1);
		if (g != NULL)
			slab_put(&d->guests, g);
		shut(fd);
		return;
	}
	g->door = d;
	g->from = *from;
	g->since_ns = w->now_ns;
	g->speaks = false;
	io_init(&g->io, on_guest, fd);
	task_init(&g->grave, on_buried);
	if (io_add(w, &g->io, EPOLLIN | EPOLLRDHUP | EPOLLET) != 0)
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
		wheel_arm(&d->table->worker->wheel, t, d->table->worker->now_ns + ACCEPT_PAUSE_NS);
}

/* Level-triggered: what is left wakes a worker again. */
static void on_door(struct io *io, uint32_t events)
{
	struct agent_door *d = CONTAINER_OF(io, struct agent_door, io);
	bool shortage;

	(void)events;
	accept_some(io->fd, ACCEPT_MAX, on_accepted, d, &shortage);
	if (!shortage)
		return;
	io_del(d->table->worker, io);
	wheel_arm(&d->table->worker->wheel, &d->pause, d->table->worker->now_ns + ACCEPT_PAUSE_NS);
}

static void on_look(struct timer *t)
{
	struct agent_door *d = CONTAINER_OF(t, struct agent_door, look);
	struct worker *w = d->table->worker;
	struct visitor *oldest;

	while ((oldest = visitors_oldest(&d->visitors)) != NULL && w->now_ns - guest_of(oldest)->since_ns >= GUEST_NS)
		evict(d, oldest);
	wheel_arm(&w->wheel, t, w->now_ns + LOOK_NS);
}

/* After its guests, who were buried before it. */
static void on_door_buried(struct task *t)
{
	struct agent_door *d = CONTAINER_OF(t, struct agent_door, grave);

	visitors_fini(&d->visitors);
	slab_fini(&d->guests);
	free(d);
}

int agent_door_open(struct agent_door **out, struct agent_table *t, int fd)
{
	struct agent_door *d = calloc(1, sizeof *d);
	uint64_t rate = MAX(t->conf->handshakes_per_s / t->n_all, 1);

	if (d == NULL)
		return -1;
	d->table = t;
	visitors_init(&d->visitors, (unsigned)t->conf->guests_max, t->friends);
	slab_init(&d->guests, sizeof(struct guest));
	bucket_init(&d->rate, rate, MAX(rate / 10, 8), t->worker->now_ns);
	timer_init(&d->next, on_next);
	timer_init(&d->look, on_look);
	timer_init(&d->pause, on_pause_over);
	task_init(&d->grave, on_door_buried);
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

/* This round may have events for it and its guests still, so nothing is freed before its end. */
void agent_door_close(struct agent_door *d)
{
	struct visitor *v;

	if (d == NULL)
		return;
	io_del(d->table->worker, &d->io);
	while ((v = visitors_oldest(&d->visitors)) != NULL || (v = visitors_next(&d->visitors)) != NULL)
		turn_away(guest_of(v));
	wheel_disarm(&d->next);
	wheel_disarm(&d->look);
	wheel_disarm(&d->pause);
	worker_bury(d->table->worker, &d->grave);
}
