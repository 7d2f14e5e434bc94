/*
 * tcp_session - a TCP stream of a relay and the connection to its target: two sides, a flow each way.
 *
 * What comes before the target is connected waits in the stream, which holds at most its window. Half-close and reset pass
 * through both ways. See agent_session.h for owner and end.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_TCP_SESSION_H
#define PORTWAY_CLIENT_AGENT_TARGET_TCP_SESSION_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct frame_open;
struct sessions;
struct tunnel_link;

size_t tcp_session_size(void);
/* ERR_NONE, or why not: the stream is to be refused. */
int tcp_session_open(struct sessions *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o) MUST_CHECK;

#endif
