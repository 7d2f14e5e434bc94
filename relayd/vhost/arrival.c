#include "relayd/vhost/arrival.h"

#include "common/base/sm.h"
#include "common/net/addr.h"
#include "common/net/proxy_protocol.h"
#include "common/uv/fd_budget.h"
#include "common/uv/side.h"
#include "proto/mapping_conf.h"
#include "relayd/limit/source_table.h"
#include "relayd/vhost/client_hello.h"
#include "relayd/vhost/front.h"
#include "relayd/vhost/request_host.h"
#include "relayd/vhost/vhost.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEAVE_NS   UINT64_C(2000000000) /* to read the last words */
#define LEAVE_READ (64 * 1024)          /* of what it still sends, in one turn */
#define LOOK_MAX   (CLIENT_HELLO_WIRE_MAX + PROXY_V2_MAX)
_Static_assert(LOOK_MAX <= WORKER_SCRATCH && REQUEST_HEAD_MAX <= CLIENT_HELLO_WIRE_MAX, "it is looked at all at once");

/*
 *   WAITING ---> LEAVING ---> OVER
 *      |                       ^
 *      +-----------------------+
 *
 * WAITING: what it is for is not known. LEAVING: it was told why it is not served; what it still sends is read and thrown away, as closing
 * over it would send a reset that overtakes the words.
 */
enum arrival_state { ARRIVAL_WAITING, ARRIVAL_LEAVING, ARRIVAL_OVER };

static const struct sm_state states[] = {
	[ARRIVAL_WAITING] = { "waiting", BIT(ARRIVAL_LEAVING) | BIT(ARRIVAL_OVER) },
	[ARRIVAL_LEAVING] = { "leaving", BIT(ARRIVAL_OVER) },
	[ARRIVAL_OVER] = { "over", 0 },
};

struct arrival {
	struct io io;
	int state;
	bool fin; /* no more will come */
	struct front_seat *seat;
	struct list link; /* in the seat's waiting or leaving */
	struct timer timer;
	struct task grave;
	struct source *source; /* entered; NULL: none */
	size_t want;           /* with fewer bytes there is no use in looking */
	struct addr from;
};

size_t arrival_size(void)
{
	return sizeof(struct arrival);
}

struct arrival *arrival_of(struct list *link)
{
	return CONTAINER_OF(link, struct arrival, link);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	struct arrival *a = CONTAINER_OF(t, struct arrival, grave);

	slab_put(&a->seat->arrivals, a);
}

static void count_waiting(struct front_seat *s, int by)
{
	__atomic_store_n(&s->counts.waiting, s->counts.waiting + (uint64_t)by, __ATOMIC_RELAXED);
}

/* What it held but its descriptor, which the caller has. */
static void let_go(struct arrival *a)
{
	struct front_seat *s = a->seat;

	sm_move(states, &a->state, ARRIVAL_OVER);
	if (a->source != NULL)
		source_table_leave(s->sources, a->source, s->worker->now_ns);
	fd_budget_give(s->worker->fds, 1);
	wheel_disarm(&a->timer);
	list_remove(&a->link);
	count_waiting(s, -1);
	worker_bury(s->worker, &a->grave);
}

static void close_with(struct arrival *a, bool reset)
{
	if (a->state == ARRIVAL_OVER)
		return;
	let_go(a); /* before anybody can see the end */
	if (reset)
		side_reset_on_close(a->io.fd);
	io_close(&a->io);
}

void arrival_cut(struct arrival *a)
{
	close_with(a, true);
}

static void throw_away(struct arrival *a)
{
	ssize_t n;
	size_t sum = 0;

	do {
		n = recv(a->io.fd, a->seat->worker->scratch, LEAVE_READ, 0);
		sum += n > 0 ? (size_t)n : 0;
	} while (n > 0 && sum < LEAVE_READ);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close_with(a, false);
	else if (n > 0)
		arrival_cut(a); /* it does not listen */
}

static void leave(struct arrival *a, struct refusal words)
{
	struct front_seat *s = a->seat;

	if (words.n == 0 || send(a->io.fd, words.p, words.n, MSG_NOSIGNAL) != (ssize_t)words.n ||
		shutdown(a->io.fd, SHUT_WR) != 0) {
		arrival_cut(a);
		return;
	}
	sm_move(states, &a->state, ARRIVAL_LEAVING);
	list_remove(&a->link);
	list_push_back(&s->leaving, &a->link);
	wheel_arm(&s->worker->wheel, &a->timer, s->worker->now_ns + LEAVE_NS);
	throw_away(a);
}

/* ---- whom it is for ----------------------------------------------------------------------------------------------- */

/* The whole of a connection passes on; only the descriptor stays what it was. */
static void serve(struct arrival *a, struct vhost *v, bool proxied)
{
	struct addr from = a->from;
	int fd = a->io.fd;

	front_count(a->seat, FRONT_served);
	io_del(a->seat->worker, &a->io);
	let_go(a);
	v->take(v, fd, &from, proxied);
}

static void conclude(struct arrival *a, enum opening_kind kind, const struct opening *o, bool proxied)
{
	struct front_seat *s = a->seat;
	struct vhost *v = kind == OPENING_FOUND ? host_map_find(&s->hosts, o->host) : NULL;

	if (v == NULL && kind != OPENING_ALIEN) /* HTTP/2, too: it names hosts later */
		v = s->other;
	if (v != NULL) {
		serve(a, v, proxied);
		return;
	}
	front_count(s, kind == OPENING_FOUND ? FRONT_unknown : FRONT_bad);
	leave(a, refusal_of_opening(s->conf->protocol, kind));
}

