#define _GNU_SOURCE
#include "relayd/datagram/udp_session.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/allowance.h"
#include "common/tunnel/mux.h"
#include "common/uv/fd_budget.h"
#include "common/uv/udp_send.h"
#include "proto/answer.h"
#include "proto/dial_rule.h"
#include "relayd/tunnel/agents.h"
#include "relayd/tunnel/client_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BUFFER (1024 * 1024)
#define ROUNDS_MAX    4 /* batches of one session before others have their turn */

/*
 *   NAME ---> OPEN ---> CLOSED       NAME: the target's name is being resolved
 *     +--------------------^
 */
enum udp_session_state { UDP_NAME, UDP_OPEN, UDP_CLOSED };

static const struct sm_state states[] = {
	[UDP_NAME] = { "name", BIT(UDP_OPEN) | BIT(UDP_CLOSED) },
	[UDP_OPEN] = { "open", BIT(UDP_CLOSED) },
	[UDP_CLOSED] = { "closed", 0 },
};

/* A datagram that came before the target was known. */
struct udp_waiting {
	struct udp_waiting *next;
	size_t n;
	uint8_t bytes[];
};

static const struct mapping_conf *conf_of(const struct udp_session *s)
{
	return lane_conf(&s->lane->base);
}

static struct worker *worker_of(const struct udp_session *s)
{
	return s->lane->base.worker;
}

static void session_move(struct udp_session *s, enum udp_session_state to)
{
	sm_move(states, &s->state, (int)to);
}

void udp_session_key(struct udp_key *k, const struct addr *from, const struct udp_local *local, uint16_t offset)
{
	*k = (struct udp_key){ .offset = offset };
	if (from->sa.sa_family == AF_INET6) {
		memcpy(k->ip, &from->v6.sin6_addr, 16);
		k->scope = from->v6.sin6_scope_id;
		k->port = from->v6.sin6_port;
	} else {
		k->ip[10] = k->ip[11] = 0xff;
		memcpy(k->ip + 12, &from->v4.sin_addr, 4);
		k->port = from->v4.sin_port;
	}
	if (local->family != AF_UNSPEC) /* of one family on any one socket */
		memcpy(k->local, &local->v6, local->family == AF_INET ? 4 : 16);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	struct udp_session *s = CONTAINER_OF(t, struct udp_session, task);
	struct udp_lane *l = s->lane;

	slab_put(&udp_lane_desk(l)->sessions, s);
	lane_remove(&l->base);
}

static void drop_waiting(struct udp_session *s)
{
	while (s->waiting != NULL) {
		struct udp_waiting *next = s->waiting->next;

		free(s->waiting);
		s->waiting = next;
	}
	s->n_waiting = 0;
}

void udp_session_close(struct udp_session *s)
{
	struct udp_lane *l = s->lane;

	if (s->state == UDP_CLOSED)
		return;
	session_move(s, UDP_CLOSED);
	gate_leave(udp_lane_gate(l), worker_of(s)->index, worker_of(s)->now_ns, &s->pass);
	io_close(&s->io);
	if (s->stream != NULL)
		stream_close(s->stream, ERR_NONE, "");
	free(s->stream);
	if (s->visitor != NULL)
		stream_close(s->visitor, ERR_NONE, "");
	free(s->visitor);
	for (unsigned i = 0; i < ARRAY_LEN(s->client); i++) {
		if (s->client[i] != NULL)
			client_gate_leave(s->client[i]);
		client_gate_unref(s->client[i]);
	}
	fd_budget_give(worker_of(s)->fds, 1);
	if (s->door != NULL)
		map_remove(&l->by_client, &s->key, sizeof s->key);
	if (s->door != NULL && s->door->recent == s)
		s->door->recent = NULL;
	list_remove(&s->link);
	list_remove(&s->turn);
	udp_lane_count(l, METER_dropped_in, s->n_waiting);
	drop_waiting(s);
	free(s->proxied);
	s->task.run = on_buried;
	worker_bury(worker_of(s), &s->task);
}

/* ---- sending, counted ------------------------------------------------------------------------------------------- */

