/*
 * handover - the predecessor's side: starts the program file as it is now, hands it all sockets, and steps back only
 * when it says that it serves.
 *
 *   WAITING (for HELLO) --goods sent--> OFFERED (waits for READY) --> DONE
 *        |                                 |
 *        +------- time, trouble, end ------+--> FAILED: the successor is killed, nothing has changed here
 *
 * Owner: app. Thread: control thread; handing over blocks it for as long as the successor takes the goods.
 * Ends:  by itself in DONE or FAILED, or by handover_free(), which kills a successor that is not DONE.
 */
#ifndef PORTWAY_RELAYD_HANDOVER_HANDOVER_H
#define PORTWAY_RELAYD_HANDOVER_HANDOVER_H

#include "common/base/macros.h"
#include "relayd/handover/parcel.h"

#include <uv.h>

struct err;
struct handover;

struct handover_events {
	/* Puts everything and ends the parcel; 0 or -1. */
	int (*on_collect)(void *arg, struct parcel *p, struct err *e);
	/* It serves. Step back, then handover_go(). */
	void (*on_ready)(void *arg);
	/* It does not; free this. */
	void (*on_failed)(void *arg, const char *why);
};

int handover_start(struct handover **out, uv_loop_t *loop, const char *program, char *const argv[], uint64_t timeout_ms,
	const struct handover_events *events, void *arg, struct err *e) MUST_CHECK;
/* After on_ready: the successor is alone responsible, and a process on its own. */
int handover_go(struct handover *h, struct err *e) MUST_CHECK;
void handover_free(struct handover *h); /* NULL is fine; handles close later */

#endif
