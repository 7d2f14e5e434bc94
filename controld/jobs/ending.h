/*
 * ending - what becomes of a job when its function has returned, and writing that.
 *
 * Thread: the worker's; or another's, for a run whose function does not return.
 */
#ifndef PORTWAY_CONTROLD_JOBS_ENDING_H
#define PORTWAY_CONTROLD_JOBS_ENDING_H

#include "common/base/err.h"
#include "controld/jobs/job_hold.h"
#include "controld/jobs/running.h"

#include <stdbool.h>
#include <stdint.h>

#define ENDING_UNKNOWN_MS \
	60000 /* until a kind that nobody knows here is looked at again: an upgrade may be under way */

struct ending {
	char id[RAND_ID_SIZE];
	int64_t lease;
	const char *outcome; /* "completed", "dead", "cancelled", "failed", "again", "put_back", "lost" */
	struct hold_end end;
	struct err err; /* what end's texts of the error point into */
	char *result;
	struct running_report report;
	bool lost; /* somebody else has the job: nothing was written */
};

/* rc and e are of the function, why of running_why(). Fills *x whole; ending_fini() frees. */
void ending_decide(struct ending *x, const struct job_run *r, int rc, const struct err *e, enum running_stop why);
/* Once; whether to try again is the caller's. */
int ending_write(struct ending *x, struct store *store, struct err *e) MUST_CHECK;
void ending_fini(struct ending *x);

#endif
