/*
 * share - which queue is served next: a smooth weighted round-robin over those that have work.
 *
 * critical, default and low are served 6 : 3 : 1 as long as all three have work, and the turns of a queue are spread
 * evenly among the others'. A queue without work takes no turns and saves none up.
 *
 * A low job may run for hours: so that all workers are never taken by such, the last worker is kept for critical jobs
 * and the one before it is not given to low ones (with four workers or more).
 *
 * Pure: no clock, no lock.
 */
#ifndef PORTWAY_CONTROLD_JOBS_SHARE_H
#define PORTWAY_CONTROLD_JOBS_SHARE_H

#include "controld/jobs/kind.h"

struct share {
	int credit[JOB_QUEUES];
};

struct share_room {
	unsigned workers;             /* all there are */
	unsigned running[JOB_QUEUES]; /* of each queue, now */
	unsigned waiting[JOB_QUEUES]; /* of each queue; counted up to one more than there are workers */
};

/* How many of each queue are to be taken so that no worker is idle that may work. *s moves on. */
void share_plan(struct share *s, const struct share_room *room, unsigned take[JOB_QUEUES]);

extern const int share_weights[JOB_QUEUES];

#endif
