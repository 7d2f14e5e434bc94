#define _GNU_SOURCE
#include "relayd/stream/session_udp.h"

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/net/socks5.h"
#include "common/tunnel/mux.h"
#include "common/tunnel/stream_side.h"
#include "relayd/stream/session_inside.h"
#include "relayd/tunnel/client_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN     64                    /* datagrams in a row, before others have their turn */
#define IDLE_NS  UINT64_C(60000000000) /* of a destination, if the mapping says no less */
#define BUFFER   (256 * 1024)          /* of the socket, each way; what does not fit is lost, as on any network */
#define AGENT_NS UINT64_C(5000000000)  /* for the client's agent to say where it takes datagrams */

struct session_udp {
	struct session *session;
	struct io io;         /* the socket, or */
	struct stream stream; /* the way to the client's agent, which */
	bool awaited;         /* has not said yet where it has one */
	struct addr peer;     /* port 0: it has not sent yet; of an agent's client, the agent's */
	struct map by_head;
	struct list destinations; /* silent longest first */
	struct timer expiry;      /* of the first; while it is awaited, of the agent's time */
	struct task again;
	struct task found; /* an agent may be there, for whoever sends again */
	struct task grave;
};

struct destination {
	struct session_udp *of;
	struct stream stream;
	struct list in;
	uint64_t active_ns;
	uint16_t n;
	uint8_t head[SOCKS5_HEAD_MAX]; /* as the client wrote it: answers begin with the same */
};

static struct worker *worker_of(const struct session_udp *u)
{
	return session_worker(u->session);
}

/* ---- counted, and within limits ----------------------------------------------------------------------------------- */

static const struct {
	enum meter_counter bytes, packets, dropped;
} counters[] = {
	[GATE_IN] = { METER_bytes_in, METER_packets_in, METER_dropped_in },
	[GATE_OUT] = { METER_bytes_out, METER_packets_out, METER_dropped_out },
};

static void add(const struct session *s, enum meter_counter c, uint64_t n)
{
	meter_add(&tcp_lane_gate(s->lane)->slot, session_worker(s)->index, c, n);
}

/* Before it is sent, so that a process killed in between has counted what was delivered; taken back if it was not. */
static void count_sent(struct session *s, enum gate_way way, uint64_t bytes, uint64_t packets)
{
	add(s, counters[way].bytes, bytes);
	add(s, counters[way].packets, packets);
	if (s->lane->allowance != NULL)
		allowance_count(s->lane->allowance, bytes);
	s->flow[way].bytes += bytes;
}

static void count_not_sent(struct session *s, enum gate_way way, size_t n)
{
	count_sent(s, way, -(uint64_t)n, (uint64_t)-1);
	add(s, counters[way].dropped, 1);
	if (s->lane->allowance != NULL)
		allowance_give(s->lane->allowance, n);
}

static bool rates_let(struct flow_way *way, size_t n)
{
	uint64_t now = way->worker->now_ns;

	if (!rate_take_whole(way->rate, &way->slice, n, now))
		return false;
	for (unsigned i = 0; i < FLOW_SHARED; i++) {
		if (way->shared[i] == NULL || rate_take_whole(way->shared[i], &way->shared_slice[i], n, now))
			continue;
		while (i-- > 0)
			if (way->shared[i] != NULL)
				rate_give(way->shared[i], &way->shared_slice[i], n);
		rate_give(way->rate, &way->slice, n);
		return false;
	}
	return true;
}

/* Whether limits let it through; if so, it is counted as sent. */
static bool may_pass(struct session *s, enum gate_way way, size_t n)
{
	struct allowance *a = s->lane->allowance;

	if (rates_let(&s->lane->way[way], n) && (a == NULL || allowance_spend(a, n))) {
		count_sent(s, way, n, 1);
		return true;
	}
	add(s, counters[way].dropped, 1);
	return false;
}

/* ---- destinations ------------------------------------------------------------------------------------------------- */

static struct destination *destination_in(struct list *in)
{
	return CONTAINER_OF(in, struct destination, in);
}

static void destination_free(struct destination *d)
{
	stream_close(&d->stream, ERR_NONE, "");
	map_remove(&d->of->by_head, d->head, d->n);
	list_remove(&d->in);
	free(d);
}

static uint64_t expires_ns(const struct destination *d)
{
	uint32_t ms = session_conf(d->of->session)->idle_timeout_ms;

	return d->active_ns + (ms != 0 ? MIN(ms * UINT64_C(1000000), IDLE_NS) : IDLE_NS);
}

static void not_taken(struct session_udp *u, uint16_t code);

