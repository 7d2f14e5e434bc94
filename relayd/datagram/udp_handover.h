/*
 * udp_handover - sessions of a UDP port on their way to a successor: the descriptor, and a record beside it.
 *
 * The record is big-endian and has a version, as the two processes need not be of one build. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_UDP_HANDOVER_H
#define PORTWAY_RELAYD_DATAGRAM_UDP_HANDOVER_H

#include "common/uv/udp_batch.h"
#include "relayd/loop/service.h"

struct buf;
struct udp_door;
struct udp_session;

struct udp_record {
	struct addr from; /* as the port's socket sees the client */
	struct udp_local local;
	bool proxied;
	struct addr client, port; /* as a load balancer told them */
	uint8_t heard;            /* 2: for an older successor, that it may be answered; nothing here reads it */
	bool introduced;
};

void udp_record_encode(const struct udp_record *r, struct buf *b);
int udp_record_decode(struct udp_record *r, const void *p, size_t n) MUST_CHECK;

/* What fn answered; 0 for a session that has no descriptor yet. */
int udp_handover_session(struct udp_session *s, handover_fn fn, void *arg);
/* Takes the descriptor in any case; a record of another version is dropped: its client begins anew. */
void udp_handover_adopt(struct udp_door *door, const struct handover_socket *socket);

#endif
