/*
 * farewell - why a client is sent away before a byte went back to it: whoever knows the client's protocol can tell it.
 */
#ifndef PORTWAY_RELAYD_STREAM_FAREWELL_H
#define PORTWAY_RELAYD_STREAM_FAREWELL_H

enum farewell {
	FAREWELL_NONE,        /* nothing to say: the connection is reset */
	FAREWELL_FORBIDDEN,   /* allow and deny lists */
	FAREWELL_BUSY,        /* a limit */
	FAREWELL_UNREACHABLE, /* no agent, or the target does not answer */
	FAREWELL_BAD,         /* a PROXY header that is not expected */
};

#endif
