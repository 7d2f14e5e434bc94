/*
 * outlet - what a link's socket did not take yet, and how much may stand in front of it.
 *
 * What waits there, in the kernel and before it, is in the way of all streams of the link; on a slow link a few hundred
 * kilobytes are seconds. So the more time the socket takes to take some, the less may wait (OUTLET_HIGH_MIN at least), and the
 * kernel is told as well (TCP_NOTSENT_LOWAT), which would take megabytes. A socket that is quick again gets more again.
 *
 * Owner: a link embeds it; the descriptor and the pool are borrowed. Thread: the link's.
 * Ends:  outlet_fini().
 */
#ifndef PORTWAY_TUNNEL_OUTLET_H
#define PORTWAY_TUNNEL_OUTLET_H

#include "common/base/buf.h"

#define OUTLET_HIGH     ((size_t)256 * 1024)
#define OUTLET_HIGH_MIN ((size_t)16 * 1024)
#define OUTLET_SLOW_NS  UINT64_C(20000000) /* a full socket that takes longer: half as much may wait, */
#define OUTLET_FAST_NS  UINT64_C(4000000)  /* and less than this: twice as much */

struct mux_pool;

struct outlet {
	int fd;
	struct mux_pool
		*pool;    /* where memory comes from and goes; the owner's, who may change it while nothing waits */
	size_t high;      /* so much may wait in front of it */
	uint64_t bytes;   /* that the kernel has taken */
	struct buf kept;  /* what it did not take, */
	size_t kept_at;   /* from here on, */
	uint64_t full_ns; /* and since when; 0: nothing is kept */
};

void outlet_init(struct outlet *o, int fd, struct mux_pool *pool);
void outlet_fini(struct outlet *o);
size_t outlet_waiting(const struct outlet *o);
/* To the kernel, behind what it did not take the last time. -1: the connection broke, or too much waits (kept.failed). */
int outlet_push(struct outlet *o, const uint8_t *p, size_t n, uint64_t now_ns) MUST_CHECK;
/* More of what waits. -1: the connection broke. */
int outlet_resume(struct outlet *o, uint64_t now_ns) MUST_CHECK;

/* For a test: it was full for so long. */
void outlet_judge(struct outlet *o, uint64_t full_for_ns);

#endif
