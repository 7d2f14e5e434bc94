/*
 * admin_conn - one HTTP connection: a request's head is read, one answer is written, the connection is closed.
 *
 * Owner:  admin. Thread: control thread.
 * Ends:   by itself after the answer, a bad request, or the deadline; or admin_conn_close(), any number of times.
 *         on_closed runs once; the owner frees there.
 */
#ifndef PORTWAY_RELAYD_ADMIN_ADMIN_CONN_H
#define PORTWAY_RELAYD_ADMIN_ADMIN_CONN_H

#include "common/base/macros.h"

#include <stdint.h>
#include <uv.h>

struct admin_conn;
struct buf;
struct list;

/* The page of a path: appends it, names its type (a static string), answers the status; 404 leaves the rest. */
typedef unsigned (*admin_answer_fn)(void *arg, const char *path, const char **content_type, struct buf *out);
typedef void (*admin_conn_closed_fn)(struct admin_conn *c, void *arg);

/* Accepts from the listener. -1 only for lack of memory; whatever else fails ends in on_closed. */
int admin_conn_new(struct admin_conn **out, uv_stream_t *listener, uint64_t deadline_ms, admin_answer_fn answer,
	admin_conn_closed_fn on_closed, void *arg) MUST_CHECK;
void admin_conn_close(struct admin_conn *c);
void admin_conn_free(struct admin_conn *c); /* in on_closed only */
struct list *admin_conn_link(struct admin_conn *c);
struct admin_conn *admin_conn_of(struct list *link);

#endif
