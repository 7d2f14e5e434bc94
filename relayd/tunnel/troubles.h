/*
 * troubles - agents and targets that have trouble with each other, as a list for a report. Pure.
 *
 * A client has TROUBLES_OF_CLIENT at most, so that one all of whose targets are down does not hide those of others; what is
 * left out is counted.
 *
 * Owner: target_view. Thread: its.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_TROUBLES_H
#define PORTWAY_RELAYD_TUNNEL_TROUBLES_H

#include "common/base/macros.h"
#include "proto/client_state.h"

struct frame_hello;
struct troubles;

#define TROUBLES_OF_CLIENT 64

int troubles_new(struct troubles **out) MUST_CHECK;
void troubles_free(struct troubles *t); /* NULL is fine */
void troubles_clear(struct troubles *t);
/* One, made if it is not there; of these only what names it is set, and the rest is 0. NULL: it is left out. */
struct client_trouble *troubles_get(struct troubles *t, const struct frame_hello *who, const char *mapping);
/* Borrowed until the next change. */
void troubles_list(const struct troubles *t, struct client_states *out);

#endif
