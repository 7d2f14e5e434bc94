/*
 * poll - MSG_POLL, relay -> controld on the poll line: "I have revision V"; parked until there is something newer.
 */
#ifndef PORTWAY_PROTO_POLL_H
#define PORTWAY_PROTO_POLL_H

#include "proto/msg.h"
#include "proto/node_state.h"

struct msg_poll {
	struct proto_revision have; /* applied; a poll with V acknowledges everything up to V */
	uint64_t page_token;        /* 0, or the next page of a snapshot that is being fetched */
	struct node_state state;
};

void msg_poll_encode(const struct msg_poll *m, struct buf *b);
int msg_poll_decode(struct msg_poll *m, const void *p, size_t n) MUST_CHECK;
void msg_poll_fini(struct msg_poll *m);

#endif
