/*
 * frame_hello - how a link begins: the agent says who it is (HELLO), and the relay lets it in (WELCOME). As frame.h.
 */
#ifndef PORTWAY_TUNNEL_FRAME_HELLO_H
#define PORTWAY_TUNNEL_FRAME_HELLO_H

#include "common/tunnel/frame.h"

#define FRAME_SIGNATURE    64
#define FRAME_EXPORTED     32                           /* bytes taken from the TLS session (RFC 8446 section 7.5) */
#define FRAME_EXPORT_LABEL "EXPERIMENTAL-portway-agent" /* RFC 5705 section 4: the prefix for private labels */

enum frame_role { FRAME_FOR_MANY, FRAME_FOR_ONE }; /* connections, at a time */
struct frame_hello {
	char client[FRAME_ID_SIZE];   /* its id, decimal */
	char instance[FRAME_ID_SIZE]; /* which agent of this client; the same after a restart */
	uint64_t epoch;               /* of this run of the instance: a later one takes over from an earlier one */
	char version[FRAME_ID_SIZE];  /* of the program */
	uint8_t role;                 /* enum frame_role */
	uint16_t lane; /* of the relay, as a WELCOME named it: where a link for one connection is wanted */
	uint8_t signature[FRAME_SIGNATURE];
};
/* What the signature is over: the session's exported bytes and everything else in the hello. */
void frame_hello_signed(const struct frame_hello *h, const uint8_t exported[FRAME_EXPORTED], struct buf *out);
void frame_hello_put(struct buf *b, const struct frame_hello *h);
/* Which version of this page it speaks; all versions begin so. -1: none. Of another than FRAME_VERSION nothing else is known. */
int frame_hello_version(const void *p, size_t n);
int frame_hello_get(struct frame_hello *h, const void *p, size_t n) MUST_CHECK;

struct frame_welcome {
	char node[FRAME_ID_SIZE];
	uint16_t links;      /* that the relay would like: one for each of its threads */
	uint32_t ping_ms;    /* either side, when nothing else is sent; three without an answer end the link */
	uint32_t window;     /* bytes that may be sent on a stream before the first WINDOW */
	uint32_t backoff_ms; /* longest wait between two attempts to come back */
	uint16_t lane;       /* of the relay's threads, the one that serves this link */
};
void frame_welcome_put(struct buf *b, const struct frame_welcome *w);
int frame_welcome_get(struct frame_welcome *w, const void *p, size_t n) MUST_CHECK;

#endif
