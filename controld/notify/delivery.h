/*
 * delivery - what is on its way to a webhook: the queue of each, the log of attempts, how far the change log was read.
 *
 * A queue is served by one who took it: the number of the taking stands in the row, and whoever writes must know it. So of
 * several controlds one sends, in order; one that dies with a queue holds it up until `held_until_ms`.
 *
 *   pending --2xx--> delivered          pending --the body is refused--> refused
 *      '--anything else: again later, the ones behind it wait
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_DELIVERY_H
#define PORTWAY_CONTROLD_NOTIFY_DELIVERY_H

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/notify/topic.h"
#include "controld/notify/webhook.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct delivery {
	char id[RAND_ID_SIZE];
	int64_t seq;
	char topic[TOPIC_SIZE];
	struct buf body;
	int64_t attempts; /* made already */
};

/* ---- the reader -------------------------------------------------------------------------------------------------- */
/* Makes the offset, at the end of the log, if there is none. */
int delivery_begin_reader(struct db *tx, struct err *e) MUST_CHECK;
int delivery_offset(struct db *db, int64_t *seq, struct err *e) MUST_CHECK;
/* 1; 0 when it is not at `from` any more: somebody else was first. */
int delivery_move_offset(struct db *tx, int64_t from, int64_t to, struct err *e) MUST_CHECK;

struct delivery_order { /* borrowed */
	const char *webhook_id, *tenant_id, *topic, *body;
	const char *subject; /* what it is about */
	int64_t seq, now_ms, waiting_max;
};
/* Queues one: 1; 0 when the webhook is gone, its queue is full (counted there), or it is queued already. */
int delivery_queue(struct db *tx, const struct delivery_order *o, struct err *e) MUST_CHECK;

/* ---- serving ----------------------------------------------------------------------------------------------------- */
struct delivery_hold {
	char webhook_id[RAND_ID_SIZE];
	char tenant_id[40]; /* whose it is; "": the platform's */
	int64_t take;
};
/* When a queue is due that nobody is at; 0: none is known. not_of: of other tenants than ",those,these,". */
int delivery_next_due(struct db *db, const char *not_of, int64_t *next_ms, struct err *e) MUST_CHECK;
struct delivery_turn {
	int64_t now_ms, until_ms; /* when it is, and how long the queue is held */
	const char *not_of;       /* as above; "," is nobody */
};
/* Takes the queue that is due longest: 1; 0 when none is. */
int delivery_take(struct db *tx, const struct delivery_turn *turn, struct delivery_hold *out, struct err *e) MUST_CHECK;
int delivery_release(struct db *tx, const struct delivery_hold *h, int64_t now_ms, struct err *e) MUST_CHECK;
/* At the start of the only controld: nobody is at any. */
int delivery_release_all(struct db *tx, struct err *e) MUST_CHECK;
/* Of a time of day that was set back: to now, and by how much; what would wait for longer than most_ms is due now. */
struct set_back {
	int64_t now_ms, by_ms, most_ms;
};
/* Queues wait for as long as they did before that. How many: or -1. */
int delivery_set_back(struct db *tx, const struct set_back *s, struct err *e) MUST_CHECK;
/* The first that waits; d->body is a buf that was made. 1, or 0 when none does. */
int delivery_head(struct db *db, const char *webhook_id, struct delivery *d, struct err *e) MUST_CHECK;

/* What came of an attempt. */
struct delivery_result {
	const struct delivery_hold *hold;
	const char *id;
	const char *state; /* "delivered", "refused"; "pending": again at due_ms */
	int64_t status, latency_ms, now_ms;
	int64_t due_ms;   /* nothing is sent before; 0: it may be at once */
	int64_t until_ms; /* how long the queue stays held */
	const char *error;
};
/* 1; 0 when somebody else has the queue by now, and nothing was written. */
int delivery_note(struct db *tx, const struct delivery_result *r, struct err *e) MUST_CHECK;
/* A test, which is no part of the queue. */
int delivery_note_test(struct db *tx, const struct webhook *w, const struct delivery *d,
	const struct delivery_result *r, struct err *e) MUST_CHECK;

/* ---- the log of them --------------------------------------------------------------------------------------------- */
/* The newest first, before that id; prints items. *more: there are others. last: the id of the last printed. */
int delivery_print_list(struct db *db, const char *webhook_id, const char *before, unsigned limit, struct buf *b,
	char last[RAND_ID_SIZE], bool *more, struct err *e) MUST_CHECK;
/* Deletes at most `limit` that ended before; *n gets how many. */
int delivery_prune(struct db *tx, int64_t before_ms, unsigned limit, unsigned *n, struct err *e) MUST_CHECK;

extern const struct sql_table delivery_sql;
struct erasure;
/* Texts that wait are blanked; after webhook_erasure. */
extern const struct erasure delivery_erasure;

#endif
