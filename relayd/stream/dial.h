/*
 * dial - connecting to a target that may have several addresses: one after the other, within one time-out for all.
 *
 * Owner: a session, until it is connected. Thread: the worker's. Every address is asked of the dial rule when its turn comes.
 */
#ifndef PORTWAY_RELAYD_STREAM_DIAL_H
#define PORTWAY_RELAYD_STREAM_DIAL_H

#include <stdint.h>

struct mapping_conf;
struct targets;

struct dial {
	struct targets *targets; /* a reference; NULL: not known yet */
	unsigned next;           /* of its addresses */
	uint16_t port;
	uint64_t ends_ns; /* of the whole dial; UINT64_MAX: the kernel's own time-out */
	uint64_t due_ns;  /* of the attempt under way */
};

void dial_init(struct dial *d, uint16_t port, uint32_t timeout_ms, uint64_t now_ns);
void dial_fini(struct dial *d);
/* Starts the next attempt: a socket that connects, or -1 when no address is left. Its time is over at due_ns. */
int dial_next(struct dial *d, const struct mapping_conf *conf, uint64_t now_ns);

#endif
