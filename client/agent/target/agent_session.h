/*
 * agent_session - one stream of a relay and the socket to its target: what TCP and UDP have in common.
 *
 * Owner:  sessions. Thread: the worker's.
 * Ends:   by itself, with its link, or by agent_session_cut(); the first reason wins. Memory goes at the end of the round.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_AGENT_SESSION_H
#define PORTWAY_CLIENT_AGENT_TARGET_AGENT_SESSION_H

#include "client/agent/target/sessions.h"
#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/net/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct allow;
struct connector;
struct err;
struct frame_open;
struct tunnel_link;

struct agent_session_kind {
	int type; /* SOCK_STREAM or SOCK_DGRAM */
	void (*on_target)(struct agent_session *s, int fd);
	/* Tells the relay why. */
	void (*end)(struct agent_session *s, uint16_t code, const char *reason);
};

struct agent_session {
	const struct agent_session_kind *kind;
	struct sessions *all;
	struct tunnel_link *link;
	struct connector *dial; /* NULL: not any more */
	char *host;             /* what the relay asked for */
	struct allow *within;   /* what it may lead to besides, by the mapping; NULL: all */
	uint16_t port;
	struct addr to; /* what it led to */
	struct list in; /* the sessions of its kind */
};

/* Counts it in and starts to dial. ERR_*: why it cannot be; then it is to be freed, and the stream refused. */
int agent_session_begin(struct agent_session *s, struct sessions *all, const struct agent_session_kind *kind,
	struct tunnel_link *l, const struct frame_open *o) MUST_CHECK;
/* The counterpart, in the moment it closes; its stream is in no mux any more. */
void agent_session_leave(struct agent_session *s);
void agent_session_cut(struct agent_session *s, uint16_t code, const char *reason);
/* Whether the list of the moment would let it dial where it is connected to. */
bool agent_session_is_allowed(const struct agent_session *s);

#endif
