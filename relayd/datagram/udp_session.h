/*
 * udp_session - one client of a UDP port and its socket to the target.
 *
 * Owner:  its lane (in by_client and sessions). Thread: the worker's.
 * Ends:   udp_session_close(): silence, cut, or when its place is needed; sockets at once, memory at the end of the round.
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_UDP_SESSION_H
#define PORTWAY_RELAYD_DATAGRAM_UDP_SESSION_H

#include "common/net/proxy_protocol.h"
#include "relayd/datagram/udp_lane.h"
#include "relayd/datagram/udp_waiting.h"
#include "relayd/tunnel/agents.h"

#include <sys/uio.h>

/* A client as the socket sees it, and what it asked: an answer from another address of ours would not be its own. */
struct udp_key {
	uint8_t ip[16];    /* IPv4 as mapped IPv6 */
	uint8_t local[16]; /* all zero on a socket of one address */
	uint32_t scope;
	uint16_t port;
	uint16_t offset; /* of the port in the mapping's range */
};

struct udp_session {
	int state;
	struct io io;          /* connected to the target */
	struct stream *stream; /* or to the agent that has the socket; NULL: none */
	struct udp_lane *lane;
	struct udp_door *door;  /* NULL: */
	struct stream *visitor; /* its client is at its own agent (udp_visit.h) */
	struct list link;       /* in lane.sessions */
	struct udp_key key;
	struct addr from; /* where answers go */
	struct udp_local local;
	struct addr *
		proxied; /* client and port as a load balancer in front told them, or of a visitor; NULL: as they are */
	struct gate_pass pass;
	struct client_gate *client[2]; /* entered: the target's, the source's; NULL: none */
	struct agents_tried tried;
	struct task task;
	uint64_t active_ns;
	uint64_t bytes[2]; /* enum gate_way */
	bool introduced;   /* a PROXY header was sent */
	bool adopted;      /* of a predecessor */
	bool moved;        /* a successor was given it; whether it came up is not known here */
	bool segments[2];  /* the kernel may be asked for them */
	uint64_t id;
	int64_t opened_ms; /* wall clock */

	/* of the batch under way */
	struct list turn;
	uint8_t first, last;

	struct udp_shelf waiting; /* until the target is known */
};

void udp_session_key(struct udp_key *k, const struct addr *from, const struct udp_local *local, uint16_t offset);
/* Somebody who has no session yet. */
struct udp_arrival {
	const struct addr *from; /* as the socket tells it */
	struct udp_local local;
	const struct proxy_header *header; /* what a load balancer in front said; NULL: nothing */
	int fd;                            /* its socket to the target, from a predecessor; -1: none yet */
};
/* For udp_visit.c: of a client that came in as a stream (owner: the session, from now on) from one address of its agent to another
 * of ours. NULL: refused, and counted why. */
struct udp_session *udp_session_new_visit(
	struct udp_lane *l, const struct addr *from, const struct addr *at, uint16_t offset);
void udp_session_begin_visit(struct udp_session *s, struct stream *visitor);
/* NULL: refused, and counted why. Takes the descriptor in any case. */
struct udp_session *udp_session_open(struct udp_door *door, const struct udp_arrival *who);
void udp_session_close(struct udp_session *s);

/* Sends n datagrams of the client to the target, as far as limits and the kernel let them. */
void udp_session_forward(struct udp_session *s, struct iovec *datagrams, unsigned n);
void udp_session_info(const struct udp_session *s, struct conn_info *out);

#endif
