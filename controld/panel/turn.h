/*
 * turn - one after the other of several controlds asks a panel, and its budget is one: requests that a sync has sent are
 * remembered in its process (rate.h), so who comes after another process waits until that one's are out of every window.
 *
 * There is one sync at a time (sync_log_begin()); the row says whose was the last, and when it sent nothing more. One that
 * did not say so was killed, or hangs, and its last request may have been a moment ago.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_PANEL_TURN_H
#define PORTWAY_CONTROLD_PANEL_TURN_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/store/store.h"

#include <stdint.h>

struct err;

struct turn {
	struct store *store;
	const char *slot;   /* which panel */
	const char *holder; /* which process */
	uint64_t window_ms; /* the panel's */
};

/* *hold_ms: for so long nothing is to be sent. */
int turn_begin(const struct turn *t, int64_t now_ms, uint64_t *hold_ms, struct err *e) MUST_CHECK;
/* No more is sent; has no effect when another one has it by now. */
int turn_end(const struct turn *t, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table turn_sql;

#endif
