/*
 * link - the line to controld: a child process that speaks nng, started, watched, and started again after any trouble.
 *
 *   OFF --link_open--> STARTING --connected--> UP --trouble--> WAITING --jittered back-off--> STARTING ...
 *
 * Trouble is one thing: the process ended, a request got no answer in time, it could not connect, it stayed
 * disconnected. The cure is one too: end the process, take the next address, start another one.
 *
 * Owner:  app. Thread: control thread.
 * Ends:   link_close() at any time, any number of times; on_closed runs once, when the process is gone; then the
 *         object is gone as well.
 */
#ifndef PORTWAY_RELAYD_LINK_LINK_H
#define PORTWAY_RELAYD_LINK_LINK_H

#include "common/base/macros.h"
#include "relayd/link/link_frame.h"

#include <stdbool.h>
#include <uv.h>

struct buf;
struct err;
struct link;

struct link_conf {
	const char *addresses; /* host:port, several by comma; copied */
	const char *program;   /* what is run with LINK_CHILD_WORD, usually /proc/self/exe; borrowed */
	uint64_t answer_timeout_ms;
	uint64_t connect_timeout_ms;
};

/* May call anything of the link but link_close(). */
struct link_events {
	void (*on_up)(void *arg);
	void (*on_down)(void *arg, const char *why);
	void (*on_reply)(void *arg, enum link_line line, const uint8_t *p, size_t n); /* borrowed bytes */
	void (*on_lost)(void *arg, enum link_line line); /* what was sent will have no reply */
};

int link_new(struct link **out, uv_loop_t *loop, const struct link_conf *conf, const struct link_events *events,
	void *arg, struct err *e) MUST_CHECK;
/* Starts with these credentials (address is the link's own matter), or starts again with new ones. */
void link_open(struct link *l, const struct link_frame_open *credentials);
void link_close(struct link *l, void (*on_closed)(void *arg), void *arg);
/* Requests may be sent; while it is not connected they wait. */
bool link_up(const struct link *l);
bool link_connected(const struct link *l);
/* One request at a time on each line. */
bool link_busy(const struct link *l, enum link_line line);
/* Only when up and not busy; the bytes are copied. */
void link_send(struct link *l, enum link_line line, const void *p, size_t n);
uint64_t link_restarts(const struct link *l);

#endif
