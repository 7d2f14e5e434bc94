/*
 * kind - what kinds of jobs there are: a row each in a const table of the feature that does the work.
 *
 * Owner:  jobs; the rows are the features', borrowed. Thread: any, once all features have added theirs.
 */
#ifndef PORTWAY_CONTROLD_JOBS_KIND_H
#define PORTWAY_CONTROLD_JOBS_KIND_H

#include "common/base/macros.h"
#include "controld/rest/route.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct job_run;

enum job_queue { JOB_CRITICAL, JOB_DEFAULT, JOB_LOW, JOB_QUEUES };

enum job_kind_flags {
	JOB_UNIQUE =
		1, /* with the same arguments for the same tenant there is one at a time, unless the caller gives a key */
};

/*
 * Does the work, as a plain blocking function on a worker thread: 0 it is done, -1 it failed and is tried again later
 * (job_run.h). It may have been begun before, and have died anywhere: it must be safe to do again.
 */
typedef int (*job_fn)(void *feature, struct job_run *r, struct err *e);

struct job_kind {
	const char *name; /* "erase"; lower case, digits, '.', '-' */
	enum job_queue queue;
	unsigned attempts;       /* as many failures make it dead */
	uint64_t timeout_ms;     /* of one attempt; 0: none */
	uint64_t backoff_ms;     /* the longest pause after the first failure; then twice as long each time, */
	uint64_t backoff_max_ms; /* up to this */
	unsigned flags;
	enum permission start; /* who may start or schedule it over the API; PERM_PUBLIC: nobody, only the program */
	const struct schema *args; /* members with SCHEMA_SECRET are sealed in the job's row */
	job_fn run;
	const char *summary;
};

/* What a feature adds: its rows, and what their functions get. */
struct job_kinds {
	const struct job_kind *rows;
	size_t n;
	void *feature;
};

#define KIND_TABLES_MAX 16
struct kinds {
	struct job_kinds tables[KIND_TABLES_MAX];
	size_t n;
};

/* A name that is there already is a mistake of the program. */
void kinds_add(struct kinds *k, struct job_kinds table);
/* *feature may be NULL. NULL: there is none of that name. */
const struct job_kind *kinds_find(const struct kinds *k, const char *name, void **feature);
/* Whether arguments fit; all errors are added. */
void kind_check(const struct job_kind *k, const json_t *args, struct err_list *errs);
/* A copy in which secret members are "***", the caller's; NULL: out of memory. */
json_t *kind_shown_args(const struct job_kind *k, const json_t *args);
/* The member "args" of what is printed, from their text: secret members are "***"; null if the kind is unknown, for nobody
 * knows then what of it is secret. */
void kind_print_args(struct buf *b, const struct job_kind *k, const char *args);

const char *job_queue_name(enum job_queue q);
int job_queue_parse(const char *s, enum job_queue *out) MUST_CHECK;

#endif
