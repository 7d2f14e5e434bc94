/*
 * node_state - how a relay stands: the revision it runs and the objects that cannot work, each with its reason.
 *
 * Part of poll and report. The list is complete each time (so a lost message costs nothing), cut at NODE_REFUSALS_MAX;
 * `more` says how many did not fit.
 */
#ifndef PORTWAY_PROTO_NODE_STATE_H
#define PORTWAY_PROTO_NODE_STATE_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stddef.h>
#include <stdint.h>

#define NODE_REFUSALS_MAX 2048
#define NODE_REASON_SIZE  160

struct node_refusal {
	uint8_t kind; /* enum object_kind */
	char id[PROTO_ID_SIZE];
	uint64_t seq;                  /* of the object that was refused */
	uint16_t code;                 /* enum err_code */
	char reason[NODE_REASON_SIZE]; /* "address already in use: 0.0.0.0:8080" */
};

struct node_state {
	struct proto_revision applied;
	uint64_t serial; /* rises with every change of the list; an older state never replaces a newer one */
	uint32_t n;
	uint32_t more;
	struct node_refusal *refusals; /* malloc'ed by the decoder */
};

void node_state_put(struct buf *b, const struct node_state *s);
void node_state_get(struct cursor *c, struct node_state *s); /* fails the cursor and leaves *s empty */
void node_state_fini(struct node_state *s);

#endif
