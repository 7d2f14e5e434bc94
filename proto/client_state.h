/*
 * client_state - the agents that a relay has links with, in its reports.
 *
 * The lists are complete each time they are told, so a lost message costs nothing. What is longer than CLIENT_STATES_MAX
 * entries or CLIENT_STATES_BYTES comes in several messages, one after the other, and counts once the last one is there: a
 * part that is missing leaves what was told before. Of more than CLIENT_STATES_ALL `more` says how many were left out. A
 * report that does not tell changes nothing. The same holds for the targets that agents have trouble with.
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
#define CLIENT_STATES_ALL   65536 /* of all parts */
#define CLIENT_TROUBLES_MAX 256
#define CLIENT_TROUBLES_ALL 16384 /* of all parts */
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

enum client_trouble_kind {
	CLIENT_TROUBLE_DOWN = 1,  /* the agent checks it, and says so */
	CLIENT_TROUBLE_DOUBT = 2, /* connections failed lately: others are asked first */
};

/* An agent and the target of a mapping. */
struct client_trouble {
	uint8_t kind; /* enum client_trouble_kind */
	char client[PROTO_ID_SIZE];
	char instance[PROTO_ID_SIZE];
	char mapping[PROTO_ID_SIZE];
	char reason[CLIENT_REASON_SIZE];
};

struct client_states {
	bool told;
	bool goes_on;  /* another part follows */
	uint32_t part; /* from 0 */
	uint32_t n;
	uint32_t more;              /* that are in no part; as more_troubles */
	struct client_state *items; /* malloc'ed by the decoder */
	uint32_t n_troubles, more_troubles;
	struct client_trouble *troubles; /* malloc'ed by the decoder */
};

void client_states_put(struct buf *b, const struct client_states *s);
void client_states_get(struct cursor *c, struct client_states *s); /* fails the cursor and leaves *s empty */
void client_states_fini(struct client_states *s);

/* ---- in parts ----------------------------------------------------------------------------------------------------- */
/* A copy of both lists. -1: out of memory, and *to is empty. */
int client_states_copy(struct client_states *to, const struct client_states *from) MUST_CHECK;
struct client_states_at {
	uint32_t item, trouble, part;
};
/* The next part of them, borrowed; false: there are no more. A zeroed *at begins. */
bool client_states_next(const struct client_states *all, struct client_states_at *at, struct client_states *out);

/* What has come of a list in parts; a zeroed one is ready. */
struct client_states_pile {
	struct client_states all;
	uint32_t next; /* part */
};
/* 1: pile->all is complete; 0: parts are missing; -1: out of memory. */
int client_states_gather(struct client_states_pile *pile, const struct client_states *part) MUST_CHECK;
void client_states_pile_fini(struct client_states_pile *pile);

#endif
