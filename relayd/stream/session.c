#define _GNU_SOURCE
#include "relayd/stream/session.h"

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/proxy_protocol.h"
#include "common/tunnel/stream_side.h"
#include "common/uv/fd_budget.h"
#include "proto/answer.h"
#include "relayd/stream/session_inside.h"
#include "relayd/stream/session_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_NS UINT64_C(5000000000) /* for a PROXY header: one lost segment and its retransmission (3 s) fit */
#define SETTLE_NS UINT64_C(1000000000) /* short connections never pay for what only long ones need */

static const struct sm_state states[] = {
	[SESSION_HEADER] = { "header", BIT(SESSION_NAME) | BIT(SESSION_UDP) | BIT(SESSION_CLOSED) },
	[SESSION_NAME] = { "name", BIT(SESSION_DIAL) | BIT(SESSION_CLOSED) },
	[SESSION_DIAL] = { "dial", BIT(SESSION_OPEN) | BIT(SESSION_CLOSED) },
	[SESSION_OPEN] = { "open", BIT(SESSION_CLOSED) },
	[SESSION_UDP] = { "udp", BIT(SESSION_CLOSED) },
	[SESSION_CLOSED] = { "closed", 0 },
};

void session_move(struct session *s, enum session_state to)
{
	sm_move(states, &s->state, (int)to);
}

