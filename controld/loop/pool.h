/*
 * pool - worker threads behind a queue with a limit: what may block runs here, as a plain function.
 *
 * Wake-ups are chained: who submits wakes at most one worker, and a worker that takes a job while more wait wakes the
 * next. A burst of short jobs is so run by the few threads it needs, a burst of blocking ones by all.
 *
 * Owner:  who made it. Thread: any.
 * Ends:   pool_free() lets the queue run empty and joins the threads.
 */
#ifndef PORTWAY_CONTROLD_LOOP_POOL_H
#define PORTWAY_CONTROLD_LOOP_POOL_H

#include "common/base/list.h"
#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct pool;

struct pool_conf {
	const char *name; /* of the threads, at most 15 characters; not copied */
	unsigned threads; /* at least 1 */
	size_t queue_max; /* jobs that wait */
};

/* Embedded in the work; belongs to the pool from pool_submit() until work() is called, which may free it. */
struct pool_job {
	struct list node;
	void (*work)(struct pool_job *job);
};

int pool_new(struct pool **out, const struct pool_conf *conf, struct err *e) MUST_CHECK;
void pool_free(struct pool *p);
/* 0, or -1 when the queue is full (counted) or the pool ends; the job stays the caller's then. */
int pool_submit(struct pool *p, struct pool_job *job) MUST_CHECK;
/* The same for who submits several in a row: nobody wakes for it until pool_wake(). */
int pool_submit_quietly(struct pool *p, struct pool_job *job) MUST_CHECK;
void pool_wake(struct pool *p);
/* The next part of work that was admitted before: the limit does not count. After the end it runs on the caller. */
void pool_resume(struct pool *p, struct pool_job *job);

struct pool_stats {
	size_t queued;    /* waiting now */
	unsigned busy;    /* threads at work now */
	uint64_t done;    /* jobs run */
	uint64_t refused; /* because the queue was full */
};
void pool_stats(struct pool *p, struct pool_stats *out);

#endif