static void on_expiry(struct timer *t)
{
	struct session_udp *u = CONTAINER_OF(t, struct session_udp, expiry);
	struct list *first;

	if (u->awaited) {
		not_taken(u, ERR_TIMEOUT);
		return;
	}
	while ((first = list_first(&u->destinations)) != NULL) {
		if (worker_of(u)->now_ns < expires_ns(destination_in(first))) {
			wheel_arm(&worker_of(u)->wheel, t, expires_ns(destination_in(first)));
			return;
		}
		destination_free(destination_in(first));
	}
}

static void note_active(struct destination *d)
{
	struct session_udp *u = d->of;

	u->session->active_ns = d->active_ns = worker_of(u)->now_ns;
	list_remove(&d->in);
	list_push_back(&u->destinations, &d->in);
	if (!timer_armed(&u->expiry))
		wheel_arm(&worker_of(u)->wheel, &u->expiry, expires_ns(destination_in(list_first(&u->destinations))));
}

static bool send_to_agent(struct session_udp *u, const struct destination *d, const struct iovec *datagram)
{
	uint8_t *both = worker_of(u)->scratch;

	if (d->n + datagram->iov_len > FRAME_DATAGRAM_MAX)
		return false;
	memcpy(both, d->head, d->n);
	memcpy(both + d->n, datagram->iov_base, datagram->iov_len);
	return stream_datagram(&u->stream, both, d->n + datagram->iov_len);
}

