/*
 * erase_job - a job for each user and tenant that is being deleted.
 */
#ifndef PORTWAY_CONTROLD_ERASE_JOB_H
#define PORTWAY_CONTROLD_ERASE_JOB_H

#include "common/base/macros.h"
#include "controld/jobs/kind.h"

struct err;
struct jobs;
struct store;

/* Their functions get the store. */
extern const struct job_kind erase_job_kinds[];
extern const size_t erase_job_kinds_n;

/* Sees that there is one for each that goes: to be called every few seconds. Again is fine. */
int erase_job_start(struct jobs *jobs, struct store *store, struct err *e) MUST_CHECK;

#endif
