/*
 * follow - streams (text/event-stream) of how one job goes on: an event whenever its row has changed, until it has ended.
 *
 * The rows are read twice a second for all who follow, so it does not matter which controld runs the job. A stream ends
 * after minutes, for the client to come again with credentials that still hold.
 *
 * Owner:  jobs. Thread: follows_add() a worker, follows_tick() the keeper's; the streams are the loop's.
 * Ends:   follows_free() on the loop's thread, when neither it nor the keeper runs any more.
 */
#ifndef PORTWAY_CONTROLD_JOBS_FOLLOW_H
#define PORTWAY_CONTROLD_JOBS_FOLLOW_H

#include "common/base/macros.h"
#include "controld/jobs/job.h"

struct err;
struct follows;
struct identity;
struct jobs_metrics;
struct loop;
struct reply;

#define FOLLOWS_MAX    1000            /* at once */
#define FOLLOWS_EACH   20              /* of one user or API key */
#define FOLLOW_LIFE_MS (5 * 60 * 1000) /* of one stream */
#define FOLLOW_BEAT_MS 15000           /* a comment at least so often */
#define FOLLOW_QUEUE   (256 * 1024)    /* bytes that wait for a client; one with more is dropped */

struct follows_conf {
	struct store *store;
	struct loop *loop;
	const struct kinds *kinds;
	struct jobs_metrics *metrics;
};

int follows_new(struct follows **out, const struct follows_conf *conf, struct err *e) MUST_CHECK;
void follows_free(struct follows *f); /* takes NULL */
struct follow_start {                 /* borrowed */
	const struct identity *who;
	const char *tenant_id; /* "": of any */
	const char *job_id;
};
/* Makes the reply a stream. ERR_NOT_FOUND; ERR_RATE_LIMITED: he has his share; ERR_OVERLOADED. */
int follows_add(struct follows *f, const struct follow_start *start, struct reply *rp, struct err *e) MUST_CHECK;
int follows_tick(struct follows *f, struct err *e) MUST_CHECK;

#endif
