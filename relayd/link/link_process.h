/*
 * link_process - one run of the link process, seen from its parent: frames out, frames in, its end.
 *
 * Owner:  link. Thread: control thread.
 * Ends:   link_process_end() kills it, any number of times; then only on_gone is called, once, and the object is gone.
 */
#ifndef PORTWAY_RELAYD_LINK_LINK_PROCESS_H
#define PORTWAY_RELAYD_LINK_LINK_PROCESS_H

#include "common/base/macros.h"
#include "relayd/link/link_frame.h"

#include <uv.h>

struct buf;
struct err;
struct link_process;

struct link_process_events {
	void (*on_frame)(void *arg, const struct link_frame *f); /* borrowed; may end the process */
	void (*on_trouble)(void *arg, const char *why);          /* it said nonsense or is ending; end it */
	void (*on_gone)(void *arg);
};

/* program is run with LINK_CHILD_WORD. */
int link_process_start(struct link_process **out, uv_loop_t *loop, const char *program,
	const struct link_process_events *events, void *arg, struct err *e) MUST_CHECK;
/* Sends whole frames; takes their bytes and leaves *frames empty. */
void link_process_send(struct link_process *p, struct buf *frames);
void link_process_end(struct link_process *p);

#endif
