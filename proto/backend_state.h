/*
 * backend_state - how the backends of pools are at a relay, in its reports.
 *
 * Told are those that are not simply up, and those that changed within the last minute. The list is complete each time it is told,
 * so a lost message costs nothing: of a pool that the relay has, a backend that is not in it is up. It is cut at
 * BACKEND_STATES_MAX, and `more` says how many did not fit.
 */
#ifndef PORTWAY_PROTO_BACKEND_STATE_H
#define PORTWAY_PROTO_BACKEND_STATE_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct cursor;

#define BACKEND_STATES_MAX  1024
#define BACKEND_REASON_SIZE 160
#define POOL_PANICS_MAX     256

enum backend_state_kind {
	BACKEND_HEALTHY = 1,
	BACKEND_UNHEALTHY = 2, /* its checks say so */
	BACKEND_EJECTED = 3,   /* its answers say so */
	BACKEND_UNKNOWN = 4,   /* no check has ended yet, or there is none */
};

struct backend_state {
	char pool[PROTO_ID_SIZE];
	char backend[PROTO_ID_SIZE];
	uint8_t state;                    /* enum backend_state_kind */
	uint32_t flaps;                   /* changes since this relay has it */
	int64_t since_ms;                 /* wall clock */
	char reason[BACKEND_REASON_SIZE]; /* of the last change */
};

/* A pool of which too little is up: health is not believed, everybody with weight gets requests. */
struct pool_panic {
	char pool[PROTO_ID_SIZE];
	int64_t since_ms;
};

struct backend_states {
	bool told; /* false: nothing is said, and nothing changes */
	uint32_t n, more;
	struct backend_state *items; /* malloc'ed by the decoder */
	uint32_t n_panics;
	struct pool_panic *panics; /* malloc'ed by the decoder */
};

void backend_states_put(struct buf *b, const struct backend_states *s);
void backend_states_get(struct cursor *c, struct backend_states *s); /* fails the cursor and leaves *s empty */
void backend_states_fini(struct backend_states *s);

#endif
