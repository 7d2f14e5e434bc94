/*
 * job_run - one attempt at a job, as the function that does the work sees it.
 *
 *	static int run_import(void *feature, struct job_run *r, struct err *e)
 *	{
 *		int64_t page = 0;
 *
 *		if (str_to_i64(job_run_saved(r), 0, PAGES, &page) != 0)     what an attempt before has done already
			page = 0;
 *		while (!job_run_stop(r) && page < PAGES) {
 *			if (import_page(feature, page, e) != 0)
 *				return -1;                                  tried again later
 *			job_run_progress(r, ++page, 0, PAGES);
 *			if (job_run_save(r, number_of(page), e) != 0)
 *				return -1;
 *		}
 *		return job_run_ended(r, e);                                 -1 when it was stopped on its way
 *	}
 *
 * Owner:  the engine; valid until the function returns. Thread: the worker's that runs it.
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOB_RUN_H
#define PORTWAY_CONTROLD_JOBS_JOB_RUN_H

#include "common/base/macros.h"
#include "controld/jobs/job_log.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;
struct job_run;

const char *job_run_id(const struct job_run *r);
const char *job_run_tenant(const struct job_run *r); /* "": the platform's */
const char *job_run_user(const struct job_run *r);   /* who asked for it, or "" */
const json_t *job_run_args(const struct job_run *r); /* as its schema says */
unsigned job_run_attempt(const struct job_run *r);   /* from 1 */
bool job_run_last(const struct job_run *r);          /* a failure now makes it dead */
uint64_t job_run_left_ms(const struct job_run *r);   /* until its time-out; UINT64_MAX: it has none */
struct store *job_run_store(const struct job_run *r);

/* Somebody wants it to stop: cancelled, time-out, the program ends, the lease is lost. To be asked between two steps. */
bool job_run_stop(struct job_run *r);
/* Sleeps that long, less when it is to stop: the answer of job_run_stop(). */
bool job_run_sleep(struct job_run *r, uint64_t ms);
/* The end of the function: 0; when it was told to stop -1, with the reason as an error. */
int job_run_ended(struct job_run *r, struct err *e);

/*
 * Up to where it is done, in words of the kind's own, at most JOB_TEXT_MAX bytes: on disk when the call returns. With
 * _in it is written in the transaction that does the work: then neither is there without the other, and a worker that was
 * taken for dead cannot do a step that its successor does again. ERR_CONFLICT when the lease is lost.
 */
const char *job_run_saved(const struct job_run *r); /* at the beginning of this attempt; "" for nothing */
int job_run_save(struct job_run *r, const char *saved, struct err *e) MUST_CHECK;
int job_run_save_in(struct db *tx, struct job_run *r, const char *saved, struct err *e) MUST_CHECK;

/* Seen by people within a second. total 0: not known. */
void job_run_progress(struct job_run *r, int64_t done, int64_t failed, int64_t total);
void job_run_note(struct job_run *r, const char *what); /* "page 3 of servers" */
void job_run_log(struct job_run *r, enum job_level level, const char *fmt, ...) PRINTF(3, 4);
/* The same in a transaction of the caller, after job_run_save_in() there. */
int job_run_log_in(struct db *tx, struct job_run *r, const char *text, struct err *e) MUST_CHECK;

/* What the function says besides 0 and -1. */
void job_run_result(struct job_run *r, json_t *result); /* with 0; takes the reference, an object */
void job_run_again_in(struct job_run *r, uint64_t ms);  /* with 0: not done yet, to be called again; no failure */
void job_run_retry_in(struct job_run *r, uint64_t ms);  /* with -1: not before that, whatever the back-off says */
void job_run_give_up(struct job_run *r);                /* with -1: trying again is in vain, it is dead */

#endif
