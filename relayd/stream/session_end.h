/*
 * session_end - why a session is over. For its parts alone (session_inside.h).
 *
 * Owner: a session. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_STREAM_SESSION_END_H
#define PORTWAY_RELAYD_STREAM_SESSION_END_H

struct session;

enum session_end {
	END_DONE,
	END_RESET,
	END_TIMED_OUT,
	END_CUT,
	END_REFUSED,
	END_HEADER,
	END_LOGIN,
	END_SHUT, /* the config of the target's client */
	END_DESTINATION,
	END_PROTOCOL,
	END_TARGET,
	END_RESOURCE,
	END_CROWDED,
	END_DOWN,
	END_QUOTA
};

/* Any number of times; the first reason wins. The memory lives until the end of the round. */
void session_close(struct session *s, enum session_end why);
const char *session_end_reason(enum session_end why);

#endif
