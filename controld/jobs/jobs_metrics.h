/*
 * jobs_metrics - what /metrics says of jobs.
 *
 * Owner: jobs. Thread: any.
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOBS_METRICS_H
#define PORTWAY_CONTROLD_JOBS_JOBS_METRICS_H

#include "common/base/macros.h"
#include "controld/jobs/job.h"

#include <stdint.h>

struct workers;
struct err;
struct job_run;
struct jobs_metrics;
struct metrics;

int jobs_metrics_new(struct jobs_metrics **out, unsigned workers, struct err *e) MUST_CHECK;
void jobs_metrics_free(struct jobs_metrics *m);
struct metrics *jobs_metrics_registry(struct jobs_metrics *m);
/* Whose running jobs are counted when the page is printed; before threads start. */
void jobs_metrics_of(struct jobs_metrics *m, struct workers *w);

void jobs_metrics_counted(struct jobs_metrics *m, const struct job_counts *c);
void jobs_metrics_taken(struct jobs_metrics *m, enum job_queue queue, int64_t waited_ms);
void jobs_metrics_ended(struct jobs_metrics *m, const char *kind, const char *outcome, uint64_t took_ms);
void jobs_metrics_stream_refused(struct jobs_metrics *m, const char *reason);

#endif
