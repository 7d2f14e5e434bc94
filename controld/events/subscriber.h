/*
 * subscriber - one who listens: where he is in the log, what he may see, and the work done for him; inside the hub.
 *
 * Owner:  itself, from subscriber_new() until its stream is gone and no job of it runs.
 * Thread: loop, but subscriber_new() and the job.
 */
#ifndef PORTWAY_CONTROLD_EVENTS_SUBSCRIBER_H
#define PORTWAY_CONTROLD_EVENTS_SUBSCRIBER_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "controld/events/batch.h"
#include "controld/events/event.h"
#include "controld/events/hub.h"

#include <stdint.h>

struct subscriber;
struct stream_ops;

enum subscriber_count { COUNT_SENT, COUNT_DROPPED, COUNT_CLOSED, COUNT_GAPS, COUNTS };

/* What subscribers share; the hub's. */
struct subscriber_room {
	struct hub_conf conf;
	struct pool *pool;
	int64_t end; /* what was handed to all who are live */
	struct list all;
	void (*joined)(struct subscriber_room *r);                     /* one more in `all`, loop thread */
	void (*left)(struct subscriber_room *r, const char *user_key); /* his place is free again */
	void (*count)(struct subscriber_room *r, enum subscriber_count what, uint64_t n);
};

extern const struct stream_ops subscriber_ops;

int subscriber_new(
	struct subscriber **out, struct subscriber_room *r, const struct hub_start *start, struct err *e) MUST_CHECK;
void subscriber_free(struct subscriber *s); /* one that never got a stream */

struct subscriber *subscriber_of(struct list *node);
/* A batch of the hub's reader; those who are behind do not need it. May free s. */
void subscriber_hear(struct subscriber *s, const struct batch *b);
void subscriber_tick(struct subscriber *s, uint64_t now_ms); /* may free s */
/* The hub goes: no more calls from the stream. */
void subscriber_abandon(struct subscriber *s);

#endif
