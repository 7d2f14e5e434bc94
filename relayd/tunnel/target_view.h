/*
 * target_view - how the targets that agents check are, over all agents and workers, and which mappings that lead from an agent's
 * machine it cannot listen for; what works nowhere is on the list of refusals, what does not at one agent is that one's trouble.
 *
 * A look begins, every worker adds what its links say, and it ends.
 *
 * Owner:  the agents service. Thread: the control thread; target_view_add(): any worker during a look.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_TARGET_VIEW_H
#define PORTWAY_RELAYD_TUNNEL_TARGET_VIEW_H

#include "common/base/macros.h"
#include "proto/client_state.h"

#include <stdbool.h>

struct frame_hello;
struct refusals;
struct snapshot;
struct standing;
struct target_view;

int target_view_new(struct target_view **out, struct refusals *refusals) MUST_CHECK;
void target_view_free(struct target_view *v); /* NULL is fine */
/* Whether any target is checked, now or before. */
bool target_view_apply(struct target_view *v, const struct snapshot *old, const struct snapshot *new_);
void target_view_begin(struct target_view *v);
void target_view_add(
	struct target_view *v, const char *mapping, const struct frame_hello *who, const struct standing *s);
/* Connections to a target did not get through lately. As target_view_add(), and nothing depends on it. */
void target_view_doubt(struct target_view *v, const struct frame_hello *who, const struct standing *s);
/* It says that it cannot listen for that mapping, which leads from its machine; others: other agents of its client do. */
void target_view_add_shut(struct target_view *v, const struct frame_hello *who, const struct standing *s, bool others);
void target_view_end(struct target_view *v);
/* What is down, doubted or not listened on, for a report; items are borrowed until the next look begins. */
void target_view_troubles(const struct target_view *v, struct client_states *out);

#endif
