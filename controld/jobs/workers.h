/*
 * workers - take jobs from the database for free workers, have them run, and write what came of them.
 *
 *	free worker, or new job --poke--> take: as many as are free, by the share of each queue, in one transaction
 *	                                    --> pool: the kind's function --> end: one transaction, then poke
 *
 * Owner:  jobs. Thread: any; it has one of its own, and the pool's.
 * Ends:   workers_wind_down() takes no more; workers_stop() waits for what runs, tells it to stop after a while, gives
 *         back what does not. What is stuck in a function keeps workers_free() waiting.
 */
#ifndef PORTWAY_CONTROLD_JOBS_WORKERS_H
#define PORTWAY_CONTROLD_JOBS_WORKERS_H

#include "common/base/macros.h"
#include "controld/jobs/job.h"

#include <stdbool.h>
#include <stdint.h>

struct workers;
struct err;
struct job_run;

/* What others want to know of it; called on its threads, must only count or post. */
struct workers_watch {
	void (*taken)(void *owner, const struct job_run *r, int64_t waited_ms);
	/* outcome: "completed", "dead", "cancelled", "failed", "again", "put_back", "lost" */
	void (*ended)(void *owner, const struct job_run *r, const char *outcome, uint64_t took_ms);
	void (*changed)(void *owner, const char *job_id);
	void *owner;
};

struct workers_conf {
	struct store *store;
	const char *self; /* controlds.id; borrowed */
	const struct kinds *kinds;
	unsigned workers;  /* 0: jobs are kept, none is run */
	uint64_t poll_ms;  /* how often it looks without being poked */
	uint64_t grace_ms; /* at the end: what runs may end by itself so long */
	uint64_t stop_ms;  /* and then has so long to stop */
	struct workers_watch watch;
};

int workers_new(struct workers **out, const struct workers_conf *conf, struct err *e) MUST_CHECK;
int workers_start(struct workers *w, struct err *e) MUST_CHECK;
void workers_wind_down(struct workers *w); /* never waits */
void workers_stop(struct workers *w);      /* again is fine */
void workers_free(struct workers *w);

/* There may be something to take. soon: it is not committed yet, so look now and a little later. */
void workers_poke(struct workers *w, bool soon);
/* Tells a job that runs here to stop. */
void workers_cancel(struct workers *w, const char *job_id);
unsigned workers_running(struct workers *w);

/* ---- for the keeper ---------------------------------------------------------------------------------------------- */
/* fn runs with the lock, for each job that runs; it may take the lock of the run. */
void workers_each(struct workers *w, void (*fn)(struct job_run *r, void *arg), void *arg);
/* That run, if it still is the one with this lease: fn runs with the lock. False: it is not here. */
bool workers_with(
	struct workers *w, const char *job_id, int64_t lease, void (*fn)(struct job_run *r, void *arg), void *arg);
/* Ends a run whose function does not: as a failure, or put back. The function's own end changes nothing then. */
int workers_abandon(struct workers *w, const char *job_id, int64_t lease, struct err *e) MUST_CHECK;

#endif
