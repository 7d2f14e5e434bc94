/*
 * udp_waiting - datagrams that came before the way to the target was known, within bounds.
 *
 * Each stands on three shelves: its session's, its lane's and its worker's. When one of them is full, the oldest there gives
 * way and is counted as dropped: a newer datagram is worth more, as who sent the oldest has most likely sent it again. Of the
 * worker's a lane has its share (common/base/share.h); one that is beyond it drops its own.
 *
 * Owner: the session. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_UDP_WAITING_H
#define PORTWAY_RELAYD_DATAGRAM_UDP_WAITING_H

#include "common/base/list.h"

#include <stddef.h>
#include <sys/uio.h>

#define UDP_WAITING_MAX  4                 /* datagrams of one session */
#define UDP_WAITING_LANE (1024 * 1024)     /* bytes of a mapping's, on one worker */
#define UDP_WAITING_DESK (4 * 1024 * 1024) /* bytes of a worker's */

struct udp_session;

struct udp_shelf {
	struct list all; /* oldest first */
	unsigned n;
	size_t bytes; /* of memory */
};

void udp_shelf_init(struct udp_shelf *f);
void udp_waiting_add(struct udp_session *s, const struct iovec *d);
/* All of the session, oldest first, with UDP_HEADROOM in front of each; valid until they are dropped. How many. */
unsigned udp_waiting_datagrams(const struct udp_session *s, struct iovec out[UDP_WAITING_MAX]);
/* All of the session: they were sent on, or nobody wants them any more. */
void udp_waiting_drop(struct udp_session *s);

#endif
