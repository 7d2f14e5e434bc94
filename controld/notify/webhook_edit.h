/*
 * webhook_edit - what the API does to a webhook, whichever of its routes was called: taken from a body, checked, written with
 * its row of the change log; and a test, which is sent at once.
 *
 * Thread: a worker.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_WEBHOOK_EDIT_H
#define PORTWAY_CONTROLD_NOTIFY_WEBHOOK_EDIT_H

#include "common/base/macros.h"
#include "controld/notify/attempt.h"
#include "controld/notify/webhook.h"
#include "controld/rest/route.h"

#include <stdbool.h>

struct err;
struct notify;

struct webhook_edit {
	const struct request *rq;
	struct webhook w;
	const char *op;   /* for the change log */
	bool restart;     /* it was off: what happened meanwhile is not for it */
	bool secret_made; /* by us: shown this once */
};

/* A new one of that tenant; "": the platform's. */
void webhook_edit_new(struct webhook_edit *x, const struct request *rq, const char *tenant_id);
/* The one there is, to be changed or deleted; tenant_id "": of any. */
int webhook_edit_read(struct notify *n, struct webhook_edit *x, const struct request *rq, const char *tenant_id,
	const char *id, struct err *e) MUST_CHECK;
/* The members of the request's body. */
int webhook_edit_take(struct notify *n, struct webhook_edit *x, struct err *e) MUST_CHECK;

int webhook_edit_create(struct notify *n, struct webhook_edit *x, struct err *e) MUST_CHECK;
int webhook_edit_update(struct notify *n, struct webhook_edit *x, struct err *e) MUST_CHECK;
int webhook_edit_delete(struct notify *n, struct webhook_edit *x, struct err *e) MUST_CHECK;

/* Sent beside the queue, and written to the log of deliveries. */
struct webhook_test {
	char id[RAND_ID_SIZE];
	struct attempt attempt;
};
int webhook_edit_test(struct notify *n, const struct webhook *w, struct webhook_test *out, struct err *e) MUST_CHECK;

#define WEBHOOK_EDIT_TYPES 5
extern const char *const webhook_types[WEBHOOK_EDIT_TYPES + 1]; /* NULL at the end: for schemas */

#endif
