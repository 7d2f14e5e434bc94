/*
 * job - a piece of work that is kept until it has ended: its row, its states, its SQL.
 *
 *	scheduled --its time comes--> queued --a worker takes it--> running --it is done--------> completed
 *	    ^                           ^                            | | |---failed once too often-> dead
 *	    +------- failed, tried again later ----------------------+ | +---asked to stop---------> cancelled
 *	                                +--- put back, or its holder died
 *
 * What people do: whatever has not ended can be cancelled, what does not run can be deleted, and what waits or has ended
 * can be queued again at once. What the holder of a running job does to it is job_hold.h.
 *
 * Thread: inside a transaction. The texts of a struct job are borrowed for the call that gets it.
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOB_H
#define PORTWAY_CONTROLD_JOBS_JOB_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/jobs/kind.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct erasure;
struct err;

#define JOB_TEXT_MAX (64 * 1024) /* bytes of arguments, of a saved state, of a result */
#define JOB_NAME_MAX 63          /* characters of a kind */
#define JOB_KEY_MAX  200         /* characters of a unique key */

enum job_state { JOB_SCHEDULED, JOB_QUEUED, JOB_RUNNING, JOB_COMPLETED, JOB_DEAD, JOB_CANCELLED, JOB_STATES };

struct job {
	const char *id, *tenant_id, *user_id, *actor, *request_id, *schedule_id, *kind;
	enum job_queue queue;
	enum job_state state;
	int64_t priority;
	const char *args;   /* JSON; of secret members "***" */
	const char *secret; /* to be inserted: the secret members, JSON, or NULL */
	const void *sealed; /* as it was loaded, of this size: for job_secret_open() */
	size_t sealed_n;
	const char *unique_key; /* or NULL */
	int64_t created_ms, due_ms, started_ms, ended_ms;
	int64_t failures, failures_max, crashes, lease;
	const char *holder; /* "": nobody */
	bool cancel;
	int64_t total, done, failed;
	double rate;
	const char *note, *saved;
	const char *result; /* JSON, or NULL */
	const char *error_code, *error;
	int64_t log_next, version;
};

const char *job_state_name(enum job_state s);
int job_state_parse(const char *s, enum job_state *out) MUST_CHECK;
bool job_state_ended(enum job_state s);

/*
 * Adds it, queued or scheduled, with an id; id and state of j are not read. *there: a job that does the same has not
 * ended yet, nothing was added, and id is that one's.
 */
int job_insert(struct db *tx, const struct job *j, int64_t now_ms, char id[RAND_ID_SIZE], bool *there,
	struct err *e) MUST_CHECK;

/* The columns of a struct job in the order in which job_load() expects them. */
#define JOB_COLUMNS                                                                                                 \
	"id, tenant_id, user_id, actor, request_id, schedule_id, kind, queue, state, priority, args, unique_key, "  \
	"created_ms, due_ms, started_ms, ended_ms, failures, failures_max, crashes, lease, holder, cancel, total, " \
	"done, failed, rate, note, saved, result, error_code, error, log_next, version, sealed"
void job_load(struct job *j, struct query *q);

typedef int (*job_row_fn)(const struct job *j, void *arg); /* 0 goes on */
/* tenant_id "": of all. ERR_NOT_FOUND when there is none. */
int job_get(struct db *db, const char *tenant_id, const char *id, job_row_fn fn, void *arg, struct err *e) MUST_CHECK;

struct job_filter {
	const char *tenant_id;                          /* "": all */
	const char *kind, *queue, *state, *schedule_id; /* "": any */
	const char *before;                             /* an id, or "": the newest first */
	unsigned limit;
};
int job_list(struct db *db, const struct job_filter *f, job_row_fn fn, void *arg, struct err *e) MUST_CHECK;

/* How many there are of those that have not come to a good end. */
struct job_counts {
	int64_t n[JOB_QUEUES][JOB_STATES];
};
int job_count(struct db *db, struct job_counts *out, struct err *e) MUST_CHECK;

/* ---- by hand: inside a logged transaction; tenant_id "": of any -------------------------------------------------- */
struct job_by {
	const char *tenant_id, *id;
	const char *actor, *request_id; /* for the change log */
	int64_t now_ms;
};
/* *now: what has become of it: cancelled, or still running and asked to stop. ERR_CONFLICT when it has ended. */
int job_cancel(struct db *tx, const struct job_by *by, enum job_state *now, struct err *e) MUST_CHECK;
/* Queued at once, with all its attempts. fresh: what it has saved is forgotten. ERR_CONFLICT when it runs, or another
 * job does the same now. */
int job_retry(struct db *tx, const struct job_by *by, bool fresh, struct err *e) MUST_CHECK;
int job_delete(struct db *tx, const struct job_by *by, struct err *e) MUST_CHECK;
/* A row of the change log about it, as it is now, or as the row at hand says (by->id is not read then). */
int job_note_change(struct db *tx, const struct job_by *by, const char *op, struct err *e) MUST_CHECK;
int job_note_row(struct db *tx, const struct job *j, const struct job_by *by, const char *op, struct err *e) MUST_CHECK;
/* Jobs that ended before these times go, with their lines, at most limit and at most 200. *n: how many. */
int job_prune(struct db *tx, int64_t before_ms, int64_t dead_before_ms, unsigned limit, unsigned *n,
	struct err *e) MUST_CHECK;

/* As the API prints it: job_print.c. kind is NULL where it is not known any more. */
void job_print(struct buf *b, const struct job *j, const struct job_kind *kind);
/* The same without arguments, state and result, for the change log. */
void job_print_short(struct buf *b, const struct job *j);

extern const struct sql_table job_sql;
extern const struct erasure job_erasure;

#endif