struct udp_counters {
	enum meter_counter bytes, packets, dropped;
};
static const struct udp_counters counters[] = {
	[GATE_IN] = { METER_bytes_in, METER_packets_in, METER_dropped_in },
	[GATE_OUT] = { METER_bytes_out, METER_packets_out, METER_dropped_out },
};

/* As udp_send(). */
static uint64_t send_to_agent(struct stream *to, const struct iovec *d, unsigned n)
{
	uint64_t taken = 0;

	for (unsigned i = 0; i < n; i++)
		if (stream_datagram(to, d[i].iov_base, d[i].iov_len))
			taken |= UINT64_C(1) << i;
	return taken;
}

/*
 * The only place that counts a session's bytes: before the kernel has them, and what it did not take is taken back, so
 * that a process killed in between has counted at least what was delivered (relayd/stream/flow.c says more).
 * headers: bytes of PROXY headers in front of the first `headed` datagrams, which are not the client's.
 */
static void send_counted(struct udp_session *s, enum gate_way way, struct udp_route *route, struct iovec *d, unsigned n,
	size_t header, unsigned headed)
{
	const struct udp_counters *c = &counters[way];
	uint64_t bytes = 0, lost = 0, taken;
	unsigned n_lost = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += d[i].iov_len - (i < headed ? header : 0);
	udp_lane_count(s->lane, c->bytes, bytes);
	udp_lane_count(s->lane, c->packets, n);
	if (s->lane->allowance != NULL)
		allowance_count(s->lane->allowance, bytes);
	route->segments = s->segments[way];
	taken = route->fd >= 0 ? udp_send(route, d, n) : send_to_agent(way == GATE_IN ? s->stream : s->visitor, d, n);
	s->segments[way] = route->segments;
	for (unsigned i = 0; i < n; i++) {
		if (taken & UINT64_C(1) << i)
			continue;
		lost += d[i].iov_len - (i < headed ? header : 0);
		n_lost++;
	}
	s->bytes[way] += bytes - lost;
	if (n_lost == 0)
		return;
	udp_lane_count(s->lane, c->bytes, -lost);
	if (s->lane->allowance != NULL) {
		allowance_count(s->lane->allowance, -lost);
		allowance_give(s->lane->allowance, lost);
	}
	udp_lane_count(s->lane, c->packets, -(uint64_t)n_lost);
	udp_lane_count(s->lane, c->dropped, n_lost);
}

/* What the owner's quota lets through, moved together at the front. */
static unsigned pass_quota(struct udp_session *s, enum gate_way way, struct iovec *d, unsigned n)
{
	struct allowance *a = s->lane->allowance;
	unsigned kept = 0;

	if (a == NULL)
		return n;
	for (unsigned i = 0; i < n; i++)
		if (allowance_spend(a, d[i].iov_len))
			d[kept++] = d[i];
	udp_lane_count(s->lane, counters[way].dropped, n - kept);
	return kept;
}

/* The mapping's rate and those of the clients at both ends, or none of them. */
static bool take_rates(struct udp_session *s, enum gate_way way, size_t n)
{
	struct rate *rates[] = { &udp_lane_gate(s->lane)->rate[way],
		s->client[0] != NULL ? &s->client[0]->rate[way] : NULL,
		s->client[1] != NULL ? &s->client[1]->rate[way] : NULL };
	struct rate_slice *slices[] = { &s->lane->slice[way], &s->lane->shared[0][way], &s->lane->shared[1][way] };

	for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
		if (rates[i] == NULL || rate_take_whole(rates[i], slices[i], n, worker_of(s)->now_ns))
			continue;
		while (i-- > 0)
			if (rates[i] != NULL)
				rate_give(rates[i], slices[i], n);
		return false;
	}
	return true;
}

static bool has_rates(const struct udp_session *s, enum gate_way way)
{
	bool has = rate_limits(&udp_lane_gate(s->lane)->rate[way]);

	for (unsigned i = 0; i < ARRAY_LEN(s->client); i++)
		has = has || (s->client[i] != NULL && rate_limits(&s->client[i]->rate[way]));
	return has;
}

