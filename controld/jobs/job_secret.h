/*
 * job_secret - the arguments of a job that nobody may read: sealed in its row, put back for who does the work.
 *
 * The column args has "***" where a secret member was, and the column sealed the secret members, as one JSON object sealed
 * with the master key for the job's id; it is empty where there are none.
 *
 * Thread: any; what gets a `tx` inside its transaction. Whoever gets text with secrets wipes it: job_secret_free().
 */
#ifndef PORTWAY_CONTROLD_JOBS_JOB_SECRET_H
#define PORTWAY_CONTROLD_JOBS_JOB_SECRET_H

#include "common/base/macros.h"
#include "controld/jobs/kind.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct db;
struct err;
struct sql_table;
struct store;

/* Whether some member of the arguments is secret. */
bool job_secret_any(const struct job_kind *k, const json_t *args);
/* *open: the arguments as everybody may read them; *secret: the secret members, NULL if there are none. */
int job_secret_split(
	const struct job_kind *k, const json_t *args, char **open, char **secret, struct err *e) MUST_CHECK;
void job_secret_free(char *text); /* takes NULL */

/* Appends to out what is kept of `secret` (NULL: nothing is). */
int job_secret_seal(struct db *tx, const char *job_id, const char *secret, struct buf *out, struct err *e) MUST_CHECK;
/* Puts what was sealed (n bytes) back into the arguments. ERR_CRYPTO: with another master key, or damaged. */
int job_secret_open(
	struct db *tx, const char *job_id, const void *sealed, size_t n, json_t *args, struct err *e) MUST_CHECK;

/* Jobs of a database from before there was that: what is secret in their arguments is sealed. */
int job_secret_adopt(struct store *s, const struct kinds *kinds, struct err *e) MUST_CHECK;

extern const struct sql_table job_secret_sql;

#endif
