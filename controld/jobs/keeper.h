/*
 * keeper - what must be done beside the jobs that run: their progress written, their leases kept, cancelling and
 * time-outs told, the jobs of the dead given back, schedules ticked, jobs counted.
 *
 * Owner:  jobs. Thread: its own; the rest any.
 * Ends:   keeper_stop(), after the workers have stopped.
 */
#ifndef PORTWAY_CONTROLD_JOBS_KEEPER_H
#define PORTWAY_CONTROLD_JOBS_KEEPER_H

#include "common/base/macros.h"
#include "controld/jobs/job.h"

#include <stdbool.h>
#include <stdint.h>

struct workers;
struct err;
struct keeper;

#define KEEPER_STUCK_MS 30000 /* after its time-out, a function that does not return is given up */

struct keeper_conf {
	struct store *store;
	struct workers *workers;
	const char *self;
	bool shared;                                             /* there may be other controlds */
	uint64_t lease_ms;                                       /* a holder that was not heard of so long is dead */
	int (*tick)(void *owner, int64_t now_ms, struct err *e); /* schedules */
	int (*look)(void *owner, struct err *e);                 /* twice a second: for those who follow */
	void (*changed)(void *owner, const char *job_id);        /* its progress, or its lines */
	void (*counted)(void *owner, const struct job_counts *c);
	void *owner;
};

int keeper_new(struct keeper **out, const struct keeper_conf *conf, struct err *e) MUST_CHECK;
/* Before workers take anything: from here on it is known to live, and what it left behind before is given back. */
int keeper_start(struct keeper *k, struct err *e) MUST_CHECK;
void keeper_stop(struct keeper *k); /* again is fine */
void keeper_free(struct keeper *k);

#endif
