/*
 * session_inside - what the parts of a session share: session.c (states, time, bytes), session_target.c (the way to the
 * target), session_socks.c, session_udp.c, session_visit.c, session_end.c. For them alone; session.h is for others.
 *
 * Owner: a session. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_STREAM_SESSION_INSIDE_H
#define PORTWAY_RELAYD_STREAM_SESSION_INSIDE_H

#include "common/net/addr.h"
#include "common/uv/flow.h"
#include "common/uv/side.h"
#include "common/uv/worker.h"
#include "relayd/limit/gate.h"
#include "relayd/stream/dial.h"
#include "relayd/stream/session_end.h"
#include "relayd/stream/socks.h"
#include "relayd/stream/tcp_lane.h"
#include "relayd/tunnel/agents.h"

#define SESSION_FDS 2 /* with a target that an agent dials, one is given back */

/*
 *     +----------------------------> UDP
 *   HEADER ---> NAME ---> DIAL ---> OPEN |
 *     |          |         |         |   |
 *     +----------+---------+---------+---+--> CLOSED
 *
 * HEADER: a PROXY header must come first. NAME: the target's name is being resolved, or a link of the agent that dials it
 * is awaited. DIAL: connecting to one of its addresses, or an agent is, and another one could be asked. OPEN: bytes flow,
 * each way by itself (flow.h). The first states are passed through when there is nothing to wait for; a stream to the only
 * agent is OPEN at once, and what comes before that has reached the target waits there. UDP: the connection says nothing
 * more, and as long as it is there its client sends datagrams (session_udp.h).
 */
enum session_state { SESSION_HEADER, SESSION_NAME, SESSION_DIAL, SESSION_OPEN, SESSION_UDP, SESSION_CLOSED };

enum { CLIENT, TARGET };

struct proxied {
	struct addr from, to; /* as the load balancer in front told */
};

struct session {
	int state;
	bool probing; /* keepalive is set */
	uint8_t fds;  /* taken from the budget, for its mapping */
	struct tcp_lane *lane;
	struct side side[2]; /* CLIENT, TARGET */
	struct flow flow[2]; /* enum gate_way */
	uint64_t active_ns;  /* of the last byte either way */
	uint64_t dialled_ns; /* when the target began to be; 0: not yet, or it has been reached */
	struct timer timer;
	struct task task; /* another turn; the wait for a name; the burial */
	struct list link;
	struct gate_pass pass;
	struct client_gate *client[2]; /* entered: the source's, the target's; NULL: none */
	uint16_t target_code;          /* why the target's agent ended its stream; 0: it did not */
	struct proxied *proxied;       /* NULL: the client is who connected */
	struct socks *socks;           /* NULL: not a SOCKS5 mapping */
	struct session_udp *udp;       /* NULL: no datagrams */
	struct dial dial;
	struct agents_tried tried;
	uint64_t id, opened_ns;
};

static inline const struct mapping_conf *session_conf(const struct session *s)
{
	return lane_conf(&s->lane->base);
}
static inline struct worker *session_worker(const struct session *s)
{
	return s->lane->base.worker;
}
static inline void session_count(const struct tcp_lane *l, enum meter_counter c)
{
	meter_add(&tcp_lane_gate(l)->slot, l->base.worker->index, c, 1);
}

/* ---- session.c ---------------------------------------------------------------------------------------------------- */
void session_move(struct session *s, enum session_state to);
/* NULL: out of memory. fd: the client's socket, or -1. */
struct session *session_new(struct tcp_lane *l, int fd, uint16_t target_port);
void session_set_timer(struct session *s);
void session_pump(struct session *s); /* what there is to pass on, both ways */
void session_on_open_event(struct session *s, uint32_t events);
int session_client_addrs(const struct session *s, struct addr *from, struct addr *to); /* who connected, and where to */
void session_leave_header(struct session *s);                                          /* it is known who connected */

/* ---- session_target.c --------------------------------------------------------------------------------------------- */
void session_target_begin(struct session *s);         /* it is known where to */
void session_target_find(struct session *s);          /* again, when the name is known, or an agent's link is there */
void session_target_dial(struct session *s);          /* the next of its addresses, or the end */
bool session_target_enter_clients(struct session *s); /* counted as a connection of theirs; false: they have enough */
void session_target_leave_agent(struct session *s); /* it did not reach the target: the next one, if there may be one */
void session_target_on_event(struct io *io, uint32_t events);

/* ---- session_socks.c ---------------------------------------------------------------------------------------------- */
/* The client says who he is and where to; then the way is that of any session. */
void session_socks_talk(struct session *s);
/* An answer instead of a reset, while the client waits for one. */
bool session_socks_farewell(struct session *s, enum session_end why);

#endif