static bool send_to_client(const struct session_udp *u, const struct destination *d, const struct iovec *datagram)
{
	struct iovec parts[] = { { (void *)(uintptr_t)d->head, d->n }, *datagram };
	const struct msghdr m = { .msg_name = (void *)(uintptr_t)&u->peer,
		.msg_namelen = u->peer.len,
		.msg_iov = parts,
		.msg_iovlen = ARRAY_LEN(parts) };

	return sendmsg(u->io.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void answer(const struct destination *d, const struct iovec *datagram)
{
	struct session_udp *u = d->of;

	if (!may_pass(u->session, GATE_OUT, datagram->iov_len))
		return;
	if (u->stream.mux != NULL ? !send_to_agent(u, d, datagram) : !send_to_client(u, d, datagram))
		count_not_sent(u->session, GATE_OUT, datagram->iov_len);
}

static void on_stream(struct stream *stream, uint32_t events)
{
	struct destination *d = stream->owner;
	struct iovec *datagrams;
	unsigned n;

	if (events & EPOLLERR) {
		if (!stream->opened)
			add(d->of->session, METER_refused_dial, 1);
		destination_free(d);
		return;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(stream, &datagrams);
	for (unsigned i = 0; i < n; i++)
		answer(d, &datagrams[i]);
	note_active(d);
}

/* On a link of the target's agent; NULL: none is here. */
static struct mux *find_link(struct session_udp *u, uint16_t port)
{
	struct session *s = u->session;
	const struct agents_tried none = { .n = 0 };
	const struct agents_ask ask = { .client = session_conf(s)->target_client,
		.mapping = s->lane->base.object->id,
		.port = port,
		.wait = &u->found,
		.tried = &none };
	struct agents_found found;

	list_remove(&u->found.link);
	return agents_find(tcp_lane_desk(s->lane)->agents, worker_of(u), &ask, &found) == AGENTS_HERE ? found.link
	                                                                                              : NULL;
}

static int open_stream(struct destination *d, const char *host, uint16_t port)
{
	const struct session *s = d->of->session;
	struct mux *link = find_link(d->of, port);
	struct frame_open open = { .kind = FRAME_UDP, .port = port };

	if (link == NULL)
		return -1;
	str_copy(open.mapping, sizeof open.mapping, s->lane->base.object->id);
	str_copy(open.host, sizeof open.host, host);
	str_copy(open.within, sizeof open.within, session_conf(s)->socks_allow);
	addr_print(&d->of->peer, open.source);
	return stream_open(&d->stream, link, &open, on_stream, d);
}

static struct destination *destination_new(struct session_udp *u, const uint8_t *head, size_t n)
{
	struct destination *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	d->of = u;
	d->n = (uint16_t)n;
	memcpy(d->head, head, n);
	list_init(&d->in);
	if (map_put(&u->by_head, d->head, d->n, d, NULL) == 0)
		return d;
	free(d);
	return NULL;
}

/* NULL: it may not go there, or cannot; counted why. */
static struct destination *destination_open(
	struct session_udp *u, const uint8_t *head, size_t n, const char *host, uint16_t port)
{
	struct destination *d;

	if (!socks_may_go(host, port, session_conf(u->session)->socks_allow)) {
		add(u->session, METER_refused_destination, 1);
		return NULL;
	}
	if (map_count(&u->by_head) >= SESSION_UDP_DESTINATIONS)
		destination_free(destination_in(list_first(&u->destinations)));
	d = destination_new(u, head, n);
	if (d == NULL) {
		add(u->session, METER_refused_resource, 1);
		return NULL;
	}
	if (open_stream(d, host, port) == 0)
		return d;
	add(u->session, METER_refused_dial, 1);
	destination_free(d);
	return NULL;
}

/* ---- from the client ---------------------------------------------------------------------------------------------- */

static bool is_peer(const struct session_udp *u, const struct addr *from)
{
	return addr_port(&u->peer) != 0 ? addr_equal(from, &u->peer) : addr_equal_ip(from, &u->peer);
}

/* Whether it went on its way, or was counted by the reason why not. from: NULL: its agent has looked at that. */
static bool take(struct session_udp *u, const struct addr *from, const uint8_t *p, size_t n)
{
	char host[SOCKS5_HOST_SIZE];
	struct destination *d;
	uint16_t port;
	int head;

	if ((from != NULL && !is_peer(u, from)) || (head = socks5_datagram(host, &port, p, n)) < 0)
		return false;
	if (from != NULL)
		u->peer = *from;
	d = map_get(&u->by_head, p, (size_t)head);
	if (d == NULL && (d = destination_open(u, p, (size_t)head, host, port)) == NULL)
		return true;
	note_active(d);
	p += head;
	n -= (size_t)head;
	if (!may_pass(u->session, GATE_IN, n))
		return true; /* counted as dropped */
	if (!stream_datagram(&d->stream, p, n))
		count_not_sent(u->session, GATE_IN, n);
	return true;
}

static void receive(struct session_udp *u)
{
	struct worker *w = worker_of(u);

	for (unsigned i = 0; i < TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		struct addr from;
		ssize_t n = recvfrom(u->io.fd, w->scratch, WORKER_SCRATCH, MSG_DONTWAIT, (struct sockaddr *)&ss, &len);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue; /* an answer could not be delivered (ICMP) */
		addr_from_sockaddr(&from, (struct sockaddr *)&ss, len);
		if (!take(u, &from, w->scratch, (size_t)n))
			add(u->session, METER_dropped_in, 1);
	}
	worker_again(w, &u->again);
}

static void on_socket(struct io *io, uint32_t events)
{
	(void)events;
	receive(CONTAINER_OF(io, struct session_udp, io));
}

static void on_again(struct task *t)
{
	receive(CONTAINER_OF(t, struct session_udp, again));
}

/* ---- a client behind an agent ------------------------------------------------------------------------------------- */

/* Its agent does not take them: one that knows nothing of it, or has no room, or whose own settings do not let it. */
static void not_taken(struct session_udp *u, uint16_t code)
{
	struct session *s = u->session;

	(void)!socks_answer(
		s->socks, &s->side[CLIENT], code == ERR_PERMISSION ? SOCKS5_NOT_ALLOWED : SOCKS5_NO_COMMAND, NULL);
	session_close(s, code == ERR_PERMISSION ? END_DESTINATION : END_RESOURCE);
}

/* The first datagram has the header of one, and says where they are taken. */
static void on_taken(struct session_udp *u, const struct iovec *d)
{
	struct session *s = u->session;
	char host[SOCKS5_HOST_SIZE];
	struct addr bound;
	uint16_t port;

	if (socks5_datagram(host, &port, d->iov_base, d->iov_len) != (int)d->iov_len ||
		addr_parse_ip(&bound, host, port) != 0) {
		not_taken(u, ERR_PROTOCOL);
		return;
	}
	u->awaited = false;
	wheel_disarm(&u->expiry);
	s->active_ns = session_worker(s)->now_ns;
	if (socks_answer(s->socks, &s->side[CLIENT], SOCKS5_DONE, &bound) != 0)
		session_close(s, END_RESET);
}

static void on_agent(struct stream *stream, uint32_t events)
{
	struct session_udp *u = stream->owner;
	struct iovec *d;
	unsigned n;

	if (events & (EPOLLERR | EPOLLRDHUP)) {
		if (u->awaited)
			not_taken(u, stream->code);
		else
			session_close(u->session, END_RESET);
		return;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(stream, &d);
	for (unsigned i = 0; i < n && u->session->state != SESSION_CLOSED; i++) {
		if (u->awaited)
			on_taken(u, &d[i]);
		else if (!take(u, NULL, d[i].iov_base, d[i].iov_len))
			add(u->session, METER_dropped_in, 1);
	}
}

/* On the link of its connection, so that both end together. */
static int ask_agent(struct session_udp *u)
{
	struct session *s = u->session;
	const struct stream *own = stream_side_stream(&s->side[CLIENT]);
	struct frame_open open = { .kind = FRAME_UDP, .port = session_conf(s)->port_first };

	u->peer = s->proxied->from;
	str_copy(open.mapping, sizeof open.mapping, s->lane->base.object->id);
	str_fmt(open.host, sizeof open.host, "%c%u", FRAME_OF_STREAM, own->id);
	if (own->mux == NULL || stream_open(&u->stream, own->mux, &open, on_agent, u) != 0)
		return -1;
	u->awaited = true;
	wheel_arm(&worker_of(u)->wheel, &u->expiry, worker_of(u)->now_ns + AGENT_NS);
	return 0;
}

/* ---- beginning and end -------------------------------------------------------------------------------------------- */

/* The datagram that asked is gone: its client sends it again. */
static void on_found(struct task *t)
{
	(void)t;
}

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct session_udp, grave));
}

void session_udp_free(struct session_udp *u)
{
	struct list *first;

	if (u == NULL)
		return;
	while ((first = list_first(&u->destinations)) != NULL)
		destination_free(destination_in(first));
	stream_close(&u->stream, ERR_NONE, "");
	map_free(&u->by_head);
	wheel_disarm(&u->expiry);
	list_remove(&u->again.link);
	list_remove(&u->found.link);
	io_del(worker_of(u), &u->io);
	io_close(&u->io);
	worker_bury(worker_of(u), &u->grave);
}

/* From where datagrams come: of a connection that a load balancer passed on, from where its header says. */
static int find_peer(struct session_udp *u, int family)
{
	struct session *s = u->session;

	if (s->proxied != NULL)
		u->peer = s->proxied->from;
	else if (side_remote(&s->side[CLIENT], &u->peer) != 0)
		return -1;
	return u->peer.sa.sa_family == family ? 0 : -1;
}

/* At the address that the connection came to; its port in *bound. */
static int open_socket(struct session_udp *u, struct addr *bound)
{
	int size = BUFFER;
	socklen_t len;

	if (side_local(&u->session->side[CLIENT], bound) != 0 || find_peer(u, bound->sa.sa_family) != 0)
		return -1;
	addr_set_port(&u->peer, 0);
	addr_set_port(bound, 0);
	u->io.fd = socket(bound->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (u->io.fd < 0)
		return -1;
	setsockopt(u->io.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(u->io.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	len = bound->len;
	if (bind(u->io.fd, &bound->sa, bound->len) != 0 || getsockname(u->io.fd, &bound->sa, &len) != 0)
		return -1;
	return io_add(worker_of(u), &u->io, EPOLLIN | EPOLLET);
}

static struct session_udp *session_udp_new(struct session *s)
{
	struct session_udp *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	u->session = s;
	io_init(&u->io, on_socket, -1);
	map_init(&u->by_head);
	list_init(&u->destinations);
	timer_init(&u->expiry, on_expiry);
	task_init(&u->again, on_again);
	task_init(&u->found, on_found);
	task_init(&u->grave, on_buried);
	return u;
}

void session_udp_begin(struct session *s)
{
	const bool by_agent = s->side[CLIENT].ops != NULL;
	struct addr bound;

	if (!session_target_enter_clients(s)) {
		session_close(s, END_CROWDED);
		return;
	}
	s->udp = session_udp_new(s);
	if (s->udp == NULL || (by_agent ? ask_agent(s->udp) : open_socket(s->udp, &bound)) != 0) {
		session_close(s, END_RESOURCE);
		return;
	}
	session_move(s, SESSION_UDP);
	s->active_ns = session_worker(s)->now_ns;
	if (!by_agent && session_conf(s)->keepalive_s != 0)
		side_probe(&s->side[CLIENT], session_conf(s)->keepalive_s);
	session_set_timer(s);
	if (!by_agent && socks_answer(s->socks, &s->side[CLIENT], SOCKS5_DONE, &bound) != 0)
		session_close(s, END_RESET);
	else
		session_udp_on_client(s, 0); /* its end may have come with the request */
}

/* As recv() answers; of a stream, too. */
static ssize_t read_byte(struct side *client)
{
	const uint8_t *p;
	uint8_t byte;

	if (client->ops == NULL)
		return recv(client->io.fd, &byte, 1, MSG_DONTWAIT);
	if (client->ops->peek(client, &p) > 0)
		return 1;
	errno = EAGAIN;
	return client->fin ? 0 : -1;
}

void session_udp_on_client(struct session *s, uint32_t events)
{
	ssize_t n = read_byte(&s->side[CLIENT]);

	if (n == 0)
		session_close(s, END_DONE);
	else if (n > 0)
		session_close(s, END_PROTOCOL);
	else if (errno != EAGAIN || events & (EPOLLERR | EPOLLHUP))
		session_close(s, END_RESET);
}
