/*
 * answer - MSG_ANSWER, relay -> controld: what an ask brought. MSG_ANSWER_ACK is the empty reply.
 */
#ifndef PORTWAY_PROTO_ANSWER_H
#define PORTWAY_PROTO_ANSWER_H

#include "common/net/addr.h"
#include "proto/msg.h"

#include <stdbool.h>

#define ANSWER_CONNS_MAX 4096 /* in one message */

/* One live TCP connection or UDP session. Bytes as seen from the tunnel port. */
struct conn_info {
	uint64_t id; /* unique within the relay's boot */
	char mapping[PROTO_ID_SIZE];
	uint8_t protocol;         /* enum mapping_protocol */
	char remote[ADDR_STRLEN]; /* the client */
	char local[ADDR_STRLEN];  /* the tunnel port */
	char target[ADDR_STRLEN];
	uint64_t bytes_in, bytes_out;
	int64_t opened_ms; /* wall clock */
};

struct msg_answer {
	uint64_t ask;
	uint16_t code;  /* enum err_code; ERR_NONE: done */
	bool truncated; /* list: there are more */
	uint32_t n;
	struct conn_info *conns; /* malloc'ed by the decoder */
};

void msg_answer_encode(const struct msg_answer *m, struct buf *b);
int msg_answer_decode(struct msg_answer *m, const void *p, size_t n) MUST_CHECK;
void msg_answer_fini(struct msg_answer *m);
void msg_answer_ack_encode(struct buf *b);
int msg_answer_ack_decode(const void *p, size_t n) MUST_CHECK;

#endif
