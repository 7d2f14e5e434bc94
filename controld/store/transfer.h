/*
 * transfer - every row of one database to another, whatever kind each of them is.
 *
 * The source is read in one snapshot. The target gets the tables that the source has, its rows and nothing else, in one
 * transaction, which is only committed when each table, read again, has the same number of rows and the same digest.
 *
 * A digest is the sum, modulo 2^256, of the SHA-256 of each row, so that it does not depend on the order of rows.
 *
 * Thread: any; blocks for as long as it takes.
 */
#ifndef PORTWAY_CONTROLD_STORE_TRANSFER_H
#define PORTWAY_CONTROLD_STORE_TRANSFER_H

#include "common/base/macros.h"
#include "controld/store/driver.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct migration_set;

struct transfer_digest {
	uint64_t rows;
	uint64_t sum[4];
};

struct transfer {
	const char *from, *to; /* URLs */
	const struct migration_set *set;
	bool samples;                /* set is that of the samples */
	bool foreign;                /* `from` is a copy: nothing about it is changed */
	bool plain;                  /* `to` is a file to be carried away */
	bool replace;                /* what is in `to` goes; otherwise it must be empty */
	bool new_log;                /* `to` becomes a history of its own */
	driver_progress_fn progress; /* in rows; may be NULL */
	void (*table)(
		const char *name, const struct transfer_digest *d, void *arg); /* of each that arrived; may be NULL */
	void *arg;
};

int transfer_run(const struct transfer *t, struct err *e) MUST_CHECK;

#endif
