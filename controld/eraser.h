/*
 * eraser - lets users and tenants that are being deleted go for good: every noun's rows in batches, their own row last.
 *
 * Each batch is a transaction of its own, and what is left is found again by the status `deleting`: so it may be killed
 * and run again at any point, by any controld of the database, also twice at once. Totals of traffic stay: they name ids,
 * which name nobody any more.
 *
 * It is work of the jobs of kind "erase" (erase_job.h), one for each owner.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_ERASER_H
#define PORTWAY_CONTROLD_ERASER_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct erase_owner;
struct err;
struct store;

/* How long the row of an owner stays at least: what was under way in its name has ended by then. */
#define ERASER_RIPE_MS 15000

struct eraser_stop { /* asked between two batches */
	bool (*asked)(void *arg);
	void *arg;
};
/* All that this owner has; its own row as well, if it is ripe and nothing else is left. stop may be NULL. */
int eraser_erase(
	struct store *store, const struct erase_owner *o, const struct eraser_stop *stop, struct err *e) MUST_CHECK;

/* Owners that are being deleted, at most max of each kind; fn: 0 goes on. */
typedef int (*eraser_fn)(bool tenant, const char *id, int64_t since_ms, void *arg);
int eraser_leaving(struct store *store, unsigned max, eraser_fn fn, void *arg, struct err *e) MUST_CHECK;

#endif
