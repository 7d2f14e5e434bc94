/*
 * job_log - what a job says while it runs: numbered lines, kept as long as the job.
 *
 * Thread: inside a transaction, after the lease was checked there.
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOB_LOG_H
#define PORTWAY_CONTROLD_JOBS_JOB_LOG_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdint.h>

struct err;

#define JOB_LINE_MAX  500  /* bytes of one */
#define JOB_LINES_MAX 5000 /* of one job; what it says afterwards is not kept */

enum job_level { JOB_INFO, JOB_WARN, JOB_ERROR };

struct job_line {
	int64_t n; /* from 1 */
	int64_t time_ms;
	enum job_level level;
	char text[JOB_LINE_MAX + 1]; /* UTF-8 */
};

/* Again is fine. */
int job_log_add(struct db *tx, const char *job_id, const struct job_line *line, struct err *e) MUST_CHECK;
/* Lines with a number above `after`, in order, at most limit; fn: 0 goes on. */
typedef int (*job_line_fn)(const struct job_line *line, void *arg);
int job_log_read(struct db *db, const char *job_id, int64_t after, unsigned limit, job_line_fn fn, void *arg,
	struct err *e) MUST_CHECK;
const char *job_level_name(enum job_level l);

extern const struct sql_table job_log_sql;

#endif
