#define _GNU_SOURCE
#include "relayd/stream/session.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/proxy_protocol.h"
#include "common/tunnel/stream_side.h"
#include "common/uv/fd_budget.h"
#include "proto/answer.h"
#include "relayd/stream/dial.h"
#include "relayd/stream/socks.h"
#include "relayd/stream/tcp_lane.h"
#include "relayd/tunnel/agents.h"
#include "relayd/tunnel/client_gate.h"
#include "relayd/tunnel/visits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALONE_BYTES (UINT64_C(1024) * 1024) /* of a connection, on the average */
#define FDS         2                       /* with a target that an agent dials, one is given back */
#define HEADER_NS   UINT64_C(5000000000)    /* for a PROXY header: one lost segment and its retransmission (3 s) fit */
#define SETTLE_NS   UINT64_C(1000000000)    /* short connections never pay for what only long ones need */

/*
 *   HEADER ---> NAME ---> DIAL ---> OPEN
 *     |          |         |         |
 *     +----------+---------+---------+--> CLOSED
 *
 * HEADER: a PROXY header must come first. NAME: the target's name is being resolved, or a link of the agent that dials it
 * is awaited. DIAL: connecting to one of its addresses, or an agent is, and another one could be asked. OPEN: bytes flow,
 * each way by itself (flow.h). The first states are passed through when there is nothing to wait for; a stream to the only
 * agent is OPEN at once, and what comes before that has reached the target waits there.
 */
enum session_state { SESSION_HEADER, SESSION_NAME, SESSION_DIAL, SESSION_OPEN, SESSION_CLOSED };

static const struct sm_state states[] = {
	[SESSION_HEADER] = { "header", BIT(SESSION_NAME) | BIT(SESSION_CLOSED) },
	[SESSION_NAME] = { "name", BIT(SESSION_DIAL) | BIT(SESSION_CLOSED) },
	[SESSION_DIAL] = { "dial", BIT(SESSION_OPEN) | BIT(SESSION_CLOSED) },
	[SESSION_OPEN] = { "open", BIT(SESSION_CLOSED) },
	[SESSION_CLOSED] = { "closed", 0 },
};

enum session_end {
	END_DONE,
	END_RESET,
	END_TIMED_OUT,
	END_CUT,
	END_REFUSED,
	END_HEADER,
	END_TARGET,
	END_RESOURCE,
	END_CROWDED,
	END_DOWN,
	END_QUOTA
};

/* Only a session whose both ways ended by themselves is closed in order: any other end must not look like one. */
static const struct {
	bool reset;
	int counter; /* enum meter_counter, or -1 */
	enum farewell farewell;
	uint16_t code;      /* what an agent that came in is told */
	const char *reason; /* the same */
} ends[] = {
	[END_DONE] = { false, -1, FAREWELL_NONE, ERR_NONE, "" },
	[END_RESET] = { true, METER_reset, FAREWELL_NONE, ERR_UNAVAILABLE, "the other end was reset" },
	[END_TIMED_OUT] = { true, METER_timed_out, FAREWELL_NONE, ERR_TIMEOUT, "nothing has passed for too long" },
	[END_CUT] = { true, -1, FAREWELL_NONE, ERR_FORBIDDEN, "the connection was cut, or the mapping is off" },
	[END_REFUSED] = { true, -1, FAREWELL_NONE, ERR_FORBIDDEN,
		"the mapping does not let it in" }, /* the gate has counted it */
	[END_HEADER] = { true, METER_refused_proxy, FAREWELL_NONE, ERR_PROTOCOL, "no header" },
	[END_TARGET] = { true, METER_refused_dial, FAREWELL_UNREACHABLE, ERR_UNAVAILABLE,
		"the target's agent is not connected to this relay" },
	[END_RESOURCE] = { true, METER_refused_resource, FAREWELL_BUSY, ERR_OVERLOADED,
		"the relay has no memory or descriptor left" },
	[END_CROWDED] = { true, METER_refused_limit, FAREWELL_BUSY, ERR_OVERLOADED, "a client has enough connections" },
	[END_DOWN] = { true, METER_refused_down, FAREWELL_UNREACHABLE, ERR_UNAVAILABLE,
		"no agent of the target has reached it" },
	[END_QUOTA] = { true, METER_refused_quota, FAREWELL_BUSY, ERR_QUOTA_EXCEEDED, "the owner's quota is used up" },
};

