#include "relayd/stream/session_end.h"

#include "common/base/err.h"
#include "common/tunnel/stream_side.h"
#include "common/uv/fd_budget.h"
#include "relayd/stream/session.h"
#include "relayd/stream/session_inside.h"
#include "relayd/stream/session_udp.h"
#include "relayd/tunnel/client_gate.h"

#include <stdlib.h>

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
	[END_LOGIN] = { true, METER_refused_login, FAREWELL_NONE, ERR_AUTHENTICATION_FAILED,
		"no login, or a wrong one" },
	[END_DESTINATION] = { true, METER_refused_destination, FAREWELL_NONE, ERR_DENIED_TARGET,
		"the mapping does not lead there" },
	[END_SHUT] = { true, METER_refused_destination, FAREWELL_UNREACHABLE, ERR_DENIED_TARGET,
		"the config of the target's client does not let the port through" },
	[END_PROTOCOL] = { true, METER_refused_protocol, FAREWELL_NONE, ERR_PROTOCOL, "not what SOCKS5 says" },
	[END_TARGET] = { true, METER_refused_dial, FAREWELL_UNREACHABLE, ERR_UNAVAILABLE,
		"the target's agent is not connected to this relay" },
	[END_RESOURCE] = { true, METER_refused_resource, FAREWELL_BUSY, ERR_OVERLOADED,
		"the relay has no memory or descriptor left" },
	[END_CROWDED] = { true, METER_refused_limit, FAREWELL_BUSY, ERR_OVERLOADED, "a client has enough connections" },
	[END_DOWN] = { true, METER_refused_down, FAREWELL_UNREACHABLE, ERR_UNAVAILABLE,
		"no agent of the target has reached it" },
	[END_QUOTA] = { true, METER_refused_quota, FAREWELL_BUSY, ERR_QUOTA_EXCEEDED, "the owner's quota is used up" },
};

const char *session_end_reason(enum session_end why)
{
	return ends[why].reason;
}

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
	io_del(session_worker(s), client);
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

/* Any number of times; the first reason wins. The memory lives until the end of the round. */
void session_close(struct session *s, enum session_end why)
{
	struct tcp_lane *l = s->lane;
	bool has_words;

	if (s->state == SESSION_CLOSED)
		return;
	session_move(s, SESSION_CLOSED);
	if (ends[why].counter >= 0) /* before anybody can see the end */
		session_count(l, (enum meter_counter)ends[why].counter);
	gate_leave(tcp_lane_gate(l), session_worker(s)->index, session_worker(s)->now_ns, &s->pass);
	say_farewell(s, ends[why].farewell);
	if (s->tried.n > 0)
		l->mean_bytes = (3 * l->mean_bytes + s->flow[GATE_IN].bytes + s->flow[GATE_OUT].bytes) / 4;
	has_words = session_socks_farewell(s, why);
	if (!has_words)
		tell_visitor(s, why);
	for (unsigned i = 0; i < 2; i++) {
		side_close(&s->side[i], ends[why].reset && !(i == CLIENT && has_words));
		flow_fini(&s->flow[i], &l->way[i]);
		if (s->client[i] != NULL)
			client_gate_leave(s->client[i]);
		client_gate_unref(s->client[i]);
	}
	worker_give_fds_of(session_worker(s), &tcp_lane_gate(l)->fds, s->fds);
	wheel_disarm(&s->timer);
	dial_fini(&s->dial);
	free(s->proxied);
	socks_free(s->socks);
	session_udp_free(s->udp);
	list_remove(&s->link);
	s->task.run = on_buried;
	worker_bury(session_worker(s), &s->task);
}

void session_cut(struct session *s)
{
	session_close(s, END_CUT);
}
