/*
 * erasure - what a noun does with its rows when the user or the tenant that owns them goes for good.
 *
 * Deleting sets the status `deleting` in one logged transaction, which switches everything off at once; then the eraser
 * (controld/eraser.h) calls every noun's function, in the order in which rows depend on each other, for a few rows in each
 * transaction until none is left. A noun that has rows with a tenant_id or a user_id registers one of these, or a test says
 * why its rows stay.
 */
#ifndef PORTWAY_CONTROLD_STORE_ERASURE_H
#define PORTWAY_CONTROLD_STORE_ERASURE_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;

struct erase_owner {
	bool tenant; /* a tenant; else a user */
	const char *id;
	int64_t now_ms;
	bool ripe; /* what was under way when it was deleted has ended: its own row may go once nothing else is left */
};

/*
 * Inside a logged transaction: erases at most `limit` rows of this owner. *n gets how many; fewer than limit: no more are
 * left. *position is 0 at the first call for an owner and then what the call before left there. Erasing again is fine.
 */
typedef int (*erase_fn)(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e);

/* Runs statements of a noun that delete at most ?2 rows of the user or the tenant ?1. */
int erase_by(struct db *tx, const char *of_user, const char *of_tenant, const struct erase_owner *o, unsigned limit,
	unsigned *n, struct err *e) MUST_CHECK;

/* Owners that are being deleted, read by a noun's statement: id, since when; at most ?1. fn: 0 goes on. */
typedef int (*erase_leaving_fn)(const char *id, int64_t since_ms, void *arg);
int erase_leaving(
	struct db *db, const char *statement, unsigned limit, erase_leaving_fn fn, void *arg, struct err *e) MUST_CHECK;

struct erasure {
	const char *kind;   /* of object, as the change log calls it */
	const char *tables; /* what it erases from, by comma */
	erase_fn erase;
};

#endif
