/*
 * refusals - the objects that cannot work right now, each with its reason; what poll and report carry.
 *
 * Owner: app. Thread: control thread. Every change raises the serial and calls on_change, which should only note it
 * (a snapshot may bring thousands at once). Saying the same again is no change, so a service may retry and repeat.
 */
#ifndef PORTWAY_RELAYD_CONF_REFUSALS_H
#define PORTWAY_RELAYD_CONF_REFUSALS_H

#include "common/base/err.h"
#include "proto/node_state.h"

struct object;
struct refusals;

int refusals_new(struct refusals **out, void (*on_change)(void *arg), void *arg, struct err *e) MUST_CHECK;
void refusals_free(struct refusals *r);
/* Before anything else: a serial above all that an earlier process of this relay can have used. */
void refusals_start(struct refusals *r, uint64_t serial);
/* One reason per object: a second replaces the first. */
void refusals_set(struct refusals *r, const struct object *o, const struct err *why);
/* The object works, or is gone. */
void refusals_clear(struct refusals *r, const char *id);
/* Fills the list and the serial, not the revision. Borrowed until the next change. */
void refusals_state(const struct refusals *r, struct node_state *out);
uint64_t refusals_count(const struct refusals *r);

#endif
