/*
 * ask - something controld wants from one relay now: list connections, cut one, renew the certificate.
 *
 * Asks travel in updates; the answer comes as MSG_ANSWER on the report line. An ask is given again until it is
 * answered or its deadline at controld passed, so a relay answers one id twice rather than never.
 */
#ifndef PORTWAY_PROTO_ASK_H
#define PORTWAY_PROTO_ASK_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stdint.h>

#define ASKS_MAX 16 /* in one update */

enum ask_kind {
	ASK_CONNECTIONS = 1, /* list live connections; object: mapping id or "" for all */
	ASK_CUT = 2,         /* end one connection; conn */
	ASK_RENEW = 3,       /* get a new certificate now */
};

struct ask {
	uint64_t id;
	uint8_t kind;
	char object[PROTO_ID_SIZE];
	uint64_t conn;
	uint32_t limit; /* list: at most this many */
};

struct cursor;
struct buf;
void ask_put(struct buf *b, const struct ask *a);
void ask_get(struct cursor *c, struct ask *a);

#endif
