/*
 * room - the inside of struct jobs, for the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_JOBS_ROOM_H
#define PORTWAY_CONTROLD_JOBS_ROOM_H

#include "controld/jobs/job.h"
#include "controld/jobs/jobs.h"
#include "controld/rest/route.h"

#include <pthread.h>
#include <stdatomic.h>

struct workers;
struct follows;
struct job_run;
struct jobs_metrics;
struct keeper;

struct jobs {
	struct jobs_conf conf;
	struct kinds kinds;
	struct workers *workers;
	struct keeper *keeper;
	struct jobs_metrics *metrics;
	struct follows *follows;      /* NULL: no streams */
	atomic_bool expected;         /* something was queued in a transaction that is not committed yet, perhaps */
	atomic_uint_fast64_t waiting; /* in all queues, as last counted */
	int64_t ticked_ms;            /* the time of the last tick; who ticks alone looks at it */
};

/* The key that those wait for who watch a job. */
#define JOBS_PARK_SIZE 64
void jobs_park_key(char key[JOBS_PARK_SIZE], const char *job_id);
/* Its row has changed. */
void jobs_changed(struct jobs *j, const char *job_id);

/* ticker.c: starts what schedules say. */
int jobs_tick(struct jobs *j, int64_t now_ms, struct err *e) MUST_CHECK;

/* jobs_api.c; the table is jobs_routes.c */
extern const struct route jobs_rows[];
extern const size_t jobs_rows_n;
int jobs_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_cancel(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_retry(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_events(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_logs(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_kinds(void *feature, struct request *rq, struct reply *rp, struct err *e);
int jobs_api_queues(void *feature, struct request *rq, struct reply *rp, struct err *e);
/* The tenant whose jobs the caller may see: "" for all. */
const char *jobs_tenant_of(const struct request *rq);
/* The kind, if the caller may start jobs of it; ERR_FORBIDDEN, ERR_VALIDATION. Errors of args go to the request. */
int jobs_may_start(struct jobs *j, struct request *rq, const char *name, const json_t *args, struct err *e) MUST_CHECK;
/* What the platform alone may start, it alone may stop, repeat and forget, whichever tenant it was started from. */
int jobs_may_handle(struct jobs *j, const struct request *rq, const char *name, struct err *e) MUST_CHECK;

/* schedule_api.c */
int schedule_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_pause(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_resume(void *feature, struct request *rq, struct reply *rp, struct err *e);
int schedule_api_run(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema schedule_schema;

/* check_job.c: a kind that does nothing but show that jobs work. */
extern const struct job_kind check_job_kinds[];
extern const size_t check_job_kinds_n;

#endif