/* What the rates let through, moved together at the front. */
static unsigned pass_rate(struct udp_session *s, enum gate_way way, struct iovec *d, unsigned n)
{
	unsigned kept = 0;

	if (!has_rates(s, way))
		return n;
	for (unsigned i = 0; i < n; i++)
		if (take_rates(s, way, d[i].iov_len))
			d[kept++] = d[i];
	udp_lane_count(s->lane, counters[way].dropped, n - kept);
	return kept;
}

/* ---- from the client -------------------------------------------------------------------------------------------- */

static void client_addrs(const struct udp_session *s, struct addr *from, struct addr *to)
{
	if (s->proxied != NULL) {
		*from = s->proxied[0];
		*to = s->proxied[1];
		return;
	}
	addr_from_sockaddr(from, &s->from.sa, s->from.len);
	*to = s->door->bound;
	if (s->local.family == AF_INET) {
		struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = s->local.v4 };

		addr_from_sockaddr(to, (struct sockaddr *)&v4, sizeof v4);
	} else if (s->local.family == AF_INET6) {
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = s->local.v6 };

		addr_from_sockaddr(to, (struct sockaddr *)&v6, sizeof v6);
	}
	addr_set_port(to, addr_port(&s->door->bound));
}

/* Puts a PROXY header in front of the first `headed` datagrams, into their headroom; its length. */
static size_t introduce(struct udp_session *s, struct iovec *d, unsigned headed)
{
	uint8_t header[PROXY_OUT_MAX];
	struct addr from, to;
	size_t len;

	client_addrs(s, &from, &to);
	len = proxy_write_v2(header, &from, &to, true);
	for (unsigned i = 0; i < headed; i++) {
		d[i].iov_base = (uint8_t *)d[i].iov_base - len;
		d[i].iov_len += len;
		memcpy(d[i].iov_base, header, len);
	}
	s->introduced = true;
	return len;
}

static void drop_oldest(struct udp_session *s)
{
	struct udp_waiting *oldest = s->waiting;

	s->waiting = oldest->next;
	s->n_waiting--;
	free(oldest);
	udp_lane_count(s->lane, METER_dropped_in, 1);
}

/* A newer datagram is worth more: who sent the oldest has most likely sent it again. */
static void let_wait(struct udp_session *s, const struct iovec *d)
{
	struct udp_waiting *x = malloc(sizeof *x + UDP_HEADROOM + d->iov_len), **end = &s->waiting;

	if (x == NULL) {
		udp_lane_count(s->lane, METER_dropped_in, 1);
		return;
	}
	x->next = NULL;
	x->n = d->iov_len;
	memcpy(x->bytes + UDP_HEADROOM, d->iov_base, x->n);
	if (s->n_waiting == UDP_WAITING_MAX)
		drop_oldest(s);
	while (*end != NULL)
		end = &(*end)->next;
	*end = x;
	s->n_waiting++;
}

void udp_session_forward(struct udp_session *s, struct iovec *d, unsigned n)
{
	const struct mapping_conf *conf = conf_of(s);
	struct udp_route route = { .fd = s->io.fd };
	unsigned headed = 0;
	size_t header = 0;

	if (s->state == UDP_NAME) {
		for (unsigned i = 0; i < n; i++)
			let_wait(s, &d[i]);
		return;
	}
	n = pass_quota(s, GATE_IN, d, pass_rate(s, GATE_IN, d, n));
	if (n == 0)
		return;
	if (conf->proxy_out != MAPPING_PROXY_NONE)
		headed = conf->proxy_out_every ? n : s->introduced ? 0 : 1;
	if (headed > 0)
		header = introduce(s, d, headed);
	send_counted(s, GATE_IN, &route, d, n, header, headed);
}

static void forward_waiting(struct udp_session *s)
{
	struct iovec d[UDP_WAITING_MAX];
	unsigned n = 0;

	for (struct udp_waiting *x = s->waiting; x != NULL; x = x->next)
		d[n++] = (struct iovec){ x->bytes + UDP_HEADROOM, x->n };
	if (n > 0)
		udp_session_forward(s, d, n);
	drop_waiting(s);
}

