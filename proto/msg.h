/*
 * msg - what every message of the contract controld <-> relayd has in common.
 *
 * A message is one nng message: u8 type, u8 version (PROTO_VERSION), then the fields of its type, big-endian; strings
 * are u16 length + UTF-8 bytes without NUL. A decoder uses every byte or refuses. Types are never reused.
 * A relay holds two REQ sockets: the poll line (poll -> update) and the report line (join, renew, report, answer).
 */
#ifndef PORTWAY_PROTO_MSG_H
#define PORTWAY_PROTO_MSG_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct cursor;

#define PROTO_VERSION  3
#define PROTO_MSG_MAX  (1024 * 1024) /* bytes; a sender keeps to it, a receiver refuses more */
#define PROTO_JOIN_MAX 4096          /* bytes; all that a peer without a certificate may send */

enum msg_type {
	MSG_POLL = 1,       /* relay: I have revision V */
	MSG_UPDATE = 2,     /* controld: the reply */
	MSG_REPORT = 3,     /* relay: counters, load, state */
	MSG_REPORT_ACK = 4, /* controld: stored up to here */
	MSG_JOIN = 5,       /* relay without a certificate: token and certificate request */
	MSG_JOINED = 6,     /* controld: certificate; also the reply to renew */
	MSG_RENEW = 7,      /* relay: a new certificate, please */
	MSG_ANSWER = 8,     /* relay: answers an ask of an update */
	MSG_ANSWER_ACK = 9,
	MSG_REFUSED = 10, /* controld: reply to anything it will not do */
	MSG_SPEND = 11,   /* relay: this much of these quotas is spent; more, please */
	MSG_GRANT = 12,   /* controld: up to here */
};

#define PROTO_ID_SIZE     40 /* object, node, boot ids with NUL */
#define PROTO_NAME_SIZE   64 /* node names with NUL */
#define PROTO_LOG_ID_SIZE 16

/* A revision: which log, how far. A relay with no snapshot has an all-zero log id and seq 0. */
struct proto_revision {
	uint8_t log_id[PROTO_LOG_ID_SIZE];
	uint64_t seq;
};

void msg_begin(struct buf *b, enum msg_type type);
/* Type of a message whose header is sound, or 0. */
unsigned msg_type_of(const void *p, size_t n);
/* Skips a header that must be of this type; otherwise the cursor fails. */
void msg_open(struct cursor *c, enum msg_type type);
void msg_put_revision(struct buf *b, const struct proto_revision *r);
void msg_get_revision(struct cursor *c, struct proto_revision *r);
/* One byte between min and max, or the cursor fails and the answer is 0. */
uint8_t msg_get_enum(struct cursor *c, uint8_t min, uint8_t max);
/* 0 or 1, nothing else: a value has one encoding only. */
bool msg_get_bool(struct cursor *c);
/* A string that may not be empty. */
void msg_get_id(struct cursor *c, char dst[PROTO_ID_SIZE]);

#endif
