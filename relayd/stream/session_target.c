#include "relayd/stream/session_inside.h"

#include "common/base/str.h"
#include "common/net/proxy_protocol.h"
#include "common/tunnel/stream_side.h"
#include "common/uv/fd_budget.h"
#include "relayd/tunnel/client_gate.h"

#include <sys/epoll.h>

#define ALONE_BYTES (UINT64_C(1024) * 1024) /* of a connection, on the average */

/* The first bytes on a new connection: they fit its empty buffer, so a short write is as bad as none. */
static int send_header(struct session *s)
{
	uint8_t header[PROXY_OUT_MAX];
	struct addr from, to;
	size_t n;

	if (session_client_addrs(s, &from, &to) != 0)
		return -1;
	if (session_conf(s)->proxy_out == MAPPING_PROXY_V1)
		n = proxy_write_v1(header, &from, &to);
	else
		n = proxy_write_v2(header, &from, &to, false);
	return side_send_first(&s->side[TARGET], header, n);
}

/* False as long as an agent has not said that it is connected. */
static bool reached_target(const struct session *s)
{
	return s->side[TARGET].ops == NULL || stream_side_stream(&s->side[TARGET])->opened;
}

/* Once, when it is reached: a stream to the only agent is OPEN before that. */
static void count_connect(struct session *s)
{
	const struct meter_slot *slot = &tcp_lane_gate(s->lane)->slot;

	if (s->dialled_ns == 0 || !reached_target(s))
		return;
	session_count(s->lane, METER_connected);
	meter_add(slot, session_worker(s)->index, METER_connect_us, (session_worker(s)->now_ns - s->dialled_ns) / 1000);
	s->dialled_ns = 0;
}

static void on_connected(struct session *s)
{
	session_move(s, SESSION_OPEN);
	dial_fini(&s->dial);
	count_connect(s);
	s->active_ns = session_worker(s)->now_ns;
	session_set_timer(s);
	if (s->socks != NULL && socks_answer(s->socks, &s->side[CLIENT], SOCKS5_DONE, NULL) != 0)
		session_close(s, END_RESET);
	else if (session_conf(s)->proxy_out != MAPPING_PROXY_NONE && send_header(s) != 0)
		session_close(s, END_RESET);
	else
		session_pump(s);
}

/* ---- a socket of this relay -------------------------------------------------------------------------------------- */

/* The next of the target's addresses, or the end. */
void session_target_dial(struct session *s)
{
	int fd = dial_next(&s->dial, session_conf(s), session_worker(s)->now_ns);

	if (fd < 0) {
		session_close(s, END_TARGET);
		return;
	}
	side_init(&s->side[TARGET], session_target_on_event, fd);
	if (io_add(session_worker(s), &s->side[TARGET].io, IO_STREAM) != 0)
		session_close(s, END_RESOURCE);
	else
		session_set_timer(s);
}

/* ---- an agent that dials ------------------------------------------------------------------------------------------ */

static int open_stream(struct session *s, const struct agents_found *found)
{
	struct frame_open open = { .kind = FRAME_TCP,
		.port = s->dial.port,
		.zip = found->zip || session_conf(s)->compress == MAPPING_COMPRESS_ZSTD };
	struct addr from, to;

	str_copy(open.mapping, sizeof open.mapping, s->lane->base.object->id);
	str_copy(open.host, sizeof open.host, s->socks != NULL ? s->socks->request.host : session_conf(s)->target_host);
	str_copy(open.within, sizeof open.within, session_conf(s)->socks_allow);
	if (session_client_addrs(s, &from, &to) == 0)
		addr_print(&from, open.source);
	if (stream_side_open(&s->side[TARGET], found->link, &open) != 0)
		return -1;
	s->side[TARGET].writable = true;
	if (s->fds > 1) {
		worker_give_fds_of(session_worker(s), &tcp_lane_gate(s->lane)->fds, s->fds - 1);
		s->fds = 1;
	}
	return 0;
}

static bool enter_client(struct session *s, struct client_gate *g, unsigned side)
{
	if (g == NULL || !client_gate_enter(g))
		return false;
	s->client[side] = client_gate_ref(g);
	return true;
}

/* Among others a stream that carries much would be in their way, and they in its. */
static bool goes_alone(const struct session *s)
{
	uint8_t transport = session_conf(s)->transport;

	return transport == MAPPING_TRANSPORT_DEDICATED ||
	       (transport == MAPPING_TRANSPORT_AUTO && s->lane->mean_bytes >= ALONE_BYTES);
}

bool session_target_enter_clients(struct session *s)
{
	const struct tcp_lane *l = s->lane;

	return (l->source == NULL || enter_client(s, l->source, CLIENT)) && enter_client(s, l->client, TARGET);
}