/* ---- from the target -------------------------------------------------------------------------------------------- */

/*
 * Whoever answers an address that only claimed to have asked is a weapon: until the client has sent twice (so it has
 * most likely got an answer), it gets at most so many bytes for each of its own.
 */
static unsigned pass_amplification(struct udp_session *s, struct iovec *d, unsigned n)
{
	uint64_t allowed = s->bytes[GATE_IN] * conf_of(s)->udp_amplification, sent = s->bytes[GATE_OUT];
	unsigned kept = 0;

	if (conf_of(s)->udp_amplification == 0 || s->heard >= 2 || s->visitor != NULL)
		return n;
	for (unsigned i = 0; i < n; i++) {
		if (sent + d[i].iov_len > allowed)
			continue;
		sent += d[i].iov_len;
		d[kept++] = d[i];
	}
	udp_lane_count(s->lane, METER_dropped_out, n - kept);
	return kept;
}

static void answer(struct udp_session *s, struct iovec *d, unsigned n)
{
	struct udp_route route = { .fd = s->door != NULL ? s->door->io.fd : -1, .to = &s->from, .local = &s->local };

	n = pass_amplification(s, d, n);
	n = pass_quota(s, GATE_OUT, d, pass_rate(s, GATE_OUT, d, n));
	if (n > 0)
		send_counted(s, GATE_OUT, &route, d, n, 0, 0);
	s->active_ns = worker_of(s)->now_ns;
	udp_lane_touch(s->lane, &s->link);
}

/* An error that the socket reports (nobody listens at the target: ICMP) is not the end: somebody may listen again. */
static void receive_answers(struct udp_session *s)
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
	worker_again(worker_of(s), &s->task);
}

static void on_target(struct io *io, uint32_t events)
{
	(void)events;
	receive_answers(CONTAINER_OF(io, struct udp_session, io));
}

static void end_refused(struct udp_session *s, enum meter_counter why)
{
	udp_lane_count(s->lane, why, 1);
	if (s->visitor != NULL)
		stream_close(s->visitor, ERR_UNAVAILABLE, "the target's agent is not here or full, or could not go on");
	udp_session_close(s);
}

static struct agents_ask ask_of(struct udp_session *s)
{
	return (struct agents_ask){ .client = conf_of(s)->target_client,
		.mapping = s->lane->base.object->id,
		.port = (uint16_t)(conf_of(s)->target_port + s->key.offset),
		.wait = &s->task,
		.tried = &s->tried };
}

static void end_not_reached(struct udp_session *s)
{
	const struct agents_ask ask = ask_of(s);

	agents_tell(udp_lane_desk(s->lane)->agents, worker_of(s), &ask, false);
	end_refused(s, METER_refused_dial);
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

/* ---- the beginning ---------------------------------------------------------------------------------------------- */

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

		addr_set_port(&to, (uint16_t)(conf_of(s)->target_port + s->key.offset));
		if (dial_rule_allows(conf_of(s), &to))
			fd = connect_to(&to);
	}
	return fd;
}

static void start(struct udp_session *s, int fd)
{
	if (fd < 0) {
		end_refused(s, METER_refused_dial);
		return;
	}
	io_init(&s->io, on_target, fd);
	if (io_add(worker_of(s), &s->io, EPOLLIN | EPOLLET) != 0) {
		end_refused(s, METER_refused_resource);
		return;
	}
	session_move(s, UDP_OPEN);
	forward_waiting(s);
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
	struct frame_open open = { .kind = FRAME_UDP, .port = (uint16_t)(conf_of(s)->target_port + s->key.offset) };
	struct addr from, to;

	str_copy(open.mapping, sizeof open.mapping, s->lane->base.object->id);
	str_copy(open.host, sizeof open.host, conf_of(s)->target_host);
	client_addrs(s, &from, &to);
	addr_print(&from, open.source);
	if (!enter_clients(s)) {
		end_refused(s, METER_refused_limit);
		return;
	}
	s->stream = malloc(sizeof *s->stream);
	if (s->stream == NULL || stream_open(s->stream, link, &open, on_stream, s) != 0) {
		free(s->stream);
		s->stream = NULL;
		end_refused(s, METER_refused_resource);
		return;
	}
	session_move(s, UDP_OPEN);
	forward_waiting(s);
}