/* Who connected, and where to. */
int session_client_addrs(const struct session *s, struct addr *from, struct addr *to)
{
	if (s->proxied == NULL)
		return side_remote(&s->side[CLIENT], from) | side_local(&s->side[CLIENT], to);
	*from = s->proxied->from;
	*to = s->proxied->to;
	return 0;
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static uint64_t after_ms(uint64_t since_ns, uint32_t ms)
{
	return ms != 0 ? since_ns + ms * UINT64_C(1000000) : UINT64_MAX;
}

static bool half_closed(const struct session *s)
{
	return s->flow[GATE_IN].state == FLOW_DONE || s->flow[GATE_OUT].state == FLOW_DONE;
}

/* When a silent open session has lasted too long. */
static uint64_t silent_until(const struct session *s)
{
	const struct mapping_conf *conf = session_conf(s);
	uint64_t idle = after_ms(s->active_ns, conf->idle_timeout_ms);

	return half_closed(s) ? MIN(idle, after_ms(s->active_ns, conf->half_close_timeout_ms)) : idle;
}

static uint64_t due_ns(const struct session *s)
{
	switch (s->state) {
	case SESSION_HEADER:
		return s->opened_ns + HEADER_NS;
	case SESSION_OPEN:
		if (!s->probing && session_conf(s)->keepalive_s != 0)
			return MIN(s->opened_ns + SETTLE_NS, silent_until(s));
		return silent_until(s);
	case SESSION_UDP:
		return silent_until(s);
	default:
		return s->dial.due_ns;
	}
}

void session_set_timer(struct session *s)
{
	uint64_t due = due_ns(s);

	if (due == UINT64_MAX)
		wheel_disarm(&s->timer);
	else
		wheel_arm(&session_worker(s)->wheel, &s->timer, due);
}

static void start_probing(struct session *s)
{
	side_probe(&s->side[CLIENT], session_conf(s)->keepalive_s);
	side_probe(&s->side[TARGET], session_conf(s)->keepalive_s);
	s->probing = true;
}

static void on_due(struct timer *t)
{
	struct session *s = CONTAINER_OF(t, struct session, timer);
	uint64_t now = session_worker(s)->now_ns;

	if (s->state == SESSION_OPEN) {
		if (now >= silent_until(s)) {
			session_close(s, END_TIMED_OUT);
			return;
		}
		if (!s->probing && session_conf(s)->keepalive_s != 0 && now >= s->opened_ns + SETTLE_NS)
			start_probing(s);
	} else if (now >= due_ns(s)) {
		if (s->state == SESSION_DIAL && s->side[TARGET].ops != NULL) {
			session_target_leave_agent(s);
		} else if (s->state == SESSION_DIAL) {
			io_close(&s->side[TARGET].io);
			session_target_dial(s);
		} else if (s->state == SESSION_UDP) {
			session_close(s, END_TIMED_OUT);
		} else {
			session_close(s, s->state == SESSION_HEADER ? END_HEADER : END_TARGET);
		}
		return;
	}
	session_set_timer(s);
}

void session_on_limits(struct session *s)
{
	s->probing = false;
	session_set_timer(s);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* The way's source has ended: pass it on. When the other way has ended before, closing a socket says it, but not a stream. */
static void end_way(struct session *s, enum gate_way way)
{
	struct side *to = &s->side[way == GATE_IN ? TARGET : CLIENT];
	bool last = s->flow[!way].state == FLOW_DONE;

	s->flow[way].state = FLOW_DONE;
	if ((to->ops != NULL || !last) && side_finish(to) != 0)
		session_close(s, END_RESET);
	else if (last)
		session_close(s, END_DONE);
	else
		session_set_timer(s);
}

static void throttle(struct flow *f, struct flow_way *way)
{
	uint64_t now = way->worker->now_ns;

	list_remove(&f->throttled);
	list_push_back(&way->throttled, &f->throttled);
	if (!timer_armed(&way->refill))
		wheel_arm(&way->worker->wheel, &way->refill, now + flow_way_wait_ns(way));
}

static bool is_over_quota(const struct tcp_lane *l)
{
	return l->allowance != NULL && allowance_is_over(l->allowance);
}

static void pump_way(struct session *s, enum gate_way way)
{
	struct flow *f = &s->flow[way];
	struct side *from = &s->side[way == GATE_IN ? CLIENT : TARGET];
	struct side *to = &s->side[way == GATE_IN ? TARGET : CLIENT];
	uint64_t before = f->bytes;
	enum flow_result r;

	if (f->state == FLOW_DONE)
		return;
	r = flow_pump(f, &s->lane->way[way], from, to);
	if (f->bytes != before || r == FLOW_ENDED)
		s->active_ns = session_worker(s)->now_ns;
	if (r == FLOW_BUSY)
		worker_again(session_worker(s), &s->task);
	else if (r == FLOW_THROTTLED && is_over_quota(s->lane))
		session_close(s, END_QUOTA);
	else if (r == FLOW_THROTTLED)
		throttle(f, &s->lane->way[way]);
	else if (r == FLOW_ENDED)
		end_way(s, way);
	else if (r == FLOW_BROKEN)
		session_close(s, END_RESET);
}

void session_pump(struct session *s)
{
	pump_way(s, GATE_IN);
	if (s->state == SESSION_OPEN)
		pump_way(s, GATE_OUT);
}

void session_on_refill(struct flow *f, enum gate_way way)
{
	session_pump(CONTAINER_OF(f - way, struct session, flow[0]));
}

/* ---- from the client -------------------------------------------------------------------------------------------- */

void session_leave_header(struct session *s)
{
	if (session_conf(s)->protocol != MAPPING_SOCKS5) {
		session_target_begin(s);
		return;
	}
	s->socks = socks_new();
	session_set_timer(s);
	if (s->side[CLIENT].ops != NULL) { /* its agent passes nothing on before that */
		stream_opened(stream_side_stream(&s->side[CLIENT]));
		stream_side_stream(&s->side[CLIENT])->opened = true;
	}
	if (s->socks == NULL)
		session_close(s, END_RESOURCE);
	else
		session_socks_talk(s);
}

/* LOCAL or UNKNOWN: the load balancer speaks for itself, and its own address counts. */
static int take_header(struct session *s, struct proxy_header *h)
{
	if (h->local)
		return session_client_addrs(s, &h->src, &h->dst);
	s->proxied = malloc(sizeof *s->proxied);
	if (s->proxied == NULL)
		return -1;
	*s->proxied = (struct proxied){ .from = h->src, .to = h->dst };
	return 0;
}

/* The header is looked at where it lies, and taken only when it is whole: nothing is kept for a slow sender. */
static void read_header(struct session *s)
{
	struct side *client = &s->side[CLIENT];
	struct worker *w = session_worker(s);
	ssize_t n = recv(client->io.fd, w->scratch, PROXY_V2_MAX, MSG_PEEK);
	struct proxy_header h;
	int used;

	used = n > 0 ? proxy_parse(&h, w->scratch, (size_t)n) : -1;
	if ((n < 0 && errno == EAGAIN) || (used == 0 && n < PROXY_V2_MAX && !client->fin)) {
		side_drained(client, w);
		return;
	}
	if (used <= 0 || recv(client->io.fd, w->scratch, (size_t)used, 0) != used)
		session_close(s, n < 0 ? END_RESET : END_HEADER);
	else if (take_header(s, &h) != 0)
		session_close(s, END_RESOURCE);
	else if (gate_enter(tcp_lane_gate(s->lane), w->index, session_conf(s), &h.src, w->now_ns, &s->pass))
		session_leave_header(s);
	else
		session_close(s, END_REFUSED);
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/*
 * An error is a reset: of data that came before it, what the other side takes at once has been passed on, and then
 * the other side learns of it.
 */
void session_on_open_event(struct session *s, uint32_t events)
{
	session_pump(s);
	if (events & EPOLLERR)
		session_close(s, END_RESET);
}

static void on_client(struct io *io, uint32_t events)
{
	struct session *s = CONTAINER_OF(io, struct session, side[CLIENT].io);

	if (events & EPOLLERR && s->side[CLIENT].ops != NULL) {
		session_close(s, END_RESET); /* as of a target's stream */
		return;
	}
	side_hear(&s->side[CLIENT], session_worker(s), events);
	if (s->state == SESSION_OPEN)
		session_on_open_event(s, events);
	else if (s->state == SESSION_UDP)
		session_udp_on_client(s, events);
	else if (events & (EPOLLERR | EPOLLHUP))
		session_close(s, END_RESET);
	else if (s->state == SESSION_HEADER && s->socks != NULL)
		session_socks_talk(s);
	else if (s->state == SESSION_HEADER)
		read_header(s);
}

static void on_task(struct task *t)
{
	struct session *s = CONTAINER_OF(t, struct session, task);

	if (s->state == SESSION_NAME)
		session_target_find(s);
	else if (s->state == SESSION_OPEN)
		session_pump(s);
}

/* ---- the beginning ---------------------------------------------------------------------------------------------- */

static void refuse(struct tcp_lane *l, int fd, enum farewell why)
{
	if (l->farewell != NULL && why != FAREWELL_NONE) {
		l->farewell(l, fd, why);
		return;
	}
	side_reset_on_close(fd);
	close(fd);
}

struct session *session_new(struct tcp_lane *l, int fd, uint16_t target_port)
{
	struct tcp_desk *desk = tcp_lane_desk(l);
	struct worker *w = l->base.worker;
	struct session *s = slab_get(&desk->sessions);

	if (s == NULL)
		return NULL;
	s->state = SESSION_HEADER;
	s->lane = l;
	s->fds = SESSION_FDS;
	s->id = worker_next_id(w);
	s->opened_ns = s->active_ns = w->now_ns;
	side_init(&s->side[CLIENT], on_client, fd);
	s->side[CLIENT].writable = true;
	s->side[CLIENT].nodelay = true; /* of the listening socket */
	side_init(&s->side[TARGET], session_target_on_event, -1);
	flow_init(&s->flow[GATE_IN]);
	flow_init(&s->flow[GATE_OUT]);
	timer_init(&s->timer, on_due);
	task_init(&s->task, on_task);
	dial_init(&s->dial, target_port, lane_conf(&l->base)->connect_timeout_ms, w->now_ns);
	list_push_back(&l->sessions, &s->link);
	lane_add(&l->base);
	return s;
}

/* Whether somebody from there may open a connection now; the reason is counted, and what a client may know of it in *why. */
static bool admit(struct tcp_lane *l, const struct addr *from, struct gate_pass *pass, enum farewell *why)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct worker *w = l->base.worker;

	*pass = (struct gate_pass){ .in = false };
	*why = FAREWELL_BUSY;
	if (is_over_quota(l)) {
		session_count(l, METER_refused_quota);
		return false;
	}
	if (!worker_take_fds_of(w, &tcp_lane_gate(l)->fds, SESSION_FDS)) {
		session_count(l, METER_refused_resource);
		return false;
	}
	if (conf->proxy_in) { /* who it is for will be known from its header */
		if (cidr_match_any(conf->proxy_trusted.items, conf->proxy_trusted.n, from))
			return true;
		session_count(l, METER_refused_proxy);
		*why = FAREWELL_NONE;
	} else if (gate_enter(tcp_lane_gate(l), w->index, conf, from, w->now_ns, pass)) {
		return true;
	}
	if (!conf->proxy_in && !gate_lists(conf, from))
		*why = FAREWELL_FORBIDDEN;
	worker_give_fds_of(w, &tcp_lane_gate(l)->fds, SESSION_FDS);
	return false;
}

void session_open(struct tcp_lane *l, int fd, const struct addr *from, uint16_t target_port)
{
	struct worker *w = l->base.worker;
	struct gate_pass pass;
	enum farewell why;
	struct session *s;

	if (!admit(l, from, &pass, &why)) {
		refuse(l, fd, why);
		return;
	}
	s = session_new(l, fd, target_port);
	if (s == NULL) {
		session_count(l, METER_refused_resource);
		gate_leave(tcp_lane_gate(l), w->index, w->now_ns, &pass);
		worker_give_fds_of(w, &tcp_lane_gate(l)->fds, SESSION_FDS);
		refuse(l, fd, FAREWELL_BUSY);
		return;
	}
	s->pass = pass;
	if (io_add(w, &s->side[CLIENT].io, IO_STREAM) != 0)
		session_close(s, END_RESOURCE);
	else if (lane_conf(&l->base)->proxy_in)
		session_set_timer(s);
	else
		session_leave_header(s);
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

size_t session_size(void)
{
	return sizeof(struct session);
}

struct session *session_of(struct list *link)
{
	return CONTAINER_OF(link, struct session, link);
}

uint64_t session_id(const struct session *s)
{
	return s->id;
}

void session_info(const struct session *s, struct conn_info *out)
{
	struct addr from, to;

	*out = (struct conn_info){
		.id = s->id,
		.protocol = MAPPING_TCP,
		.bytes_in = s->flow[GATE_IN].bytes,
		.bytes_out = s->flow[GATE_OUT].bytes,
		.opened_ms = clock_wall_ms() - (int64_t)((session_worker(s)->now_ns - s->opened_ns) / 1000000),
	};
	str_copy(out->mapping, sizeof out->mapping, s->lane->base.object->id);
	if (session_client_addrs(s, &from, &to) == 0) {
		addr_print(&from, out->remote);
		addr_print(&to, out->local);
	}
	if (s->state == SESSION_OPEN && s->side[TARGET].ops != NULL)
		str_fmt(out->target, sizeof out->target, "%.48s:%u of client %.20s",
			s->socks != NULL ? s->socks->request.host : session_conf(s)->target_host, s->dial.port,
			session_conf(s)->target_client);
	else if (s->state == SESSION_OPEN && side_remote(&s->side[TARGET], &to) == 0)
		addr_print(&to, out->target);
}
