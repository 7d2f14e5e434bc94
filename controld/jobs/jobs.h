/*
 * jobs - long work that stands alone: kept in the database until it has ended, run by workers, tried again, cancellable.
 * What the other rooms see of it; with kind.h (to add work) and job_run.h (to do it).
 *
 * Owner:  app. Thread: any.
 * Ends:   jobs_wind_down() when the program is told to stop, jobs_stop() before the features go, jobs_free().
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOBS_H
#define PORTWAY_CONTROLD_JOBS_JOBS_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/jobs/kind.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct job_by;
struct jobs;
struct loop;
struct metrics;
struct parks;

struct jobs_conf {
	struct store *store;
	const char *self;      /* controlds.id; borrowed */
	bool shared;           /* the database may have other controlds */
	unsigned workers;      /* 0: only keep them, for another controld to run */
	uint64_t grace_ms;     /* at the end: short jobs end by themselves */
	uint64_t lease_ms;     /* a controld that was not heard of so long has died */
	uint64_t keep_ms;      /* how long jobs are kept that have ended */
	uint64_t keep_dead_ms; /* and those that died */
	uint64_t waiting_max;  /* beyond it new ones are refused */
	struct loop *loop;     /* of the server; NULL: no streams */
	struct parks *parks;   /* of the server; NULL: nobody waits for changes */
};

int jobs_new(struct jobs **out, const struct jobs_conf *conf, struct err *e) MUST_CHECK;
/* Before jobs_start(). */
void jobs_add_kinds(struct jobs *j, struct job_kinds kinds);
int jobs_start(struct jobs *j, struct err *e) MUST_CHECK;
void jobs_wind_down(struct jobs *j); /* takes no more; never waits */
void jobs_stop(struct jobs *j);      /* what runs ends or is given back; again is fine, takes NULL */
void jobs_free(struct jobs *j);

struct job_order {
	const char *kind;
	const char *tenant_id, *user_id; /* NULL: the platform's, nobody's */
	const char *actor, *request_id;  /* for the log; NULL: "system", none */
	const char *schedule_id;         /* NULL: none */
	const json_t *args;              /* borrowed; NULL: {} */
	const char *key;   /* no two with this key, of this kind and tenant, at once; NULL: as the kind says */
	const char *queue; /* NULL: the kind's */
	int64_t priority;  /* within the queue; more is sooner */
	int64_t due_ms;    /* not before; 0: now */
};

struct job_placed {
	char id[RAND_ID_SIZE];
	bool there; /* one that does the same had not ended: it is that one's id, and nothing was added */
};

/*
 * In the caller's transaction, so that there is no job without what it is about, and the other way round. Arguments that
 * the kind does not take are an error, as is a queue that is full.
 */
int jobs_enqueue_in(
	struct jobs *j, struct db *tx, const struct job_order *o, struct job_placed *out, struct err *e) MUST_CHECK;
int jobs_enqueue(struct jobs *j, const struct job_order *o, struct job_placed *out, struct err *e) MUST_CHECK;

/* At its next step, or at once; *running: it has still to stop. ERR_NOT_FOUND; ERR_CONFLICT when it has ended. */
int jobs_cancel(struct jobs *j, const struct job_by *by, bool *running, struct err *e) MUST_CHECK;

/* To be called every minute by one controld. */
int jobs_clean(struct jobs *j, int64_t now_ms, struct err *e) MUST_CHECK;
struct route_table jobs_routes(struct jobs *j);
struct metrics *jobs_metrics(struct jobs *j); /* borrowed */

extern const struct sql_table *const jobs_sql[];
extern const size_t jobs_sql_n;
struct erasure;
struct sealed_column;
extern const struct sealed_column job_sealed;
extern const struct erasure *const jobs_erasures[];
extern const size_t jobs_erasures_n;

#endif