static void find_agent(struct udp_session *s)
{
	const struct agents_ask ask = ask_of(s);
	struct agents_found found;

	switch (agents_find(udp_lane_desk(s->lane)->agents, worker_of(s), &ask, &found)) {
	case AGENTS_HERE:
		s->tried = (struct agents_tried){ .agent = { found.agent }, .n = 1 };
		open_stream(s, found.link);
		return;
	case AGENTS_WAIT:
		return;
	case AGENTS_DOWN:
		end_refused(s, METER_refused_down);
		return;
	case AGENTS_NONE:
		end_refused(s, METER_refused_dial);
	}
}

static void find_target(struct udp_session *s)
{
	struct targets *targets;

	if (conf_of(s)->target_client[0] != '\0') {
		find_agent(s);
		return;
	}
	switch (target_get(&s->lane->target, &s->task, &targets)) {
	case TARGET_KNOWN:
		start(s, dial(s, targets));
		targets_unref(targets);
		return;
	case TARGET_WAIT:
		return;
	case TARGET_FAILED:
		end_refused(s, METER_refused_dial);
	}
}

static void on_task(struct task *t)
{
	struct udp_session *s = CONTAINER_OF(t, struct udp_session, task);

	if (s->state == UDP_NAME)
		find_target(s);
	else if (s->stream == NULL)
		receive_answers(s);
}

/* The session that was silent longest; one whose datagrams are under way keeps its place, as do all behind it. */
static bool give_way(struct udp_lane *l)
{
	struct list *first = list_first(&l->sessions);
	struct udp_session *oldest;

	if (first == NULL)
		return false;
	oldest = CONTAINER_OF(first, struct udp_session, link);
	if (!list_empty(&oldest->turn))
		return false;
	udp_lane_count(l, METER_timed_out, 1);
	udp_session_close(oldest);
	return true;
}

static bool take_descriptor(struct udp_lane *l)
{
	struct fd_budget *fds = l->base.worker->fds;

	return fd_budget_take(fds, 1, FD_FOR_SESSIONS) || (give_way(l) && fd_budget_take(fds, 1, FD_FOR_SESSIONS));
}

/* Nobody gives way to a client that may not come in. */
static bool admit(struct udp_lane *l, const struct addr *source, struct gate_pass *pass)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct gate *gate = udp_lane_gate(l);
	struct worker *w = l->base.worker;

	*pass = (struct gate_pass){ .in = false };
	if (l->allowance != NULL && allowance_is_over(l->allowance)) {
		udp_lane_count(l, METER_refused_quota, 1);
		return false;
	}
	if (!gate_admit(gate, w->index, conf, source, w->now_ns, pass))
		return false;
	if (gate_is_full(gate, conf))
		give_way(l);
	if (!take_descriptor(l)) {
		udp_lane_count(l, METER_refused_resource, 1);
		gate_leave(gate, w->index, w->now_ns, pass);
		return false;
	}
	if (gate_take_place(gate, w->index, conf, w->now_ns, pass))
		return true;
	fd_budget_give(w->fds, 1);
	return false;
}

static struct udp_session *session_new(struct udp_lane *l)
{
	struct udp_session *s = slab_get(&udp_lane_desk(l)->sessions);

	if (s == NULL)
		return NULL;
	s->state = UDP_NAME;
	s->lane = l;
	s->active_ns = l->base.worker->now_ns;
	s->opened_ms = clock_wall_ms();
	s->id = worker_next_id(l->base.worker);
	s->segments[GATE_IN] = s->segments[GATE_OUT] = true;
	io_init(&s->io, on_target, -1);
	task_init(&s->task, on_task);
	list_init(&s->turn);
	list_init(&s->link);
	return s;
}

static void enter_lane(struct udp_session *s)
{
	list_push_back(&s->lane->sessions, &s->link);
	lane_add(&s->lane->base);
}

