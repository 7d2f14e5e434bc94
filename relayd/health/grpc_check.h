/*
 * grpc_check - a call of grpc.health.v1.Health/Check over HTTP/2: bytes out, bytes in.
 *
 * One connection, one stream, one unary call: the frames that it takes are written and read here, and no header of the answer is looked
 * at. What decides is the message: SERVING, or a stream that ends without one. So a check needs no HPACK decoder.
 *
 * Owner:  whoever asks; grpc_check_fini() at any time. No socket, no clock.
 * Limit:  frames of 16 KiB, which is all that a peer may send who was not told otherwise; 1 KiB of message.
 */
#ifndef PORTWAY_RELAYD_HEALTH_GRPC_CHECK_H
#define PORTWAY_RELAYD_HEALTH_GRPC_CHECK_H

#include "common/base/buf.h"

#define GRPC_CHECK_MESSAGE 1024

enum grpc_check_says { GRPC_CHECK_MORE, GRPC_CHECK_GOOD, GRPC_CHECK_BAD };

struct grpc_check {
	struct buf in;      /* of a frame that is not whole */
	struct buf message; /* of the answer, with its five bytes in front */
	struct buf out;     /* what has to be sent: the caller takes it from the front */
	char why[128];      /* it is bad */
};

/* service: "" for the server as a whole. tls: which scheme it is. */
void grpc_check_init(struct grpc_check *c, const char *authority, const char *service, bool tls);
void grpc_check_fini(struct grpc_check *c); /* also of a zeroed one */
/* Bytes of the server; c->out may have got more. */
enum grpc_check_says grpc_check_feed(struct grpc_check *c, const void *p, size_t n) MUST_CHECK;
/* The connection ended. */
enum grpc_check_says grpc_check_eof(struct grpc_check *c) MUST_CHECK;

#endif
