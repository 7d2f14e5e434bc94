/*
 * changes - the change log: one row per object touched, in the transaction that touched it. The spine of controld.
 *
 * What follows from a change (relay configuration, audit, events, the other controlds) reads this log; no feature calls
 * a notifier. Sequence order is commit order. A reader keeps its own offset and takes whole transactions.
 *
 * Thread: any. The reader's wake-up comes on the store's writer thread after the commit, or on the watch's (watch.h) after
 * another controld's, and must only post.
 */
#ifndef PORTWAY_CONTROLD_STORE_CHANGES_H
#define PORTWAY_CONTROLD_STORE_CHANGES_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;
struct sql_table;
struct store;

#define CHANGES_LOG_ID_SIZE 16
#define CHANGES_OBJECT_MAX  8192 /* bytes of JSON kept; a longer object is logged as {} with `cut` in fields */

struct change {
	int64_t seq;        /* reading only */
	int64_t tx;         /* reading only: seq of the transaction's first row */
	int64_t time_ms;    /* 0 when appending: now */
	const char *tenant; /* tenant id; "" for what belongs to none */
	const char *actor;  /* user id, "system", "node:<id>" */
	const char *request_id;
	const char *kind;    /* "mapping", "user", "login" */
	const char *op;      /* "create", "update", "delete", or an audit verb: "login_failed" */
	const char *subject; /* object id */
	const char *fields;  /* names of the changed fields, comma-separated */
	const char *object;  /* as the API prints it (JSON text), without secrets; may be NULL */
};

/* Appends; only inside a STORE_LOGGED transaction. *seq (may be NULL) gets the number. */
int changes_append(struct db *tx, const struct change *c, int64_t *seq, struct err *e) MUST_CHECK;

/* Rows with seq > after, oldest first, at most limit, never half a transaction. fn: 0 goes on. */
typedef int (*changes_fn)(const struct change *c, void *arg);
int changes_read(struct db *db, int64_t after, unsigned limit, const char *kind, changes_fn fn, void *arg,
	struct err *e) MUST_CHECK;
int changes_last(struct db *db, int64_t *seq, uint8_t log_id[CHANGES_LOG_ID_SIZE], struct err *e) MUST_CHECK;

/* Number of the oldest row that is kept, 0 if there is none: a reader from before it has a gap. */
int changes_first(struct db *db, int64_t *seq, struct err *e) MUST_CHECK;
/* A new log id: what was read of the log before means nothing any more (a restored database). */
int changes_new_log(struct db *tx, struct err *e) MUST_CHECK;
/* Which rows may go: those that are too old, and those that are too many. */
struct changes_keep {
	int64_t before_ms; /* older than this */
	int64_t rows_max; /* beyond this many, if they are older than rows_ms: readers have had the time to come past them */
	int64_t rows_ms;
};
/* Deletes those among the `limit` oldest rows; the newest one always stays, it carries the sequence on. *removed gets
 * how many went. */
int changes_prune(
	struct db *tx, const struct changes_keep *k, unsigned limit, int64_t *removed, struct err *e) MUST_CHECK;

/* fn(arg) after each commit that appended, on any thread, of whichever controld. Registered before threads start. */
void changes_on_commit(struct store *s, void (*fn)(int64_t last_seq, void *arg), void *arg);
/* As if a commit had appended up to there: another controld's has. */
void changes_tell(struct store *s, int64_t last_seq);
/* After it has returned, the function registered with this arg is not called any more. */
void changes_off_commit(struct store *s, const void *arg);

extern const struct sql_table changes_sql;
struct erasure;
/* Objects of an owner's rows, which may name people; that something was done to which id stays. */
extern const struct erasure changes_erasure;

#endif
