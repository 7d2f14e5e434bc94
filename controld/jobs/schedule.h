/*
 * schedule - what starts a job by the clock: its row, its SQL, its ticks.
 *
 * Where it stands (its next time) is a row of its own: moving it on and queueing the job are one transaction that only
 * succeeds from the time it was, so of all controlds one starts each run. A run that falls due while the one before has
 * not ended is that one.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_JOBS_SCHEDULE_H
#define PORTWAY_CONTROLD_JOBS_SCHEDULE_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/base/zone.h"
#include "controld/jobs/cron.h"
#include "controld/jobs/job.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

#define SCHEDULE_NAME_MAX   64
#define SCHEDULE_ARGS_MAX   8192
#define SCHEDULES_MAX       1000  /* of one tenant */
#define SCHEDULE_LATE_MS    60000 /* a run that is later than this was missed */
#define SCHEDULE_MISSED_MAX 1000  /* as many are counted at once */

struct schedule {
	char id[RAND_ID_SIZE];
	char tenant_id[40], user_id[40];
	char name[SCHEDULE_NAME_MAX + 1];
	char kind[JOB_NAME_MAX + 1];
	char args[SCHEDULE_ARGS_MAX + 1]; /* JSON */
	char cron[CRON_TEXT_MAX + 1];
	char time_zone[ZONE_NAME_SIZE];
	bool run_missed; /* once; else what was missed is skipped */
	bool paused;
	int64_t version, created_ms, updated_ms;
	/* where it stands */
	int64_t next_ms; /* 0: paused, or never again */
	int64_t last_ms;
	char last_job_id[RAND_ID_SIZE];
	int64_t missed;
};

/* Its next time after that, by its own clocks; ERR_VALIDATION when its texts say nothing. */
int schedule_next(const struct schedule *s, int64_t after_ms, int64_t *next_ms, struct err *e) MUST_CHECK;

/* With s->id and s->next_ms; ERR_ALREADY_EXISTS for a name of that tenant. */
int schedule_insert(struct db *tx, const struct schedule *s, struct err *e) MUST_CHECK;
/* The whole of it, if its version still is s->version; that rises. ERR_CONFLICT. */
int schedule_update(struct db *tx, struct schedule *s, struct err *e) MUST_CHECK;
int schedule_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;
/* tenant_id "": of any. ERR_NOT_FOUND. */
int schedule_get(struct db *db, const char *tenant_id, const char *id, struct schedule *out, struct err *e) MUST_CHECK;
typedef int (*schedule_fn)(const struct schedule *s, void *arg); /* 0 goes on */
/* By id, after this one; tenant_id "": of all. */
int schedule_list(struct db *db, const char *tenant_id, const char *after, unsigned limit, schedule_fn fn, void *arg,
	struct err *e) MUST_CHECK;
int schedule_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;
/* Those whose time has come. */
int schedule_due(struct db *db, int64_t now_ms, unsigned limit, schedule_fn fn, void *arg, struct err *e) MUST_CHECK;

struct schedule_step {
	const char *id;
	int64_t from_ms, to_ms; /* its next time: as it was read, and from now on */
	int64_t due_ms;         /* the time that is run */
	bool ran;
	int64_t missed; /* runs that are skipped with it */
};
/* 1; 0 when it is not at from_ms any more: somebody else was first. */
int schedule_step(struct db *tx, const struct schedule_step *step, struct err *e) MUST_CHECK;
int schedule_note_job(struct db *tx, const char *id, const char *job_id, struct err *e) MUST_CHECK;

/* As the API prints it; kind may be NULL. */
void schedule_print(struct buf *b, const struct schedule *s, const struct job_kind *kind);

extern const struct sql_table schedule_sql;
struct erasure;
extern const struct erasure schedule_erasure;

#endif
