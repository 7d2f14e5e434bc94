/*
 * batch - some events in a row, read from the log on a worker.
 *
 * Owner: who reads it; batch_fini() afterwards.
 */
#ifndef PORTWAY_CONTROLD_EVENTS_BATCH_H
#define PORTWAY_CONTROLD_EVENTS_BATCH_H

#include "common/base/macros.h"
#include "controld/events/event.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

#define BATCH_EVENTS_MAX 256 /* wanted; a transaction is not divided, so there may be more */

struct batch {
	int64_t from, to; /* events beyond from, up to to */
	bool at_end;      /* and there were no more */
	bool gap;         /* what came after from is no longer kept */
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	struct event *events;
	size_t n, room;
};

/* Reads what is beyond b->from. Blocks. */
int batch_read(struct batch *b, struct store *store, struct err *e) MUST_CHECK;
void batch_fini(struct batch *b); /* the events; from stays */

#endif
