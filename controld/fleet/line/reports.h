/*
 * reports - counters on their way to the disk: all reports that came while one transaction ran go into the next one, and
 * a relay gets its acknowledgement when its report is stored.
 *
 * A request is a handle of the caller's; it leaves by `answer`, exactly once, or by `drop` when all ends.
 *
 * Owner:  fleet. Thread: the fleet thread; the transaction runs on the worker.
 * Ends:   reports_end(), then the worker, then reports_free(), which drops what was not answered.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_REPORTS_H
#define PORTWAY_CONTROLD_FLEET_LINE_REPORTS_H

#include "common/base/macros.h"

#include <stdint.h>

struct buf;
struct err;
struct mailbox;
struct msg_report;
struct pool;
struct reports;
struct store;

struct reports_ops {
	void (*answer)(void *owner, void *request, const struct buf *message);
	void (*drop)(void *owner, void *request);
};

struct reports_conf {
	struct store *store;
	struct pool *worker; /* one thread */
	struct mailbox *mailbox;
	const struct reports_ops *ops;
	void *owner;
};

int reports_new(struct reports **out, const struct reports_conf *c, struct err *e) MUST_CHECK;
void reports_free(struct reports *r);
/* No further transaction is begun. */
void reports_end(struct reports *r);
/* A report with counters (m->boot is not ""). Its rows lie in the request's bytes; the state is not looked at. */
void reports_take(struct reports *r, const char *node, const struct msg_report *m, void *request);

struct reports_stats {
	uint64_t waiting; /* now */
	uint64_t stored, failed, batches;
	uint64_t refused, meters_skipped; /* beyond what one node may have */
};
void reports_stats(const struct reports *r, struct reports_stats *out);

#endif