enum { CLIENT, TARGET };

struct proxied {
	struct addr from, to; /* as the load balancer in front told */
};

struct session {
	int state;
	bool probing; /* keepalive is set */
	uint8_t fds;  /* taken from the budget */
	struct tcp_lane *lane;
	struct side side[2]; /* CLIENT, TARGET */
	struct flow flow[2]; /* enum gate_way */
	uint64_t active_ns; /* of the last byte either way; before the target is reached, when it began to be dialled */
	struct timer timer;
	struct task task; /* another turn; the wait for a name; the burial */
	struct list link;
	struct gate_pass pass;
	struct client_gate *client[2]; /* entered: the source's, the target's; NULL: none */
	uint16_t target_code;          /* why the target's agent ended its stream; 0: it did not */
	struct proxied *proxied;       /* NULL: the client is who connected */
	struct socks *socks;           /* NULL: not a SOCKS5 mapping */
	struct dial dial;
	struct agents_tried tried;
	uint64_t id, opened_ns;
};

static void session_move(struct session *s, enum session_state to)
{
	sm_move(states, &s->state, (int)to);
}

static const struct mapping_conf *conf_of(const struct session *s)
{
	return lane_conf(&s->lane->base);
}

static struct worker *worker_of(const struct session *s)
{
	return s->lane->base.worker;
}

static void count(const struct tcp_lane *l, enum meter_counter c)
{
	meter_add(&tcp_lane_gate(l)->slot, l->base.worker->index, c, 1);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	struct session *s = CONTAINER_OF(t, struct session, task);
	struct tcp_lane *l = s->lane;

	slab_put(&tcp_lane_desk(l)->sessions, s);
	lane_remove(&l->base);
}

/* Words instead of a reset, for who knows the client's protocol; not in the middle of an answer. */
static void say_farewell(struct session *s, enum farewell why)
{
	struct tcp_lane *l = s->lane;
	struct io *client = &s->side[CLIENT].io;
	int fd = client->fd;

	if (l->farewell == NULL || why == FAREWELL_NONE || s->flow[GATE_OUT].bytes > 0)
		return;
	io_del(worker_of(s), client);
	client->fd = -1; /* side_close() finds nothing to close */
	l->farewell(l, fd, why);
}

/* The agent that came in learns why, where a socket only learns that. */
static void tell_visitor(struct session *s, enum session_end why)
{
	struct side *client = &s->side[CLIENT];

	if (client->ops == NULL || !ends[why].reset)
		return;
	if (s->target_code != 0)
		stream_close(
			stream_side_stream(client), s->target_code, "the target's agent could not, or did not go on");
	else
		stream_close(stream_side_stream(client), ends[why].code, ends[why].reason);
}

/* Why a request could not be met, in the words of RFC 1928. */
static enum socks5_code socks_code(const struct session *s, enum session_end why)
{
	switch (why == END_TARGET ? s->target_code : ERR_NONE) {
	case ERR_DENIED_TARGET:
		return SOCKS5_NOT_ALLOWED;
	case ERR_TARGET_REFUSED:
		return SOCKS5_REFUSED;
	case ERR_NO_ROUTE:
		return SOCKS5_NO_NETWORK;
	case ERR_NONE:
		return SOCKS5_FAILED;
	default:
		return SOCKS5_NO_HOST;
	}
}

/* An answer instead of a reset, while the client waits for one. */
static bool socks_farewell(struct session *s, enum session_end why)
{
	if (s->socks == NULL || !side_is_open(&s->side[CLIENT]) || why == END_RESET || why == END_DONE)
		return false;
	if (s->socks->answered && s->flow[GATE_OUT].bytes + s->flow[GATE_IN].bytes > 0)
		return false;
	(void)!socks_answer(s->socks, &s->side[CLIENT], socks_code(s, why));
	return s->side[CLIENT].ops == NULL && why != END_CUT && why != END_TIMED_OUT;
}

