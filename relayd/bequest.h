/*
 * bequest - what this process hands to its successor, and the program that becomes it.
 *
 * Owner: app. Thread: control thread. Ends: bequest_free(); a successor that was not told to go is killed.
 */
#ifndef PORTWAY_RELAYD_BEQUEST_H
#define PORTWAY_RELAYD_BEQUEST_H

#include "common/base/macros.h"

#include <stdint.h>
#include <uv.h>

struct bequest;
struct err;
struct options;
struct running;
struct services;

struct bequest_goods {
	struct services *services;
	const struct running *running; /* the configuration goes as it is when the successor asks for it */
	int lock_fd, admin_fd;         /* admin_fd -1: there is none */
};

struct bequest_events {
	void (*on_ready)(void *arg);                   /* it serves; step back, then bequest_go() */
	void (*on_failed)(void *arg, const char *why); /* it does not; bequest_free() */
};

/* program: resolved when this process started, so that a file put there since then is what runs. */
int bequest_start(struct bequest **out, uv_loop_t *loop, const char *program, const struct options *options,
	uint64_t timeout_ms, const struct bequest_goods *goods, const struct bequest_events *events, void *arg,
	struct err *e) MUST_CHECK;
int bequest_go(struct bequest *b, struct err *e) MUST_CHECK;
void bequest_free(struct bequest *b); /* NULL is fine */

#endif
