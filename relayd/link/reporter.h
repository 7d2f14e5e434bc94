/*
 * reporter - the report line: errands (join, renew, answers to asks) first, else a report when one is due.
 *
 * A report is due with the heartbeat, or sooner when counters changed or somebody is in a hurry. An errand whose reply
 * was lost is sent again. All is bounded: ERRANDS_MAX errands, one report at a time.
 *
 * Owner: app. Thread: control thread. Ends: reporter_close(), any number of times; on_closed once, then it is gone.
 */
#ifndef PORTWAY_RELAYD_LINK_REPORTER_H
#define PORTWAY_RELAYD_LINK_REPORTER_H

#include "common/base/macros.h"
#include "proto/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct buf;
struct err;
struct link;
struct reporter;

#define REPORTER_ERRANDS_MAX 32

struct reporter_ops {
	/* Load and state; the state's list is borrowed until the call returns to the loop. */
	void (*head)(void *arg, struct msg_report *out);
	/* The clients that have links here, as n, more, items; borrowed likewise. Told with the heartbeat, as the next. */
	void (*clients)(void *arg, struct client_states *out);
	void (*backends)(void *arg, struct backend_states *out); /* says itself whether it tells any */
	/* Boot, number, last, rows: see meter_report_next(). */
	bool (*rows)(void *arg, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows);
	void (*acked)(void *arg, const struct msg_report_ack *ack);
};

int reporter_new(struct reporter **out, uv_loop_t *loop, struct link *link, const struct reporter_ops *ops, void *arg,
	struct err *e) MUST_CHECK;
void reporter_close(struct reporter *r, void (*on_closed)(void *arg), void *arg);
void reporter_set_intervals(struct reporter *r, uint64_t heartbeat_ms, uint64_t report_ms);
/* From now on reports go out, not only errands. */
void reporter_start(struct reporter *r);
/* Something changed that controld should know at once. */
void reporter_hurry(struct reporter *r);
/* Reports until everything counted is acknowledged, then calls back; or after this time. Once. */
void reporter_flush(struct reporter *r, uint64_t timeout_ms, void (*on_flushed)(void *arg, bool all), void *arg);

/* Takes the message's bytes. on_reply may be NULL. -1: dropped, and logged, as there are too many; it is never called. */
int reporter_send(
	struct reporter *r, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *arg);
/* Forgets the errands that wait: they belonged to other credentials. */
void reporter_drop_errands(struct reporter *r);

/* From the link's events. */
void reporter_up(struct reporter *r);
void reporter_reply(struct reporter *r, const void *msg, size_t n);
void reporter_lost(struct reporter *r);

#endif