/* Any number of times; the first reason wins. The memory lives until the end of the round. */
static void session_close(struct session *s, enum session_end why)
{
	struct tcp_lane *l = s->lane;
	bool has_words;

	if (s->state == SESSION_CLOSED)
		return;
	session_move(s, SESSION_CLOSED);
	if (ends[why].counter >= 0) /* before anybody can see the end */
		count(l, (enum meter_counter)ends[why].counter);
	gate_leave(tcp_lane_gate(l), worker_of(s)->index, worker_of(s)->now_ns, &s->pass);
	say_farewell(s, ends[why].farewell);
	if (s->client[TARGET] != NULL)
		l->mean_bytes = (3 * l->mean_bytes + s->flow[GATE_IN].bytes + s->flow[GATE_OUT].bytes) / 4;
	has_words = socks_farewell(s, why);
	if (!has_words)
		tell_visitor(s, why);
	for (unsigned i = 0; i < 2; i++) {
		side_close(&s->side[i], ends[why].reset && !(i == CLIENT && has_words));
		flow_fini(&s->flow[i], &l->way[i]);
		if (s->client[i] != NULL)
			client_gate_leave(s->client[i]);
		client_gate_unref(s->client[i]);
	}
	fd_budget_give(worker_of(s)->fds, s->fds);
	wheel_disarm(&s->timer);
	dial_fini(&s->dial);
	free(s->proxied);
	socks_free(s->socks);
	list_remove(&s->link);
	s->task.run = on_buried;
	worker_bury(worker_of(s), &s->task);
}

void session_cut(struct session *s)
{
	session_close(s, END_CUT);
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
	const struct mapping_conf *conf = conf_of(s);
	uint64_t idle = after_ms(s->active_ns, conf->idle_timeout_ms);

	return half_closed(s) ? MIN(idle, after_ms(s->active_ns, conf->half_close_timeout_ms)) : idle;
}

static uint64_t due_ns(const struct session *s)
{
	switch (s->state) {
	case SESSION_HEADER:
		return s->opened_ns + HEADER_NS;
	case SESSION_OPEN:
		if (!s->probing && conf_of(s)->keepalive_s != 0)
			return MIN(s->opened_ns + SETTLE_NS, silent_until(s));
		return silent_until(s);
	default:
		return s->dial.due_ns;
	}
}

static void set_timer(struct session *s)
{
	uint64_t due = due_ns(s);

	if (due == UINT64_MAX)
		wheel_disarm(&s->timer);
	else
		wheel_arm(&worker_of(s)->wheel, &s->timer, due);
}

static void start_probing(struct session *s)
{
	side_probe(&s->side[CLIENT], conf_of(s)->keepalive_s);
	side_probe(&s->side[TARGET], conf_of(s)->keepalive_s);
	s->probing = true;
}

static void dial(struct session *s);
static void leave_agent(struct session *s);

static void on_due(struct timer *t)
{
	struct session *s = CONTAINER_OF(t, struct session, timer);
	uint64_t now = worker_of(s)->now_ns;

	if (s->state == SESSION_OPEN) {
		if (now >= silent_until(s)) {
			session_close(s, END_TIMED_OUT);
			return;
		}
		if (!s->probing && conf_of(s)->keepalive_s != 0 && now >= s->opened_ns + SETTLE_NS)
			start_probing(s);
	} else if (now >= due_ns(s)) {
		if (s->state == SESSION_DIAL && s->side[TARGET].ops != NULL) {
			leave_agent(s);
		} else if (s->state == SESSION_DIAL) {
			io_close(&s->side[TARGET].io);
			dial(s);
		} else {
			session_close(s, s->state == SESSION_HEADER ? END_HEADER : END_TARGET);
		}
		return;
	}
	set_timer(s);
}

