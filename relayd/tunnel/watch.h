/*
 * watch - a mapping whose target the agents of its client are to check, on one worker: asked of each link that comes, and of
 * all when it changes.
 *
 * Owner:  the seat of the client. Thread: the worker's; the control thread inside workers_call().
 */
#ifndef PORTWAY_RELAYD_TUNNEL_WATCH_H
#define PORTWAY_RELAYD_TUNNEL_WATCH_H

#include "common/base/list.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct agent_link;
struct agent_table;
struct frame_head;
struct object;
struct seat;

struct watch {
	struct list in_seat;
	const struct object *object; /* a reference */
};

/* NULL is not. */
bool watch_is_wanted(const struct object *o);
/* A change of the configuration; either may be NULL, or something else. */
void watches_on_object(struct agent_table *t, const struct object *old, const struct object *new_);
/* A link came: it is asked for all that its seat watches. */
void watches_ask(struct agent_link *a);
/* A HEALTH frame; -1: the link is at fault. */
int watches_hear(struct agent_link *a, const struct frame_head *h, const uint8_t *payload) MUST_CHECK;
void watches_drop(struct seat *s);

#endif
