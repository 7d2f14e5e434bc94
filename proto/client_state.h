/*
 * client_state - the agents that a relay has links with, in its reports.
 *
 * The list is complete each time it is told, so a lost message costs nothing; it is cut at CLIENT_STATES_MAX entries or
 * CLIENT_STATES_BYTES, and `more` says how many did not fit. A report that does not tell changes nothing. The same holds for
 * the targets that agents say are down.
 */
#ifndef PORTWAY_PROTO_CLIENT_STATE_H
#define PORTWAY_PROTO_CLIENT_STATE_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct cursor;

#define CLIENT_STATES_MAX   4096
#define CLIENT_STATES_BYTES (440 * 1024)
#define CLIENT_VERSION_SIZE 32
#define CLIENT_TROUBLES_MAX 256
#define CLIENT_REASON_SIZE  160

enum client_state_kind {
	CLIENT_STATE_ONLINE = 1,
	CLIENT_STATE_ERROR = 2, /* it is there and cannot serve: refused, overdue, of a version that does not fit */
};

struct client_state {
	char client[PROTO_ID_SIZE];
	char instance[PROTO_ID_SIZE];
	char remote[ADDR_STRLEN];
	char version[CLIENT_VERSION_SIZE];
	uint8_t state; /* enum client_state_kind */
	uint32_t links;
	int64_t since_ms; /* wall clock */
};

/* The target of a mapping is down at an agent. */
struct client_trouble {
	char client[PROTO_ID_SIZE];
	char instance[PROTO_ID_SIZE];
	char mapping[PROTO_ID_SIZE];
	char reason[CLIENT_REASON_SIZE];
};

struct client_states {
	bool told;
	uint32_t n;
	uint32_t more;
	struct client_state *items; /* malloc'ed by the decoder */
	uint32_t n_troubles, more_troubles;
	struct client_trouble *troubles; /* malloc'ed by the decoder */
};

void client_states_put(struct buf *b, const struct client_states *s);
void client_states_get(struct cursor *c, struct client_states *s); /* fails the cursor and leaves *s empty */
void client_states_fini(struct client_states *s);

#endif
