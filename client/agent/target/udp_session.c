#include "client/agent/target/udp_session.h"

#include "client/agent/target/agent_session.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/udp_send.h"

#include <errno.h>
#include <sys/socket.h>

#define WAITING_MAX ((size_t)64 * 1024) /* bytes that wait for a name */
#define ROUNDS_MAX  4                   /* batches of one session before others have their turn */
#define SILENT_NS   UINT64_C(10000000000)

/*
 *   DIAL --resolved--> OPEN
 *     |                 |
 *     +-----------------+--> CLOSED
 */
enum udp_state { UDP_DIAL, UDP_OPEN, UDP_CLOSED };

static const struct sm_state states[] = {
	[UDP_DIAL] = { "dial", BIT(UDP_OPEN) | BIT(UDP_CLOSED) },
	[UDP_OPEN] = { "open", BIT(UDP_CLOSED) },
	[UDP_CLOSED] = { "closed", 0 },
};

struct udp_session {
	struct agent_session base;
	int state;
	struct stream stream;
	struct io io;
	struct task task; /* another turn; the burial */
	struct timer idle;
	bool segments;      /* the kernel may be asked for them */
	uint64_t active_ns; /* of the last datagram either way */
	struct buf waiting; /* u32 length and bytes, one after the other */
};

static void udp_move(struct udp_session *u, enum udp_state to)
{
	sm_move(states, &u->state, (int)to);
}

static struct udp_session *udp_of(struct agent_session *s)
{
	return CONTAINER_OF(s, struct udp_session, base);
}

static struct worker *worker_of(const struct udp_session *u)
{
	return u->base.link->worker;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *task)
{
	struct udp_session *u = CONTAINER_OF(task, struct udp_session, task);

	slab_put(&u->base.all->udp_slab, u);
}

static void udp_end(struct agent_session *s, uint16_t code, const char *reason)
{
	struct udp_session *u = udp_of(s);

	if (u->state == UDP_CLOSED)
		return;
	udp_move(u, UDP_CLOSED);
	stream_close(&u->stream, code, reason);
	io_close(&u->io);
	wheel_disarm(&u->idle);
	buf_free(&u->waiting);
	list_remove(&u->task.link);
	u->task.run = on_buried;
	worker_bury(worker_of(u), &u->task);
	agent_session_leave(s);
}

static uint64_t idle_at(const struct udp_session *u)
{
	return u->active_ns + u->base.all->limits.udp_idle_ms * UINT64_C(1000000);
}

static void on_idle(struct timer *t)
{
	struct udp_session *u = CONTAINER_OF(t, struct udp_session, idle);

	if (worker_of(u)->now_ns >= idle_at(u))
		udp_end(&u->base, ERR_TIMEOUT, "no datagram for a long time");
	else
		wheel_arm(&worker_of(u)->wheel, &u->idle, idle_at(u));
}

bool udp_session_is_silent(const struct agent_session *s)
{
	const struct udp_session *u = CONTAINER_OF(s, struct udp_session, base);

	return worker_of(u)->now_ns - u->active_ns >= SILENT_NS;
}

/* The list is in the order of the last datagram. */
static void note_active(struct udp_session *u)
{
	u->active_ns = worker_of(u)->now_ns;
	list_remove(&u->base.in);
	list_push_back(&u->base.all->udp, &u->base.in);
}

/* ---- datagrams ---------------------------------------------------------------------------------------------------- */

static void to_target(struct udp_session *u, struct iovec *d, unsigned n)
{
	struct udp_route route = { .fd = u->io.fd, .segments = u->segments };
	struct sessions *all = u->base.all;
	uint64_t taken = udp_send(&route, d, n);

	u->segments = route.segments;
	for (unsigned i = 0; i < n; i++) {
		if (!(taken & UINT64_C(1) << i)) {
			sessions_count(all, SESSIONS_DROPPED);
			continue;
		}
		sessions_count(all, SESSIONS_DATAGRAMS_IN);
		all->counters[SESSIONS_BYTES_IN] += d[i].iov_len;
	}
}

static uint32_t length_at_front(const struct buf *b)
{
	return (uint32_t)b->data[0] << 24 | (uint32_t)b->data[1] << 16 | (uint32_t)b->data[2] << 8 | b->data[3];
}

