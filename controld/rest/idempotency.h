/*
 * idempotency - a POST that is repeated with the same Idempotency-Key is done once and answered twice.
 *
 * A key is claimed in the database before the handler runs and gets the answer afterwards, both kept for a day. A request
 * that was cut off in between (the process died) is never run again: its outcome is unknown, and the repeat says so.
 * Of the request its HMAC is kept, with a secret that is sealed: the database alone confirms no guess at what was in it.
 *
 * Thread: workers.
 */
#ifndef PORTWAY_CONTROLD_REST_IDEMPOTENCY_H
#define PORTWAY_CONTROLD_REST_IDEMPOTENCY_H

#include "common/base/macros.h"
#include "controld/store/store.h"

struct call;
struct err;
struct idempotency_claim;

extern const struct sql_table rest_sql[];
extern const size_t rest_sql_n;
struct sealed_column;
extern const struct sealed_column idempotency_sealed;

enum idempotency_result {
	IDEMPOTENCY_RUN,     /* run the handler; c->claim may be set */
	IDEMPOTENCY_STORED,  /* the stored answer is in c->rp */
	IDEMPOTENCY_REFUSED, /* *e says why */
};

/* store may be NULL: then nothing is remembered. */
enum idempotency_result idempotency_begin(struct store *store, struct call *c, struct err *e) MUST_CHECK;
/* The answer is made: keeps it if it is final, else gives the key back. Frees c->claim. */
void idempotency_end(struct store *store, struct call *c);

#endif
