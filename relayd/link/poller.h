/*
 * poller - the poll line's loop: "I have revision V" out, an update in, at once again; what it means is its owner's.
 *
 * Owner: app. Thread: control thread. Ends: poller_close(), any number of times; on_closed once, then it is gone.
 */
#ifndef PORTWAY_RELAYD_LINK_POLLER_H
#define PORTWAY_RELAYD_LINK_POLLER_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct link;
struct msg_poll;
struct msg_update;
struct poller;

struct poller_ops {
	/* Fills what this relay has; the state's list is borrowed until the call returns to the loop. */
	void (*fill)(void *arg, struct msg_poll *out);
	/* Applies; answers after how many milliseconds to poll again, 0: at once. */
	uint64_t (*update)(void *arg, const struct msg_update *m);
};

int poller_new(struct poller **out, uv_loop_t *loop, struct link *link, const struct poller_ops *ops, void *arg,
	struct err *e) MUST_CHECK;
void poller_close(struct poller *p, void (*on_closed)(void *arg), void *arg);
/* Polls when the link is up, until stopped. Both any number of times. */
void poller_start(struct poller *p);
void poller_stop(struct poller *p);
/* From the link's events. */
void poller_up(struct poller *p);
void poller_reply(struct poller *p, const void *msg, size_t n);
void poller_lost(struct poller *p);

#endif
