/*
 * sync_log - one sync, as people see it: its row, its states, its SQL.
 *
 * What a sync is at is what its job is at: the row itself says only how it ended, and that is written when the job has
 * ended, whatever ended it (sync_log_settle). Until then the state that is shown comes from the job's row.
 *
 *	PENDING --a worker takes it--> RUNNING --> COMPLETED | FAILED | CANCELLED
 *	   ^                              |
 *	   +-- failed, tried again later -+
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_PANEL_SYNC_LOG_H
#define PORTWAY_CONTROLD_PANEL_SYNC_LOG_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;
struct erasure;

#define SYNC_TYPE_SIZE  16
#define SYNC_BY_MAX     254
#define SYNC_ERROR_SIZE 256

struct sync_log {
	char id[RAND_ID_SIZE];
	char tenant_id[40];
	char job_id[RAND_ID_SIZE];
	char type[SYNC_TYPE_SIZE]; /* "full", "servers" */
	char state[16];
	char requested_by[SYNC_BY_MAX + 1];
	char error[SYNC_ERROR_SIZE];
	int64_t total, synced, failed, written, removed;
	int64_t created_ms, started_ms, completed_ms;
	int64_t started_seq; /* of its beginning in the change log; 0: it has not begun */
	double rate;         /* objects a second; 0: not known, or it does not run */
};

/* Of a job that has been queued: with s->job_id, type, tenant and who asked. There may be one already; *s gets it. */
int sync_log_open(struct db *tx, struct sync_log *s, int64_t now_ms, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND. tenant_id "": of any. */
int sync_log_get(struct db *db, const char *id, struct sync_log *out, struct err *e) MUST_CHECK;
/* The newest that has not ended, or that has: false in *found when there is none. */
int sync_log_last(struct db *db, bool ended, struct sync_log *out, bool *found, struct err *e) MUST_CHECK;

struct sync_log_filter {
	const char *type; /* "": any */
	int64_t limit, offset;
};
typedef int (*sync_log_fn)(const struct sync_log *s, void *arg); /* 0 goes on */
/* The newest first. *total: how many there are in all. */
int sync_log_list(struct db *db, const struct sync_log_filter *f, sync_log_fn fn, void *arg, int64_t *total,
	struct err *e) MUST_CHECK;

/* *others: syncs that run besides this one. If there are none it is running from now on. */
int sync_log_begin(struct db *tx, const char *id, int64_t now_ms, int64_t *others, struct err *e) MUST_CHECK;
/* That it has begun, for the first time, in the change log: s->started_seq. */
int sync_log_started(struct db *tx, struct sync_log *s, int64_t now_ms, struct err *e) MUST_CHECK;
struct sync_log_progress {
	int64_t total, synced, failed;
	int64_t written, removed; /* more */
};
int sync_log_progress(struct db *tx, const char *id, const struct sync_log_progress *p, struct err *e) MUST_CHECK;
int sync_log_complete(struct db *tx, const char *id, const char *remark, int64_t now_ms, struct err *e) MUST_CHECK;
/* Writes down how those ended whose jobs have ended otherwise; fn gets each. */
int sync_log_settle(struct db *tx, int64_t now_ms, sync_log_fn fn, void *arg, struct err *e) MUST_CHECK;
int sync_log_unsettled(struct db *db, int64_t *n, struct err *e) MUST_CHECK;
/* How many ended how: members of an object that is open. */
int sync_log_print_counts(struct db *db, struct buf *out, struct err *e) MUST_CHECK;
int sync_log_prune(struct db *tx, int64_t before_ms, unsigned limit, unsigned *n, struct err *e) MUST_CHECK;

/* As the API prints it, an object. */
void sync_log_print(struct buf *b, const char *key, const struct sync_log *s);
/* "sync started" and the like in the change log. */
int sync_log_change(struct db *tx, const struct sync_log *s, const char *actor, const char *op, int64_t now_ms,
	struct err *e) MUST_CHECK;

extern const struct sql_table sync_log_sql;
extern const struct erasure sync_log_erasure;

#endif
