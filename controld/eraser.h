/*
 * eraser - lets users and tenants that are being deleted go for good: every noun's rows in batches, their own row last.
 *
 * Each batch is a transaction of its own, and what is left is found again by the status `deleting`: so it may be killed
 * and run again at any point, by any controld of the database, also twice at once. Totals of traffic stay: they name ids,
 * which name nobody any more.
 *
 * Thread: the janitor's.
 */
#ifndef PORTWAY_CONTROLD_ERASER_H
#define PORTWAY_CONTROLD_ERASER_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;
struct store;

/* How long the row of an owner stays at least: what was under way in its name has ended by then. */
#define ERASER_RIPE_MS 15000

/* Whatever is due: to be called every few seconds. */
int eraser_run(struct store *store, int64_t now_ms, struct err *e) MUST_CHECK;

#endif
