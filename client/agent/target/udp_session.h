/*
 * udp_session - a UDP stream of a relay and a connected socket to its target.
 *
 * Datagrams that come while the target's name is being resolved wait, a few of them, and the oldest is dropped for a newer
 * one; afterwards what a socket or a link does not take is dropped and counted. See agent_session.h for owner and end.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_UDP_SESSION_H
#define PORTWAY_CLIENT_AGENT_TARGET_UDP_SESSION_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame_open;
struct agent_session;
struct sessions;
struct tunnel_link;

size_t udp_session_size(void);
/* ERR_NONE, or why not: the stream is to be refused. */
int udp_session_open(struct sessions *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o) MUST_CHECK;
/* For so long that another one may have its place. */
bool udp_session_is_silent(const struct agent_session *s);

#endif
