/*
 * spending - asks controld for more of the quotas that run low here, and says which mappings have none left.
 *
 * Owner: app. Thread: control thread.
 * Ends:  spending_close(), before the link; its memory goes with the loop's next turns.
 */
#ifndef PORTWAY_RELAYD_SPENDING_H
#define PORTWAY_RELAYD_SPENDING_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct buf;
struct err;
struct msg_report;
struct msg_report_ack;
struct quotas;
struct refusals;
struct running;
struct spending;

struct spending_conf {
	struct quotas *quotas;
	struct refusals *refusals;
	struct running *running;
	const char *boot; /* this process's; borrowed */
	/* A message to controld; on_reply once, or never if the line ends. */
	int (*send)(void *arg, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *of);
	void (*hurry)(void *arg); /* a report, soon */
	void *arg;
};

int spending_new(struct spending **out, uv_loop_t *loop, const struct spending_conf *conf, struct err *e) MUST_CHECK;
void spending_close(struct spending *s); /* NULL is fine */
/* From any thread: something runs low. */
void spending_low(struct spending *s);
/* A report is being put together: before its rows are read, and after; any: it has some. */
void spending_before_rows(struct spending *s);
void spending_after_rows(struct spending *s, const struct msg_report *head, bool any, bool complete);
void spending_acked(struct spending *s, const struct msg_report_ack *ack);

#endif