static struct agents_ask ask_of(struct session *s)
{
	return (struct agents_ask){ .client = session_conf(s)->target_client,
		.mapping = s->lane->base.object->id,
		.port = s->dial.port,
		.alone = goes_alone(s),
		.wait = &s->task,
		.tried = &s->tried };
}

/*
 * As long as another agent could be asked, what the client sends stays in its socket until this one has reached the target,
 * and the time is shared with those that may come after.
 */
static void go_to_agent(struct session *s, const struct agents_found *to)
{
	uint64_t now = session_worker(s)->now_ns;

	s->tried.agent[s->tried.n++] = to->agent;
	if (open_stream(s, to) != 0) {
		session_close(s, END_RESOURCE);
	} else if (!to->others && s->socks == NULL) {
		on_connected(s);
	} else {
		s->dial.due_ns = s->dial.ends_ns;
		if (to->others && s->dial.ends_ns != UINT64_MAX)
			s->dial.due_ns = now + (s->dial.ends_ns - now) / 2;
		session_set_timer(s);
	}
}

/*
 * The agent that dials: its link is there, or will be. The clients are asked first: a link of its own comes back when its stream
 * ends, and who is refused has none.
 */
static void find_agent(struct session *s)
{
	const struct agents_ask ask = ask_of(s);
	struct agents_found found;

	if (s->client[TARGET] == NULL && !session_target_enter_clients(s)) {
		session_close(s, END_CROWDED);
		return;
	}
	switch (agents_find(tcp_lane_desk(s->lane)->agents, session_worker(s), &ask, &found)) {
	case AGENTS_HERE:
		if (s->state == SESSION_NAME)
			session_move(s, SESSION_DIAL);
		go_to_agent(s, &found);
		return;
	case AGENTS_WAIT:
		session_set_timer(s);
		return;
	case AGENTS_DOWN:
		session_close(s, END_DOWN);
		return;
	case AGENTS_SHUT:
		session_close(s, END_SHUT);
		return;
	case AGENTS_NONE:
		session_close(s, END_TARGET);
	}
}

static void tell_of_agent(struct session *s, bool reached)
{
	const struct agents_ask ask = ask_of(s);

	agents_tell(tcp_lane_desk(s->lane)->agents, session_worker(s), &ask, reached);
}

/* It did not reach the target: the next one, if the client has sent nothing to it. */
void session_target_leave_agent(struct session *s)
{
	tell_of_agent(s, false);
	if (s->state != SESSION_DIAL || session_worker(s)->now_ns >= s->dial.ends_ns) {
		session_close(s, END_TARGET);
		return;
	}
	side_close(&s->side[TARGET], true);
	side_init(&s->side[TARGET], session_target_on_event, -1);
	find_agent(s);
}

/* The name is known, or will be: this is called again when it is. */
void session_target_find(struct session *s)
{
	if (session_conf(s)->target_client[0] != '\0') {
		find_agent(s);
		return;
	}
	switch (target_get(&s->lane->target, &s->task, &s->dial.targets)) {
	case TARGET_KNOWN:
		session_move(s, SESSION_DIAL);
		session_target_dial(s);
		return;
	case TARGET_WAIT:
		session_set_timer(s);
		return;
	case TARGET_FAILED:
		session_close(s, END_TARGET);
	}
}

void session_target_begin(struct session *s)
{
	session_move(s, SESSION_NAME);
	s->dialled_ns = session_worker(s)->now_ns;
	session_target_find(s);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

/* The agent that came in waits for it, and may ask another relay as long as it has not been told. */
static void session_target_tell_opened(struct session *s)
{
	struct stream *stream;

	if (s->side[CLIENT].ops == NULL || !reached_target(s))
		return;
	stream = stream_side_stream(&s->side[CLIENT]);
	if (!stream->opened)
		stream_opened(stream);
	stream->opened = true;
}

/* An end before that is the target's own: it cannot come before it is reached. */
static void on_agent_in_dial(struct session *s)
{
	if (!reached_target(s))
		return;
	tell_of_agent(s, true);
	on_connected(s);
}

void session_target_on_event(struct io *io, uint32_t events)
{
	struct session *s = CONTAINER_OF(io, struct session, side[TARGET].io);

	if (events & EPOLLERR && s->side[TARGET].ops != NULL) {
		/* What was still in the stream went with it, so nothing is pumped: cut data must not look like an end. */
		s->target_code = stream_side_stream(&s->side[TARGET])->code;
		if (reached_target(s))
			session_close(s, END_RESET);
		else
			session_target_leave_agent(s);
		return;
	}
	if (events & EPOLLOUT)
		session_target_tell_opened(s);
	side_hear(&s->side[TARGET], session_worker(s), events);
	if (s->state == SESSION_OPEN) {
		count_connect(s);
		session_on_open_event(s, events);
	} else if (s->side[TARGET].ops != NULL) {
		on_agent_in_dial(s);
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		io_close(io);
		session_target_dial(s);
	} else if (events & EPOLLOUT) {
		on_connected(s);
	}
}
