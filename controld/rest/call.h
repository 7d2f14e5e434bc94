/*
 * call - one request on its way through the house: what came in, what goes out, and where it is.
 *
 * The inside of struct request and struct reply for the files of this folder; handlers know route.h only. A call is made
 * on the loop thread, belongs to a worker while it runs or to the parks while it waits, and comes back to the loop to be
 * answered and freed. The client may vanish meanwhile: then `conn` is NULL and the answer is dropped.
 */
#ifndef PORTWAY_CONTROLD_REST_CALL_H
#define PORTWAY_CONTROLD_REST_CALL_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/net/addr.h"
#include "controld/identity/identity.h"
#include "controld/loop/loop.h"
#include "controld/loop/pool.h"
#include "controld/rest/conn.h"
#include "controld/rest/park.h"
#include "controld/rest/query.h"
#include "controld/rest/route.h"
#include "controld/rest/router.h"
#include "controld/rest/server.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define CALL_REPLY_MAX  (64u << 20) /* bytes of a rendered answer */
#define REQUEST_ID_SIZE 72

struct dispatch;
struct idempotency_claim;
struct stream_ops;

struct request {
	struct conn_input in; /* target is cut up: path segments, then the query */
	char id[REQUEST_ID_SIZE];
	char path[128]; /* for the log, cut */
	struct addr peer;
	struct router_match match;
	struct query_args args;
	json_t *body; /* NULL until it was parsed */
	bool has_identity;
	struct identity identity;
	struct err_list *errors;
};

/* What a parked answer waits for: park.h. */
struct reply_park {
	const char *key; /* copied; NULL: not parked */
	char key_space[96];
	uint64_t ticket;
	uint64_t wait_ms;
	park_fn finish;
	void *state;
	void (*free_state)(void *);
};

struct reply {
	int status; /* 0: nothing said yet */
	char content_type[64];
	struct evkeyvalq headers;
	struct buf body;
	struct reply_park park;
	const struct stream_ops *stream; /* not NULL: what comes behind the head is written by stream.h */
	void *stream_state;
};

/* A call among those that wait; parks.c alone looks into it. */
struct parked {
	struct list by_key;
	struct list by_time;
	uint64_t hash;
	uint64_t until_ms;
};

struct call {
	struct dispatch *dispatch;
	const struct server_conf *conf;
	struct server_rate rate;   /* of its identity, as it was when the call came: conf may change on the loop */
	uint64_t row_rate_percent; /* the same of rows */
	struct conn *conn;         /* loop thread only; NULL: nobody waits any more */
	struct request rq;
	struct reply rp;
	const struct router_entry *entry; /* NULL: no route took it */
	struct pool_job job;
	struct loop_task done;
	struct parked parked;
	uint64_t start_ns;
	struct idempotency_claim *claim;
	bool outcome_unknown;   /* of what it changed */
	struct err_list errors; /* last: only its counters are cleared when a call is made */
};

/* A session of the database ended within a read: nothing was done; it has another, or says at once that it is away. */
static inline bool call_lost_its_session(const struct err *e)
{
	return e->code == ERR_UNAVAILABLE;
}

/* request.c */
void request_fini(struct request *rq);
/* reply.c */
/* body: memory to be used again, or a zeroed buf. */
void reply_init(struct reply *rp, struct buf body);
/* Keeps the body's memory: buf_free(), or the next reply_init(). */
void reply_fini(struct reply *rp);
/* Forgets what was said; headers stay. */
void reply_restart(struct reply *rp);
/* When the handler is done: a body that did not fit becomes an error. */
void reply_check(struct reply *rp);
/* The error envelope in place of whatever was said; headers stay. n >= 1. */
void reply_fail(struct call *c, const struct err *items, size_t n, size_t dropped);
const char *reply_header_get(const struct reply *rp, const char *name); /* or NULL */
/* Retry-After, at least a second. */
void reply_retry_after(struct reply *rp, uint64_t ms);

#endif
