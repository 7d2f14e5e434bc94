/*
 * sync_report - how a sync ended, told by mail to who is set for that (syncReportEmail): those that did not go well, or all
 * of them (syncReportAll).
 *
 * The mail is queued in the transaction that ends the sync: it is sent once, whatever dies.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_PANEL_SYNC_REPORT_H
#define PORTWAY_CONTROLD_PANEL_SYNC_REPORT_H

#include "common/base/macros.h"
#include "controld/panel/panels.h"
#include "controld/panel/sync_log.h"

#include <stdbool.h>

struct db;
struct err;

/* Who is told, as the settings are now: to be read before the transaction. */
struct sync_report {
	char to[256]; /* "": nobody */
	bool all;
};
int sync_report_read(struct panels *p, struct sync_report *out, struct err *e) MUST_CHECK;
/* s: as it ended. A queue of jobs that is full, or an address that is none, is logged, and no error. */
int sync_report_in(struct db *tx, struct panels *p, const struct sync_report *r, const struct sync_log *s,
	struct err *e) MUST_CHECK;

#endif
