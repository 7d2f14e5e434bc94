/*
 * successor - the new process's side of a handover: takes the goods, says when it serves, waits for the word to go.
 *
 * Owner: app. Thread: control thread. successor_take() blocks; it runs before this process serves anything.
 * Ends:  successor_free(); on_go is called once at most.
 */
#ifndef PORTWAY_RELAYD_HANDOVER_SUCCESSOR_H
#define PORTWAY_RELAYD_HANDOVER_SUCCESSOR_H

#include "common/base/macros.h"
#include "relayd/handover/parcel.h"

#include <stdbool.h>
#include <uv.h>

struct err;
struct successor;

/* Says HELLO and takes everything, fn taking each descriptor. fd: the socket to the predecessor, now this object's. */
int successor_take(
	struct successor **out, int fd, uint64_t timeout_ms, parcel_fn fn, void *arg, struct err *e) MUST_CHECK;
/* This process serves. on_go: ok is true when the predecessor has stepped back, false when it is gone or gave up. */
int successor_ready(
	struct successor *s, uv_loop_t *loop, void (*on_go)(void *arg, bool ok), void *arg, struct err *e) MUST_CHECK;
void successor_free(struct successor *s); /* NULL is fine; its handle closes later */

#endif
