/*
 * running - the inside of struct job_run: an attempt between its taking and its end. For the files of this folder.
 *
 * Owner:  workers, in whose list it is; freed by the worker that ends it. What `lock` guards is used by the worker and
 *         by the keeper, the rest is the worker's, or does not change.
 */
#ifndef PORTWAY_CONTROLD_JOBS_RUNNING_H
#define PORTWAY_CONTROLD_JOBS_RUNNING_H

#include "common/base/err.h"
#include "common/base/list.h"
#include "controld/jobs/job.h"
#include "controld/jobs/job_hold.h"
#include "controld/jobs/job_run.h"
#include "controld/loop/pool.h"

#include <pthread.h>

#define RUNNING_NOTE_SIZE 200
#define RUNNING_LINES_MAX 32 /* that wait to be written */

enum running_stop {
	RUNNING_GO_ON,
	RUNNING_CANCELLED,
	RUNNING_SHUTDOWN,
	RUNNING_OVERDUE,
	RUNNING_LOST, /* the job is somebody else's by now, or may be */
};

struct workers;
struct job_run {
	struct list link; /* the workers' */
	struct pool_job work;
	struct workers *workers;
	struct store *store;
	const struct job_kind *kind; /* NULL: nobody knows how to do it */
	void *feature;
	char id[RAND_ID_SIZE], tenant_id[40], user_id[40], request_id[72];
	char kind_name[JOB_NAME_MAX + 1];
	enum job_queue queue;
	int64_t lease;
	int64_t failures, failures_max, crashes;
	json_t *args;
	struct err unread; /* code 0, or why its arguments could not be read: the attempt fails with it */
	char *saved;
	int64_t due_ms;
	uint64_t begun_ms;    /* monotonic */
	uint64_t deadline_ms; /* UINT64_MAX: none */

	json_t *result;

	pthread_mutex_t lock;
	pthread_cond_t stopping;
	bool again, give_up, own_pause;
	uint64_t pause_ms;
	enum running_stop stop;
	bool abandoned; /* its function did not stop, and the job was given back without it */
	bool dirty;     /* progress that is not in the database */
	bool counting;
	int64_t total, done, failed;
	int64_t done_before; /* where counting began */
	uint64_t counting_ms;
	double rate;
	char note[RUNNING_NOTE_SIZE];
	int64_t line_next;
	struct job_line *lines;
	size_t n_lines;
};

/* Of a job that was just taken in the transaction; the caller says who does it. */
int running_new(struct job_run **out, struct db *tx, const struct job *j, struct err *e) MUST_CHECK;
void running_free(struct job_run *r);
struct hold running_hold(const struct job_run *r); /* borrowed */
/* The first reason stays, but for RUNNING_LOST. */
void running_tell(struct job_run *r, enum running_stop why);
enum running_stop running_why(struct job_run *r);

/* What is to be written of it, copied: by the keeper every second, and at its end. */
struct running_report {
	char id[RAND_ID_SIZE];
	int64_t lease;
	bool progress;
	struct hold_progress values;
	char note[RUNNING_NOTE_SIZE];
	struct job_line *lines;
	size_t n_lines;
};
/* Fills *rep; false when there is nothing new. */
bool running_report(struct job_run *r, struct running_report *rep);
int running_report_write(struct db *tx, const struct running_report *rep, struct err *e) MUST_CHECK;
/* It is written: its lines need not be kept. */
void running_reported(struct job_run *r, const struct running_report *rep);
void running_report_fini(struct running_report *rep);

#endif
