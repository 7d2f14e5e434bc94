/*
 * udp_session_inside - what the parts of a session share: udp_session.c (states, from the client, admission), udp_session_target.c
 * (the way to the target, and what it answers), udp_session_pass.c (limits, counting). For them alone; udp_session.h is for others.
 *
 * Owner: a session. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_UDP_SESSION_INSIDE_H
#define PORTWAY_RELAYD_DATAGRAM_UDP_SESSION_INSIDE_H

#include "relayd/datagram/udp_session.h"

struct udp_route;

/*
 *   NAME ---> OPEN ---> CLOSED       NAME: the target's name is being resolved
 *     +--------------------^
 */
enum udp_session_state { UDP_NAME, UDP_OPEN, UDP_CLOSED };

static inline const struct mapping_conf *udp_session_conf(const struct udp_session *s)
{
	return lane_conf(&s->lane->base);
}
static inline struct worker *udp_session_worker(const struct udp_session *s)
{
	return s->lane->base.worker;
}

/* ---- udp_session.c ------------------------------------------------------------------------------------------------ */
void udp_session_move(struct udp_session *s, enum udp_session_state to);
void udp_session_refuse(struct udp_session *s, enum meter_counter why); /* counts it, and is the end */
void udp_session_client_addrs(
	const struct udp_session *s, struct addr *from, struct addr *to); /* who asked, and where */
void udp_session_forward_waiting(struct udp_session *s);

/* ---- udp_session_target.c ----------------------------------------------------------------------------------------- */
void udp_session_find_target(struct udp_session *s);
void udp_session_start(struct udp_session *s, int fd); /* with a socket to the target; -1: there is none */
void udp_session_receive(struct udp_session *s);
void udp_session_on_target(struct io *io, uint32_t events);

/* ---- udp_session_pass.c ------------------------------------------------------------------------------------------- */
/* What limits let through, moved together at the front; the rest is counted as dropped. */
unsigned udp_session_pass(struct udp_session *s, enum gate_way way, struct iovec *d, unsigned n);
/* headers: bytes of PROXY headers in front of the first `headed` datagrams, which are not the client's. */
void udp_session_send(struct udp_session *s, enum gate_way way, struct udp_route *route, struct iovec *d, unsigned n,
	size_t header, unsigned headed);

#endif