void session_on_limits(struct session *s)
{
	s->probing = false;
	set_timer(s);
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
		set_timer(s);
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
		s->active_ns = worker_of(s)->now_ns;
	if (r == FLOW_BUSY)
		worker_again(worker_of(s), &s->task);
	else if (r == FLOW_THROTTLED && is_over_quota(s->lane))
		session_close(s, END_QUOTA);
	else if (r == FLOW_THROTTLED)
		throttle(f, &s->lane->way[way]);
	else if (r == FLOW_ENDED)
		end_way(s, way);
	else if (r == FLOW_BROKEN)
		session_close(s, END_RESET);
}

static void pump(struct session *s)
{
	pump_way(s, GATE_IN);
	if (s->state == SESSION_OPEN)
		pump_way(s, GATE_OUT);
}

void session_on_refill(struct flow *f, enum gate_way way)
{
	pump(CONTAINER_OF(f - way, struct session, flow[0]));
}

/* ---- to the target ---------------------------------------------------------------------------------------------- */

/* Who connected, and where to. */
static int client_addrs(const struct session *s, struct addr *from, struct addr *to)
{
	if (s->proxied == NULL)
		return side_remote(&s->side[CLIENT], from) | side_local(&s->side[CLIENT], to);
	*from = s->proxied->from;
	*to = s->proxied->to;
	return 0;
}

/* The first bytes on a new connection: they fit its empty buffer, so a short write is as bad as none. */
static int send_header(struct session *s)
{
	uint8_t header[PROXY_OUT_MAX];
	struct addr from, to;
	size_t n;

	if (client_addrs(s, &from, &to) != 0)
		return -1;
	if (conf_of(s)->proxy_out == MAPPING_PROXY_V1)
		n = proxy_write_v1(header, &from, &to);
	else
		n = proxy_write_v2(header, &from, &to, false);
	return side_send_first(&s->side[TARGET], header, n);
}

static void count_connect(const struct session *s)
{
	const struct meter_slot *slot = &tcp_lane_gate(s->lane)->slot;

	count(s->lane, METER_connected);
	meter_add(slot, worker_of(s)->index, METER_connect_us, (worker_of(s)->now_ns - s->active_ns) / 1000);
}

static void on_connected(struct session *s)
{
	session_move(s, SESSION_OPEN);
	dial_fini(&s->dial);
	count_connect(s);
	s->active_ns = worker_of(s)->now_ns;
	set_timer(s);
	if (s->socks != NULL && socks_answer(s->socks, &s->side[CLIENT], SOCKS5_DONE) != 0)
		session_close(s, END_RESET);
	else if (conf_of(s)->proxy_out != MAPPING_PROXY_NONE && send_header(s) != 0)
		session_close(s, END_RESET);
	else
		pump(s);
}

static void on_target(struct io *io, uint32_t events);

/* The next of the target's addresses, or the end. */
static void dial(struct session *s)
{
	int fd = dial_next(&s->dial, conf_of(s), worker_of(s)->now_ns);

	if (fd < 0) {
		session_close(s, END_TARGET);
		return;
	}
	side_init(&s->side[TARGET], on_target, fd);
	if (io_add(worker_of(s), &s->side[TARGET].io, IO_STREAM) != 0)
		session_close(s, END_RESOURCE);
	else
		set_timer(s);
}

