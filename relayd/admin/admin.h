/*
 * admin - the relay's own small HTTP address: /metrics, /health, /ready.
 *
 * One request a connection; connections, the head and the time they take are bounded. What the pages say comes from a
 * table of functions that the owner gives.
 *
 * Owner:  app. Thread: control thread.
 * Ends:   admin_close() at any time, any number of times; on_closed runs once, when every handle is closed.
 */
#ifndef PORTWAY_RELAYD_ADMIN_ADMIN_H
#define PORTWAY_RELAYD_ADMIN_ADMIN_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct admin;
struct buf;
struct err;

struct admin_page {
	const char *path;
	const char *content_type;
	unsigned (*print)(void *arg, struct buf *out); /* the HTTP status */
};

struct admin_conf {
	const char *listen; /* "127.0.0.1:9400" */
	int listen_fd;      /* a listening socket to take over, or -1 */
	size_t connections; /* at once */
	uint64_t deadline_ms;
	const struct admin_page *pages; /* borrowed */
	size_t n_pages;
	void *arg; /* of the pages */
};

int admin_open(struct admin **out, uv_loop_t *loop, const struct admin_conf *conf, struct err *e) MUST_CHECK;
int admin_fd(const struct admin *a); /* the listening socket, for a successor; borrowed */
/* Accept no more; what is being answered goes on. */
void admin_quiesce(struct admin *a);
void admin_close(struct admin *a, void (*on_closed)(void *arg), void *arg);

#endif
