/*
 * lease - what is done every now and then, by one controld for all that share a database.
 *
 * A lease is a row: when its work was begun last, and by whom until when. Whoever finds it due takes it in one statement,
 * so of several that come at once one gets it. Who dies with it holds the work up until `hold_ms` is over; who only was
 * frozen goes on beside the next one, so the work must be safe to be done twice.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_STORE_LEASE_H
#define PORTWAY_CONTROLD_STORE_LEASE_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct lease {
	const char *name;
	const char *holder; /* controlds.id */
	uint64_t every_ms;
	uint64_t hold_ms;
};

/* *mine: it is due, nobody else is at it, and now we are. */
int lease_take(struct store *s, const struct lease *l, int64_t now_ms, bool *mine, struct err *e) MUST_CHECK;
int lease_end(struct store *s, const struct lease *l, struct err *e) MUST_CHECK;

extern const struct sql_table lease_sql;

#endif