static int open_stream(struct session *s, const struct agents_found *found)
{
	struct frame_open open = { .kind = FRAME_TCP,
		.port = s->dial.port,
		.zip = found->zip || conf_of(s)->compress == MAPPING_COMPRESS_ZSTD };
	struct addr from, to;

	str_copy(open.mapping, sizeof open.mapping, s->lane->base.object->id);
	str_copy(open.host, sizeof open.host, s->socks != NULL ? s->socks->request.host : conf_of(s)->target_host);
	str_copy(open.within, sizeof open.within, conf_of(s)->socks_allow);
	if (client_addrs(s, &from, &to) == 0)
		addr_print(&from, open.source);
	if (stream_side_open(&s->side[TARGET], found->link, &open) != 0)
		return -1;
	s->side[TARGET].writable = true;
	if (s->fds > 1) {
		fd_budget_give(worker_of(s)->fds, s->fds - 1);
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
	uint8_t transport = conf_of(s)->transport;

	return transport == MAPPING_TRANSPORT_DEDICATED ||
	       (transport == MAPPING_TRANSPORT_AUTO && s->lane->mean_bytes >= ALONE_BYTES);
}

static bool enter_clients(struct session *s)
{
	const struct tcp_lane *l = s->lane;

	return (l->source == NULL || enter_client(s, l->source, CLIENT)) && enter_client(s, l->client, TARGET);
}

static struct agents_ask ask_of(struct session *s)
{
	return (struct agents_ask){ .client = conf_of(s)->target_client,
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
	uint64_t now = worker_of(s)->now_ns;

	s->tried.agent[s->tried.n++] = to->agent;
	if (open_stream(s, to) != 0) {
		session_close(s, END_RESOURCE);
	} else if (!to->others && s->socks == NULL) {
		on_connected(s);
	} else {
		s->dial.due_ns = s->dial.ends_ns;
		if (to->others && s->dial.ends_ns != UINT64_MAX)
			s->dial.due_ns = now + (s->dial.ends_ns - now) / 2;
		set_timer(s);
	}
}

/* The agent that dials: its link is there, or will be. */
static void find_agent(struct session *s)
{
	const struct agents_ask ask = ask_of(s);
	struct agents_found found;

	switch (agents_find(tcp_lane_desk(s->lane)->agents, worker_of(s), &ask, &found)) {
	case AGENTS_HERE:
		if (s->state == SESSION_NAME)
			session_move(s, SESSION_DIAL);
		if (s->client[TARGET] == NULL && !enter_clients(s))
			session_close(s, END_CROWDED);
		else
			go_to_agent(s, &found);
		return;
	case AGENTS_WAIT:
		set_timer(s);
		return;
	case AGENTS_DOWN:
		session_close(s, END_DOWN);
		return;
	case AGENTS_NONE:
		session_close(s, END_TARGET);
	}
}

static void tell_of_agent(struct session *s, bool reached)
{
	const struct agents_ask ask = ask_of(s);

	agents_tell(tcp_lane_desk(s->lane)->agents, worker_of(s), &ask, reached);
}

/* It did not reach the target: the next one, if the client has sent nothing to it. */
static void leave_agent(struct session *s)
{
	tell_of_agent(s, false);
	if (s->state != SESSION_DIAL || worker_of(s)->now_ns >= s->dial.ends_ns) {
		session_close(s, END_TARGET);
		return;
	}
	side_close(&s->side[TARGET], true);
	side_init(&s->side[TARGET], on_target, -1);
	find_agent(s);
}

/* The name is known, or will be: this is called again when it is. */
static void find_target(struct session *s)
{
	if (conf_of(s)->target_client[0] != '\0') {
		find_agent(s);
		return;
	}
	switch (target_get(&s->lane->target, &s->task, &s->dial.targets)) {
	case TARGET_KNOWN:
		session_move(s, SESSION_DIAL);
		dial(s);
		return;
	case TARGET_WAIT:
		set_timer(s);
		return;
	case TARGET_FAILED:
		session_close(s, END_TARGET);
	}
}

static void begin_dial(struct session *s)
{
	session_move(s, SESSION_NAME);
	s->active_ns = worker_of(s)->now_ns;
	find_target(s);
}

/* The client says who he is and where to; then the way is that of any session. */
static void talk(struct session *s)
{
	switch (socks_talk(s->socks, &s->side[CLIENT], worker_of(s), conf_of(s))) {
	case SOCKS_WAITS:
		return;
	case SOCKS_ASKS:
		dial_init(&s->dial, s->socks->request.port, conf_of(s)->connect_timeout_ms, worker_of(s)->now_ns);
		begin_dial(s);
		return;
	case SOCKS_DENIED:
		count(s->lane, METER_refused_cidr);
		session_close(s, END_REFUSED);
		return;
	case SOCKS_ENDS:
		session_close(s, END_HEADER);
	}
}

static void leave_header(struct session *s)
{
	if (conf_of(s)->protocol != MAPPING_SOCKS5) {
		begin_dial(s);
		return;
	}
	s->socks = socks_new();
	set_timer(s);
	if (s->side[CLIENT].ops != NULL) { /* its agent passes nothing on before that */
		stream_opened(stream_side_stream(&s->side[CLIENT]));
		stream_side_stream(&s->side[CLIENT])->opened = true;
	}
	if (s->socks == NULL)
		session_close(s, END_RESOURCE);
	else
		talk(s);
}

/* ---- from the client -------------------------------------------------------------------------------------------- */

/* LOCAL or UNKNOWN: the load balancer speaks for itself, and its own address counts. */
static int take_header(struct session *s, struct proxy_header *h)
{
	if (h->local)
		return client_addrs(s, &h->src, &h->dst);
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
	struct worker *w = worker_of(s);
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
	else if (gate_enter(tcp_lane_gate(s->lane), w->index, conf_of(s), &h.src, w->now_ns, &s->pass))
		leave_header(s);
	else
		session_close(s, END_REFUSED);
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* False as long as an agent has not said that it is connected. */
static bool reached_target(const struct session *s)
{
	return s->side[TARGET].ops == NULL || stream_side_stream(&s->side[TARGET])->opened;
}

/* The agent that came in waits for it, and may ask another relay as long as it has not been told. */
static void tell_opened(struct session *s)
{
	struct stream *stream;

	if (s->side[CLIENT].ops == NULL || !reached_target(s))
		return;
	stream = stream_side_stream(&s->side[CLIENT]);
	if (!stream->opened)
		stream_opened(stream);
	stream->opened = true;
}

/*
 * An error is a reset: of data that came before it, what the other side takes at once has been passed on, and then
 * the other side learns of it.
 */
static void on_open_event(struct session *s, uint32_t events)
{
	pump(s);
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
	side_hear(&s->side[CLIENT], worker_of(s), events);
	if (s->state == SESSION_OPEN)
		on_open_event(s, events);
	else if (events & (EPOLLERR | EPOLLHUP))
		session_close(s, END_RESET);
	else if (s->state == SESSION_HEADER && s->socks != NULL)
		talk(s);
	else if (s->state == SESSION_HEADER)
		read_header(s);
}

/* An end before that is the target's own: it cannot come before it is reached. */
static void on_agent_in_dial(struct session *s)
{
	if (!reached_target(s))
		return;
	tell_of_agent(s, true);
	on_connected(s);
}

static void on_target(struct io *io, uint32_t events)
{
	struct session *s = CONTAINER_OF(io, struct session, side[TARGET].io);

	if (events & EPOLLERR && s->side[TARGET].ops != NULL) {
		/* What was still in the stream went with it, so nothing is pumped: cut data must not look like an end. */
		s->target_code = stream_side_stream(&s->side[TARGET])->code;
		if (reached_target(s))
			session_close(s, END_RESET);
		else
			leave_agent(s);
		return;
	}
	if (events & EPOLLOUT)
		tell_opened(s);
	side_hear(&s->side[TARGET], worker_of(s), events);
	if (s->state == SESSION_OPEN) {
		on_open_event(s, events);
	} else if (s->side[TARGET].ops != NULL) {
		on_agent_in_dial(s);
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		io_close(io);
		dial(s);
	} else if (events & EPOLLOUT) {
		on_connected(s);
	}
}

static void on_task(struct task *t)
{
	struct session *s = CONTAINER_OF(t, struct session, task);

	if (s->state == SESSION_NAME)
		find_target(s);
	else if (s->state == SESSION_OPEN)
		pump(s);
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

static struct session *session_new(struct tcp_lane *l, int fd, uint16_t target_port)
{
	struct tcp_desk *desk = tcp_lane_desk(l);
	struct worker *w = l->base.worker;
	struct session *s = slab_get(&desk->sessions);

	if (s == NULL)
		return NULL;
	s->state = SESSION_HEADER;
	s->lane = l;
	s->fds = FDS;
	s->id = worker_next_id(w);
	s->opened_ns = s->active_ns = w->now_ns;
	side_init(&s->side[CLIENT], on_client, fd);
	s->side[CLIENT].writable = true;
	s->side[CLIENT].nodelay = true; /* of the listening socket */
	side_init(&s->side[TARGET], on_target, -1);
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
		count(l, METER_refused_quota);
		return false;
	}
	if (!fd_budget_take(w->fds, FDS, FD_FOR_SESSIONS)) {
		count(l, METER_refused_resource);
		return false;
	}
	if (conf->proxy_in) { /* who it is for will be known from its header */
		if (cidr_match_any(conf->proxy_trusted.items, conf->proxy_trusted.n, from))
			return true;
		count(l, METER_refused_proxy);
		*why = FAREWELL_NONE;
	} else if (gate_enter(tcp_lane_gate(l), w->index, conf, from, w->now_ns, pass)) {
		return true;
	}
	if (!conf->proxy_in && !gate_lists(conf, from))
		*why = FAREWELL_FORBIDDEN;
	fd_budget_give(w->fds, FDS);
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
		count(l, METER_refused_resource);
		gate_leave(tcp_lane_gate(l), w->index, w->now_ns, &pass);
		fd_budget_give(w->fds, FDS);
		refuse(l, fd, FAREWELL_BUSY);
		return;
	}
	s->pass = pass;
	if (io_add(w, &s->side[CLIENT].io, IO_STREAM) != 0)
		session_close(s, END_RESOURCE);
	else if (lane_conf(&l->base)->proxy_in)
		set_timer(s);
	else
		leave_header(s);
}

/* What the gate has no reason for, the agent's own address has. */
static void admit_visit(struct session *s, const struct visit *v)
{
	s->fds = 0;
	s->proxied = malloc(sizeof *s->proxied);
	if (s->proxied == NULL || stream_side_accept(&s->side[CLIENT], v->mux, v->id, v->open) != 0) {
		stream_refuse(v->mux, v->id, ERR_NOMEM, ends[END_RESOURCE].reason);
		session_close(s, END_RESOURCE);
		return;
	}
	*s->proxied = (struct proxied){ .from = *v->from, .to = *v->at };
	leave_header(s);
}

void session_visit(struct tcp_lane *l, const struct visit *v)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct worker *w = l->base.worker;
	struct gate_pass pass;
	struct session *s;

	if (!gate_enter(tcp_lane_gate(l), w->index, conf, v->from, w->now_ns, &pass)) {
		stream_refuse(v->mux, v->id, ERR_OVERLOADED, "the mapping's limits or lists do not let it in");
		return;
	}
	s = session_new(l, -1, (uint16_t)(conf->target_port + v->open->port - conf->port_first));
	if (s == NULL) {
		count(l, METER_refused_resource);
		gate_leave(tcp_lane_gate(l), w->index, w->now_ns, &pass);
		stream_refuse(v->mux, v->id, ERR_NOMEM, ends[END_RESOURCE].reason);
		return;
	}
	s->pass = pass;
	admit_visit(s, v);
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
		.opened_ms = clock_wall_ms() - (int64_t)((worker_of(s)->now_ns - s->opened_ns) / 1000000),
	};
	str_copy(out->mapping, sizeof out->mapping, s->lane->base.object->id);
	if (client_addrs(s, &from, &to) == 0) {
		addr_print(&from, out->remote);
		addr_print(&to, out->local);
	}
	if (s->state == SESSION_OPEN && s->side[TARGET].ops != NULL)
		str_fmt(out->target, sizeof out->target, "%.48s:%u of client %.20s",
			s->socks != NULL ? s->socks->request.host : conf_of(s)->target_host, s->dial.port,
			conf_of(s)->target_client);
	else if (s->state == SESSION_OPEN && side_remote(&s->side[TARGET], &to) == 0)
		addr_print(&to, out->target);
}
