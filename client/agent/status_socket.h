/*
 * status_socket - how an agent is, for whoever may connect to a Unix socket of it: one JSON object, and the end.
 *
 * Owner:  process. Thread: the worker's; status_socket_ask() is for another process and blocks.
 * Limits: STATUS_ANSWERS_MAX answers at once, each with a deadline; further ones are closed.
 */
#ifndef PORTWAY_CLIENT_AGENT_STATUS_SOCKET_H
#define PORTWAY_CLIENT_AGENT_STATUS_SOCKET_H

#include "common/base/macros.h"

#include <stddef.h>

struct buf;
struct err;
struct status_socket;
struct worker;

#define STATUS_SOCKET_NAME  "agent.sock"
#define STATUS_ANSWERS_MAX  16
#define STATUS_ANSWER_BYTES (1024 * 1024)

/* In the folder, which is made; mode 0600. A socket that nobody listens on any more is replaced. */
int status_socket_open(struct status_socket **out, struct worker *w, const char *dir,
	void (*print)(void *arg, struct buf *out), void *arg, struct err *e) MUST_CHECK;
void status_socket_close(struct status_socket *s); /* NULL is fine */

/* The answer of the agent whose socket is in the folder. ERR_NOT_FOUND: no agent runs there. */
int status_socket_ask(const char *dir, struct buf *out, struct err *e) MUST_CHECK;

#endif
