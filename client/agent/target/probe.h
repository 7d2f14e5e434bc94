/*
 * probe - one try whether a target works: a connection to it, and for HTTP the status that it answers a GET with.
 *
 * Owner: who started it, until on_done. Thread: the worker's.
 * Ends:  on_done exactly once and never inside probe_start(), or probe_cancel() before it. It frees itself.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_PROBE_H
#define PORTWAY_CLIENT_AGENT_TARGET_PROBE_H

#include "common/base/macros.h"

#include <stdbool.h>

struct addr;
struct err;
struct frame_check_spec;
struct probe;
struct worker;

struct probe_ops {
	bool (*may)(const struct addr *to, void *arg);     /* asked of each address */
	void (*on_done)(void *arg, const struct err *why); /* NULL: it works */
};

/* spec: borrowed until it ends. NULL: out of memory or descriptors; on_done is not called. */
struct probe *probe_start(
	struct worker *w, const struct frame_check_spec *spec, const struct probe_ops *ops, void *arg) MUST_CHECK;
void probe_cancel(struct probe *p); /* NULL is fine */

#endif
