/*
 * grants - what relays ask for of users' quotas: each message is one transaction on the worker, in the order in which they came.
 *
 * A request is a handle of the caller's; it leaves by `answer`, exactly once, or by `drop` when all ends.
 *
 * Owner:  fleet. Thread: the fleet thread; the transaction runs on the worker.
 * Ends:   grants_end(), then the worker, then grants_free(), which drops what was not answered.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_GRANTS_H
#define PORTWAY_CONTROLD_FLEET_LINE_GRANTS_H

#include "common/base/macros.h"
#include "controld/fleet/line/reports.h"

#include <stddef.h>

struct grants;

int grants_new(struct grants **out, const struct reports_conf *c, struct err *e) MUST_CHECK;
void grants_free(struct grants *g);
void grants_end(struct grants *g);
/* A MSG_SPEND of this node; -1: it is none. */
int grants_take(struct grants *g, const char *node, const void *p, size_t n, void *request) MUST_CHECK;

#endif
