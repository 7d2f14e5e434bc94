/*
 * access_log - the file of access lines: workers leave lines in rings, a thread of its own writes them.
 *
 * A worker never waits: a line for which its ring has no room is dropped and counted. The writer gathers what came for some
 * milliseconds, so a busy relay makes a few system calls a second for it. When the file was moved away (logrotate) a new
 * one is made within a second.
 *
 * Owner:  the engine. access_log_put() by the worker with that index; the rest by the control thread.
 * Ends:   access_log_free() after the workers were joined: what is in the rings is written first.
 */
#ifndef PORTWAY_RELAYD_FILTER_ACCESS_LOG_H
#define PORTWAY_RELAYD_FILTER_ACCESS_LOG_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

#define ACCESS_LOG_RING (256 * 1024) /* bytes of a worker's lines that wait */

struct access_log;
struct err;

/* path: a file, or "stdout". */
int access_log_new(struct access_log **out, const char *path, unsigned workers, struct err *e) MUST_CHECK;
void access_log_free(struct access_log *l); /* NULL is fine */
/* One line with its end. */
void access_log_put(struct access_log *l, unsigned worker, const void *line, size_t n);

struct access_log_counts {
	uint64_t lines, dropped;
	uint64_t failed; /* bytes that the file did not take */
};
void access_log_counts(const struct access_log *l, struct access_log_counts *out);

#endif
