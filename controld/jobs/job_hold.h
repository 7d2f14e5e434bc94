/*
 * job_hold - what the holder of running jobs does to their rows: take, save, report, end, give back.
 *
 * Each taking raises the job's lease, and each write of a holder names the lease that it knows: one that was frozen, was
 * taken for dead and comes back changes nothing any more. A holder is known to live by its beat, which the others watch
 * by their own clocks.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOB_HOLD_H
#define PORTWAY_CONTROLD_JOBS_JOB_HOLD_H

#include "common/base/macros.h"
#include "controld/jobs/job.h"
#include "controld/jobs/share.h"

#include <stdbool.h>
#include <stdint.h>

struct job_line;

/* As many deaths of holders in a row, without anything saved between, and the job is taken for their cause. */
#define JOB_CRASHES_MAX 10

struct hold_waiting {
	unsigned n[JOB_QUEUES]; /* that wait for a worker */
	int64_t next_ms;        /* when the next scheduled one is due; INT64_MAX: there is none */
};
/* Counted up to limit each. Jobs whose time has come are queued first. */
int job_hold_waiting(struct db *tx, int64_t now_ms, unsigned limit, struct hold_waiting *out, struct err *e) MUST_CHECK;
/* Those that wait to be tried again and were begun after that time, which is still to come, are due now. *n: how many. */
int job_hold_hurry(struct db *tx, int64_t now_ms, int64_t begun_ms, unsigned *n, struct err *e) MUST_CHECK;
/* Takes up to n of a queue, the most urgent and then the oldest first; fn gets each as it is now. */
int job_hold_take(struct db *tx, enum job_queue queue, unsigned n, const char *holder, int64_t now_ms, job_row_fn fn,
	void *arg, struct err *e) MUST_CHECK;

/* ---- with the lease: 1 written, 0 the job is somebody else's by now, -1 ------------------------------------------ */
struct hold {
	const char *id;
	int64_t lease;
};
struct hold_progress {
	int64_t total, done, failed;
	double rate;
	const char *note;
};
int job_hold_progress(struct db *tx, const struct hold *h, const struct hold_progress *p, struct err *e) MUST_CHECK;
int job_hold_save(struct db *tx, const struct hold *h, const char *saved, struct err *e) MUST_CHECK;
/* May come after its end, as long as nobody else took the job. */
int job_hold_lines(
	struct db *tx, const struct hold *h, const struct job_line *lines, size_t n, struct err *e) MUST_CHECK;

struct hold_end {
	enum job_state state; /* what it becomes; not JOB_RUNNING */
	int64_t now_ms;
	int64_t due_ms;   /* of a scheduled one */
	int64_t failures; /* that it has had */
	int64_t crashes;
	const char *result;     /* JSON or NULL */
	const char *error_code; /* "": it did not fail; NULL keeps that of the last failure */
	const char *error;
	const struct hold_progress *progress; /* the last; NULL: as it is written already */
	job_row_fn fn;                        /* gets the row of one that has ended; may be NULL */
	void *arg;
};
int job_hold_end(struct db *tx, const struct hold *h, const struct hold_end *end, struct err *e) MUST_CHECK;

/* ---- holders ----------------------------------------------------------------------------------------------------- */
int job_hold_beat(struct db *tx, const char *holder, struct err *e) MUST_CHECK;
int job_hold_leave(struct db *tx, const char *holder, struct err *e) MUST_CHECK; /* takes its row away */
/* Whoever holds jobs; beat -1: it has no row. fn: 0 goes on. */
typedef int (*job_holder_fn)(const char *holder, int64_t beat, void *arg);
int job_hold_holders(struct db *db, job_holder_fn fn, void *arg, struct err *e) MUST_CHECK;
/* The jobs that a holder has; fn: 0 goes on. */
int job_hold_of(struct db *db, const char *holder, job_row_fn fn, void *arg, struct err *e) MUST_CHECK;

extern const struct sql_table job_hold_sql;

#endif
