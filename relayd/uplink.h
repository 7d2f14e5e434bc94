/*
 * uplink - everything between this relay and controld: membership, polls, reports, and what controld asks for.
 *
 * Owner: app. Thread: control thread.
 * Ends:  uplink_close() at any time, any number of times; on_closed once, then it is gone.
 */
#ifndef PORTWAY_RELAYD_UPLINK_H
#define PORTWAY_RELAYD_UPLINK_H

#include "common/base/macros.h"
#include "proto/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct meter;
struct running;
struct services;
struct settings;
struct spending;
struct uplink;

struct uplink_conf {
	const struct settings *settings; /* borrowed */
	const char *identity_path;       /* borrowed */
	const uint8_t *seal;             /* SEAL_KEY_SIZE; borrowed */
	struct running *running;
	struct services *services;
	struct meter *meter;
	struct spending *spending;
	void (*load)(void *arg, struct node_load *out);
	/* The agents that have links here: n, more, items, borrowed until the call returns to the loop. NULL: none. */
	void (*clients)(void *arg, struct client_states *out);
	void (*backends)(void *arg, struct backend_states *out); /* as reporter_ops have it; NULL: none are told */
	/* Who this relay is: PEM texts, borrowed; when it joined, started as a member, or has a new certificate. */
	void (*identity)(void *arg, const char *node, const char *cert, const char *ca, const char *key);
	void *arg;
};

int uplink_new(struct uplink **out, uv_loop_t *loop, const struct uplink_conf *conf, struct err *e) MUST_CHECK;
void uplink_start(struct uplink *u);
/* After settings were loaded again. */
void uplink_set_intervals(struct uplink *u, uint64_t heartbeat_ms, uint64_t report_ms);
/* The state changed (refusals, clients): tell controld soon. */
void uplink_hurry(struct uplink *u);
/* As reporter_send(): on_reply once, unless all ends before. */
int uplink_send(
	struct uplink *u, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *of);
/* No new configuration from now on; reports go on. */
void uplink_stop_polling(struct uplink *u);
/* Everything counted is reported and acknowledged, or the time is over; then nothing more is reported. */
void uplink_flush(struct uplink *u, uint64_t timeout_ms, void (*on_flushed)(void *arg, bool all), void *arg);
void uplink_close(struct uplink *u, void (*on_closed)(void *arg), void *arg);

struct uplink_state {
	bool member, connected;
	const char *node_id; /* borrowed */
	const char *trouble; /* why it is no member; "" */
	int64_t certificate_ends_ms;
	uint64_t restarts;
};
void uplink_state(const struct uplink *u, struct uplink_state *out);

#endif
