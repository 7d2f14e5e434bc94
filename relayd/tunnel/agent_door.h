/*
 * agent_door - where agents connect on one worker, and how many may begin at once.
 *
 * A connection that has said nothing yet is a *guest*: it costs a descriptor and a few bytes, and when there are too many,
 * the one that has been silent longest gives way. Who speaks is let in to the handshake, which costs real work, at a
 * limited rate, in turns by address (visitors.h); what does not begin as a link does is turned away before. So strangers cannot keep
 * agents out by waiting, nor by many handshakes.
 *
 * Owner: the agents service. Thread: the worker's; open and close: the control thread inside workers_call().
 */
#ifndef PORTWAY_RELAYD_TUNNEL_AGENT_DOOR_H
#define PORTWAY_RELAYD_TUNNEL_AGENT_DOOR_H

#include "common/base/macros.h"
#include "relayd/tunnel/agent_table.h"

/* Listens at fd, which is the caller's. */
int agent_door_open(struct agent_door **out, struct agent_table *t, int fd) MUST_CHECK;
/* Guests are turned away. */
void agent_door_close(struct agent_door *d); /* NULL is fine */

#endif