static enum opening_kind read_opening(uint8_t protocol, struct opening *out, const uint8_t *p, size_t n)
{
	if (protocol == MAPPING_HTTP)
		return request_host_read(out, p, n);
	return n > CLIENT_HELLO_WIRE_MAX ? client_hello_read(out, p, CLIENT_HELLO_WIRE_MAX)
	                                 : client_hello_read(out, p, n);
}

/* A load balancer in front may say first whom it speaks for; what that is worth is for the mapping to say. */
static enum opening_kind read_proxied(uint8_t protocol, struct opening *out, const uint8_t *p, size_t n, size_t *header)
{
	struct proxy_header h;
	int used = proxy_parse(&h, p, n);
	enum opening_kind kind;

	*header = used > 0 ? (size_t)used : 0;
	if (used == 0) {
		*out = (struct opening){ .want = n + 1 };
		return OPENING_MORE;
	}
	kind = read_opening(protocol, out, p + *header, n - *header);
	out->want += *header;
	return kind;
}

static void look(struct arrival *a)
{
	struct front_seat *s = a->seat;
	uint8_t *p = s->worker->scratch;
	struct opening o;
	enum opening_kind kind;
	int there = 0;
	size_t header;
	ssize_t n;

	if (a->want > 0 && !a->fin && ioctl(a->io.fd, FIONREAD, &there) == 0 && (size_t)there < a->want)
		return;
	n = recv(a->io.fd, p, LOOK_MAX, MSG_PEEK);
	if (n < 0 && errno == EAGAIN)
		return;
	kind = n > 0 ? read_proxied(s->conf->protocol, &o, p, (size_t)n, &header) : OPENING_MORE;
	if (kind != OPENING_MORE)
		conclude(a, kind, &o, header > 0);
	else if (n <= 0 || a->fin)
		arrival_cut(a); /* nobody waits for an answer */
	else if (n == LOOK_MAX || o.want > LOOK_MAX)
		conclude(a, OPENING_BAD, &o, false);
	else
		a->want = o.want;
}

static void on_event(struct io *io, uint32_t events)
{
	struct arrival *a = CONTAINER_OF(io, struct arrival, io);

	a->fin |= (events & EPOLLRDHUP) != 0;
	if (events & (EPOLLERR | EPOLLHUP))
		close_with(a, false);
	else if (a->state == ARRIVAL_LEAVING)
		throw_away(a);
	else
		look(a);
}

static void on_due(struct timer *t)
{
	struct arrival *a = CONTAINER_OF(t, struct arrival, timer);

	if (a->state == ARRIVAL_WAITING)
		front_count(a->seat, FRONT_slow);
	arrival_cut(a);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static void refuse(struct front_seat *s, int fd, enum front_counter why)
{
	front_count(s, why);
	side_reset_on_close(fd);
	close(fd);
}

static void make_room(struct front_seat *s)
{
	struct list *first = list_first(&s->leaving);

	if (s->counts.waiting < s->waiting_max)
		return;
	if (first == NULL)
		first = list_first(&s->waiting);
	front_count(s, FRONT_evicted);
	arrival_cut(arrival_of(first));
}

static struct arrival *arrival_new(struct front_seat *s, int fd, struct source *source)
{
	struct arrival *a = worker_take_fds(s->worker, 1) ? slab_get(&s->arrivals) : NULL;

	if (a == NULL)
		return NULL;
	a->seat = s;
	a->state = ARRIVAL_WAITING;
	a->source = source;
	io_init(&a->io, on_event, fd);
	timer_init(&a->timer, on_due);
	task_init(&a->grave, on_buried);
	list_push_back(&s->waiting, &a->link);
	count_waiting(s, 1);
	return a;
}

void arrival_open(struct front_seat *s, int fd, const struct addr *from)
{
	struct worker *w = s->worker;
	struct source *source = NULL;
	struct arrival *a;

	make_room(s);
	if (s->sources != NULL) {
		source = source_table_enter(s->sources, from, s->conf->waiting_per_source, 0, w->now_ns);
		if (source == NULL) {
			refuse(s, fd, FRONT_crowded);
			return;
		}
	}
	a = arrival_new(s, fd, source);
	if (a == NULL) {
		if (source != NULL)
			source_table_leave(s->sources, source, w->now_ns);
		refuse(s, fd, FRONT_resource);
		return;
	}
	a->from = *from;
	wheel_arm(&w->wheel, &a->timer, w->now_ns + s->conf->timeout_ms * UINT64_C(1000000));
	look(a); /* what it wants has often come with it: then it is in no epoll before it is served */
	if (a->state != ARRIVAL_OVER && io_add(w, &a->io, EPOLLIN | EPOLLRDHUP | EPOLLET) != 0)
		arrival_cut(a);
}

void arrival_leave(struct front_seat *s, int fd, struct refusal words)
{
	struct arrival *a;

	make_room(s);
	a = words.n > 0 ? arrival_new(s, fd, NULL) : NULL;
	if (a == NULL) {
		side_reset_on_close(fd);
		close(fd);
	} else if (io_add(s->worker, &a->io, EPOLLIN | EPOLLRDHUP | EPOLLET) != 0) {
		arrival_cut(a);
	} else {
		leave(a, words);
	}
}