static void let_wait(struct udp_session *u, const uint8_t *p, size_t n)
{
	while (u->waiting.len > 0 && u->waiting.len + 4 + n > WAITING_MAX) {
		buf_consume(&u->waiting, 4 + length_at_front(&u->waiting));
		sessions_count(u->base.all, SESSIONS_DROPPED);
	}
	if (4 + n > WAITING_MAX || buf_reserve(&u->waiting, 4 + n) == NULL) {
		sessions_count(u->base.all, SESSIONS_DROPPED);
		return;
	}
	buf_blob32(&u->waiting, p, n);
}

static void send_waiting(struct udp_session *u)
{
	while (u->waiting.len > 0) {
		struct iovec d = { u->waiting.data + 4, length_at_front(&u->waiting) };

		to_target(u, &d, 1);
		buf_consume(&u->waiting, 4 + d.iov_len);
	}
	buf_free(&u->waiting);
}

static void to_relay(struct udp_session *u, const struct iovec *d)
{
	struct sessions *all = u->base.all;

	if (!stream_datagram(&u->stream, d->iov_base, d->iov_len)) {
		sessions_count(all, SESSIONS_DROPPED);
		return;
	}
	sessions_count(all, SESSIONS_DATAGRAMS_OUT);
	all->counters[SESSIONS_BYTES_OUT] += d->iov_len;
}

/*
 * All that is there, but at most a turn's worth. What a target refused before (ICMP) is told here and no reason to end: it
 * may come back.
 */
static void from_target(struct udp_session *u)
{
	struct udp_batch *b = u->base.all->batch;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int n = udp_batch_receive_connected(b, u->io.fd);

		if (n < 0 && errno == EAGAIN)
			return;
		for (int i = 0; i < n; i++)
			to_relay(u, udp_batch_datagram(b, (unsigned)i));
		if (n > 0)
			note_active(u);
		if (n >= 0 && n < UDP_BATCH)
			return;
	}
	worker_again(worker_of(u), &u->task);
}

static void on_turn(struct task *task)
{
	from_target(CONTAINER_OF(task, struct udp_session, task));
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static void on_stream(struct stream *s, uint32_t events)
{
	struct udp_session *u = s->owner;
	struct iovec *d;
	unsigned n;

	if (events & (EPOLLERR | EPOLLRDHUP)) {
		udp_end(&u->base, ERR_NONE, "");
		return;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(s, &d);
	note_active(u);
	if (u->state == UDP_OPEN) {
		to_target(u, d, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		let_wait(u, d[i].iov_base, d[i].iov_len);
}

static void on_target(struct io *io, uint32_t events)
{
	(void)events;
	from_target(CONTAINER_OF(io, struct udp_session, io));
}

static void on_resolved(struct agent_session *s, int fd)
{
	struct udp_session *u = udp_of(s);

	udp_move(u, UDP_OPEN);
	io_init(&u->io, on_target, fd);
	if (io_add(worker_of(u), &u->io, EPOLLIN | EPOLLET) != 0) {
		udp_end(s, ERR_NOMEM, "the agent is out of memory");
		return;
	}
	stream_opened(&u->stream);
	send_waiting(u);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static const struct agent_session_kind kind = { .type = SOCK_DGRAM, .on_target = on_resolved, .end = udp_end };

size_t udp_session_size(void)
{
	return sizeof(struct udp_session);
}

int udp_session_open(struct sessions *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct udp_session *u;
	int code;

	if (all->batch == NULL && udp_batch_new(&all->batch) != 0)
		return ERR_NOMEM;
	u = slab_get(&all->udp_slab);
	if (u == NULL)
		return ERR_NOMEM;
	u->segments = true;
	u->state = UDP_DIAL;
	io_init(&u->io, on_target, -1);
	task_init(&u->task, on_turn);
	timer_init(&u->idle, on_idle);
	buf_init(&u->waiting, WAITING_MAX);
	code = agent_session_begin(&u->base, all, &kind, l, o);
	if (code == ERR_NONE && stream_accept(&u->stream, &l->mux, id, o, on_stream, u) == 0) {
		u->active_ns = l->worker->now_ns;
		wheel_arm(&l->worker->wheel, &u->idle, idle_at(u));
		return ERR_NONE;
	}
	if (code == ERR_NONE)
		agent_session_leave(&u->base);
	slab_put(&all->udp_slab, u);
	return code != ERR_NONE ? code : ERR_NOMEM;
}
