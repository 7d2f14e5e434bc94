/*
 * reseal - what is sealed with another key than that of now is sealed with it, column by column.
 *
 * A noun that keeps something sealed says so by a struct sealed_column, which controld/rotate.c lists; a test knows every
 * BLOB of the database. What is left to do is seen in the rows themselves, so it may be interrupted anywhere and begun
 * again, while others read and write: a row that was written meanwhile is left as it is.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_STORE_RESEAL_H
#define PORTWAY_CONTROLD_STORE_RESEAL_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

struct sealed_column {
	const char *name;    /* "webhooks.url" */
	const char *context; /* what it is sealed for: this and the row's key, */
	bool for_all;        /* or this alone */
	/* Key and sealed value of at most ?2 rows that do not begin with ?1 (SECRETS_HEAD bytes). */
	const char *stale;
	/* Of the row ?1 the value ?3 becomes ?2. */
	const char *reseal;
};

/* Adds to *n how many rows it has sealed. ERR_CRYPTO names a row that no key of the store opens. */
int reseal_column(struct store *s, const struct sealed_column *c, uint64_t *n, struct err *e) MUST_CHECK;

#endif
