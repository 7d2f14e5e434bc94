/*
 * peer_msg - what controlds on one database tell each other about relays: encoder beside decoder, bytes in, bytes out.
 *
 *	u8 type, u8 version, then by type
 *	HELLO, BYE    nothing: "tell me all that you have", "I am leaving"
 *	STATES        list of: id node, bool online, blob node_state (proto/)     of relays that are at the sender
 *	HEARD         list of: id node                                           that spoke to the sender and are elsewhere
 *	ASK           ask (proto/), list of id node                              whoever has one of them may ask it
 *	ANSWER        id node, blob MSG_ANSWER (proto/)                          to whoever asked
 *	CLIENTS       id node, blob client_states (proto/)                       of agents at a relay that is at the sender
 *	LOADS         list of: id node, str address, u64 seen_ms, load (proto/)  of relays that report to the sender
 *
 * Types and integers are those of proto/README.md. Unknown types and versions are of a newer controld, and skipped.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_PEER_MSG_H
#define PORTWAY_CONTROLD_FLEET_LINE_PEER_MSG_H

#include "common/base/cursor.h"
#include "common/base/macros.h"
#include "common/net/addr.h"
#include "proto/ask.h"
#include "proto/msg.h"
#include "proto/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define PEER_MSG_VERSION  1
#define PEER_MSG_LIST_MAX 65536

enum peer_msg_type {
	PEER_HELLO = 1,
	PEER_BYE,
	PEER_STATES,
	PEER_HEARD,
	PEER_ASK,
	PEER_ANSWER,
	PEER_CLIENTS,
	PEER_LOADS
};

/* Lists are begun, filled and ended; the count is put in at the end. */
void peer_msg_begin(struct buf *b, enum peer_msg_type type);
void peer_msg_list_begin(struct buf *b, size_t *count_at);
void peer_msg_list_end(struct buf *b, size_t count_at, uint32_t n);
void peer_msg_state(struct buf *b, const char *node, bool online, const void *state, size_t n);
void peer_msg_id(struct buf *b, const char *node);
void peer_msg_ask(struct buf *b, const struct ask *a); /* then the list of ids */
void peer_msg_of(
	struct buf *b, enum peer_msg_type type, const char *node, const void *p, size_t n); /* ANSWER, CLIENTS */

struct peer_state {
	char node[PROTO_ID_SIZE];
	bool online;
	const uint8_t *state; /* borrowed */
	size_t n;
};

struct peer_load {
	char node[PROTO_ID_SIZE];
	char address[ADDR_STRLEN]; /* that it polls from; "": not known */
	uint64_t seen_ms;          /* wall clock of the sender */
	struct node_load load;
};
void peer_msg_load(struct buf *b, const struct peer_load *l);

/* What was decoded; bytes are borrowed from the message. */
struct peer_msg {
	enum peer_msg_type type;
	struct cursor rows; /* STATES, HEARD, ASK, LOADS */
	struct ask ask;
	struct peer_state of; /* ANSWER, CLIENTS: node and bytes, which are not looked into */
};

/* All of it is sound, or -1; skipped types are -1, too. */
int peer_msg_decode(struct peer_msg *m, const void *p, size_t n) MUST_CHECK;
bool peer_msg_next_state(struct cursor *rows, struct peer_state *out);
bool peer_msg_next_load(struct cursor *rows, struct peer_load *out);
bool peer_msg_next_id(struct cursor *rows, char node[PROTO_ID_SIZE]);

#endif