static struct udp_session *session_at_door(struct udp_door *door, const struct udp_arrival *who)
{
	struct udp_lane *l = door->lane;
	struct udp_session *s = session_new(l);

	if (s == NULL)
		return NULL;
	s->door = door;
	udp_session_key(&s->key, who->from, &who->local, door->offset);
	s->from = *who->from;
	s->local = who->local;
	if (map_put(&l->by_client, &s->key, sizeof s->key, s, NULL) != 0) {
		slab_put(&udp_lane_desk(l)->sessions, s);
		return NULL;
	}
	enter_lane(s);
	return s;
}

static void give_back(struct udp_lane *l, struct gate_pass *pass)
{
	const struct worker *w = l->base.worker;

	udp_lane_count(l, METER_refused_resource, 1);
	gate_leave(udp_lane_gate(l), w->index, w->now_ns, pass);
	fd_budget_give(w->fds, 1);
}

static int keep_header(struct udp_session *s, const struct proxy_header *header)
{
	if (header == NULL || header->local)
		return 0;
	s->proxied = malloc(2 * sizeof s->proxied[0]);
	if (s->proxied == NULL)
		return -1;
	s->proxied[0] = header->src;
	s->proxied[1] = header->dst;
	return 0;
}

struct udp_session *udp_session_open(struct udp_door *door, const struct udp_arrival *who)
{
	struct udp_lane *l = door->lane;
	struct gate_pass pass = { .in = false };
	struct udp_session *s = NULL;
	struct addr source;

	addr_from_sockaddr(&source, &who->from->sa, who->from->len);
	if (who->header != NULL && !who->header->local)
		source = who->header->src;
	if (admit(l, &source, &pass) && (s = session_at_door(door, who)) == NULL)
		give_back(l, &pass);
	if (s == NULL) {
		if (who->fd >= 0)
			close(who->fd);
		return NULL;
	}
	s->pass = pass;
	io_init(&s->io, on_target, who->fd);
	if (keep_header(s, who->header) != 0)
		end_refused(s, METER_refused_resource);
	else if (who->fd >= 0)
		start(s, who->fd);
	else
		find_target(s);
	return s->state != UDP_CLOSED ? s : NULL;
}

struct udp_session *udp_session_new_visit(
	struct udp_lane *l, const struct addr *from, const struct addr *at, uint16_t offset)
{
	struct gate_pass pass = { .in = false };
	struct udp_session *s;

	if (!admit(l, from, &pass))
		return NULL;
	s = session_new(l);
	if (s == NULL) {
		give_back(l, &pass);
		return NULL;
	}
	s->pass = pass;
	s->key.offset = offset;
	enter_lane(s);
	s->proxied = malloc(2 * sizeof s->proxied[0]);
	if (s->proxied == NULL) {
		end_refused(s, METER_refused_resource);
		return NULL;
	}
	s->proxied[0] = *from;
	s->proxied[1] = *at;
	return s;
}

void udp_session_begin_visit(struct udp_session *s, struct stream *visitor)
{
	s->visitor = visitor;
	udp_lane_touch(s->lane, &s->link);
	find_target(s);
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

void udp_session_info(const struct udp_session *s, struct conn_info *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct addr from, to;

	*out = (struct conn_info){
		.id = s->id,
		.protocol = MAPPING_UDP,
		.bytes_in = s->bytes[GATE_IN],
		.bytes_out = s->bytes[GATE_OUT],
		.opened_ms = s->opened_ms,
	};
	str_copy(out->mapping, sizeof out->mapping, s->lane->base.object->id);
	client_addrs(s, &from, &to);
	addr_print(&from, out->remote);
	addr_print(&to, out->local);
	if (s->state == UDP_OPEN && s->stream != NULL)
		str_fmt(out->target, sizeof out->target, "%.48s:%u of client %.20s", conf_of(s)->target_host,
			conf_of(s)->target_port + s->key.offset, conf_of(s)->target_client);
	else if (s->state == UDP_OPEN && getpeername(s->io.fd, (struct sockaddr *)&ss, &len) == 0) {
		addr_from_sockaddr(&to, (struct sockaddr *)&ss, len);
		addr_print(&to, out->target);
	}
}
