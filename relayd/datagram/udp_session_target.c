#define _GNU_SOURCE
#include "relayd/datagram/udp_session_inside.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/tunnel/mux.h"
#include "common/uv/udp_send.h"
#include "proto/dial_rule.h"
#include "relayd/tunnel/agents.h"
#include "relayd/tunnel/client_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BUFFER (1024 * 1024)
#define ROUNDS_MAX    4 /* batches of one session before others have their turn */

/* ---- what it answers ---------------------------------------------------------------------------------------------- */

static void answer(struct udp_session *s, struct iovec *d, unsigned n)
{
	struct udp_route route = { .fd = s->door != NULL ? s->door->io.fd : -1, .to = &s->from, .local = &s->local };

	n = udp_session_pass(s, GATE_OUT, d, n);
	if (n > 0)
		udp_session_send(s, GATE_OUT, &route, d, n, 0, 0);
	s->active_ns = udp_session_worker(s)->now_ns;
	udp_lane_touch(s->lane, &s->link);
}

/* An error that the socket reports (nobody listens at the target: ICMP) is not the end: somebody may listen again. */
void udp_session_receive(struct udp_session *s)
{
	struct udp_batch *b = udp_lane_desk(s->lane)->batch;
	struct iovec d[UDP_BATCH];

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int n = udp_batch_receive_connected(b, s->io.fd);

		if (n < 0 && errno == EAGAIN)
			return;
		for (int i = 0; i < n; i++)
			d[i] = *udp_batch_datagram(b, (unsigned)i);
		if (n > 0)
			answer(s, d, (unsigned)n);
		if (n >= 0 && n < UDP_BATCH)
			return;
	}
	worker_again(udp_session_worker(s), &s->task);
}

void udp_session_on_target(struct io *io, uint32_t events)
{
	(void)events;
	udp_session_receive(CONTAINER_OF(io, struct udp_session, io));
}

static struct agents_ask ask_of(struct udp_session *s)
{
	return (struct agents_ask){ .client = udp_session_conf(s)->target_client,
		.mapping = s->lane->base.object->id,
		.port = (uint16_t)(udp_session_conf(s)->target_port + s->key.offset),
		.wait = &s->task,
		.tried = &s->tried };
}

static void end_not_reached(struct udp_session *s)
{
	const struct agents_ask ask = ask_of(s);

	agents_tell(udp_lane_desk(s->lane)->agents, udp_session_worker(s), &ask, false);
	udp_session_refuse(s, METER_refused_dial);
}

/*
 * From the agent. What ends there, or with its link, begins anew with the client's next datagram; at another agent, if this
 * one could not reach the target.
 */
static void on_stream(struct stream *stream, uint32_t events)
{
	struct udp_session *s = stream->owner;
	struct iovec *d;
	unsigned n;

	if (events & EPOLLERR) {
		if (stream->opened)
			udp_session_close(s);
		else
			end_not_reached(s);
		return;
	}
	if (events & EPOLLOUT && stream->opened && s->visitor != NULL && !s->visitor->opened) {
		stream_opened(s->visitor);
		s->visitor->opened = true;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(stream, &d);
	answer(s, d, n);
}

/* ---- the way there ------------------------------------------------------------------------------------------------ */

static int connect_to(const struct addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = SOCKET_BUFFER;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (connect(fd, &to->sa, to->len) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A socket to the first of the target's addresses that may be dialled and has a route. */
static int dial(const struct udp_session *s, const struct targets *targets)
{
	int fd = -1;

	for (unsigned i = 0; i < targets->n && fd < 0; i++) {
		struct addr to = targets->at[i];

		addr_set_port(&to, (uint16_t)(udp_session_conf(s)->target_port + s->key.offset));
		if (dial_rule_allows(udp_session_conf(s), &to))
			fd = connect_to(&to);
	}
	return fd;
}

void udp_session_start(struct udp_session *s, int fd)
{
	if (fd < 0) {
		udp_session_refuse(s, METER_refused_dial);
		return;
	}
	io_init(&s->io, udp_session_on_target, fd);
	if (io_add(udp_session_worker(s), &s->io, EPOLLIN | EPOLLET) != 0) {
		udp_session_refuse(s, METER_refused_resource);
		return;
	}
	udp_session_move(s, UDP_OPEN);
	udp_session_forward_waiting(s);
}

static bool enter_client(struct udp_session *s, struct client_gate *g, unsigned which)
{
	if (g == NULL || !client_gate_enter(g))
		return false;
	s->client[which] = client_gate_ref(g);
	return true;
}

static bool enter_clients(struct udp_session *s)
{
	const struct udp_lane *l = s->lane;

	return enter_client(s, l->client, 0) && (l->source == NULL || enter_client(s, l->source, 1));
}

static void open_stream(struct udp_session *s, struct mux *link)
{
	struct frame_open open = { .kind = FRAME_UDP,
		.port = (uint16_t)(udp_session_conf(s)->target_port + s->key.offset) };
	struct addr from, to;

	str_copy(open.mapping, sizeof open.mapping, s->lane->base.object->id);
	str_copy(open.host, sizeof open.host, udp_session_conf(s)->target_host);
	udp_session_client_addrs(s, &from, &to);
	addr_print(&from, open.source);
	if (!enter_clients(s)) {
		udp_session_refuse(s, METER_refused_limit);
		return;
	}
	s->stream = malloc(sizeof *s->stream);
	if (s->stream == NULL || stream_open(s->stream, link, &open, on_stream, s) != 0) {
		free(s->stream);
		s->stream = NULL;
		udp_session_refuse(s, METER_refused_resource);
		return;
	}
	udp_session_move(s, UDP_OPEN);
	udp_session_forward_waiting(s);
}

static void find_agent(struct udp_session *s)
{
	const struct agents_ask ask = ask_of(s);
	struct agents_found found;

	switch (agents_find(udp_lane_desk(s->lane)->agents, udp_session_worker(s), &ask, &found)) {
	case AGENTS_HERE:
		s->tried = (struct agents_tried){ .agent = { found.agent }, .n = 1 };
		open_stream(s, found.link);
		return;
	case AGENTS_WAIT:
		return;
	case AGENTS_DOWN:
		udp_session_refuse(s, METER_refused_down);
		return;
	case AGENTS_SHUT:
		udp_session_refuse(s, METER_refused_destination);
		return;
	case AGENTS_NONE:
		udp_session_refuse(s, METER_refused_dial);
	}
}

void udp_session_find_target(struct udp_session *s)
{
	struct targets *targets;

	if (udp_session_conf(s)->target_client[0] != '\0') {
		find_agent(s);
		return;
	}
	switch (target_get(&s->lane->target, &s->task, &targets)) {
	case TARGET_KNOWN:
		udp_session_start(s, dial(s, targets));
		targets_unref(targets);
		return;
	case TARGET_WAIT:
		return;
	case TARGET_FAILED:
		udp_session_refuse(s, METER_refused_dial);
	}
}
