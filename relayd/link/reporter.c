#include "relayd/link/reporter.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "proto/join.h"
#include "relayd/link/link.h"

#include <stdlib.h>

#define HURRY_MS  20                /* least time between two hurried reports */
#define LOST_MS   500               /* at most, before something lost is sent again */
#define BAD_MS    5000              /* after a message that makes no sense */
#define ROWS_MAX  (512 * 1024)      /* bytes of a report; the rest is for the list of refusals */
#define ROWS_FULL (ROWS_MAX - 4096) /* there is probably more */

struct errand {
	struct list link;
	struct buf message;
	void (*on_reply)(void *arg, const void *msg, size_t n);
	void *arg;
};

struct reporter {
	struct link *link;
	struct reporter_ops ops;
	void *arg;
	uv_timer_t timer;
	uint64_t heartbeat_ms, report_ms;
	uint64_t next_ms;          /* monotonic: look whether there is something to report */
	uint64_t heartbeat_at;     /* monotonic: report in any case */
	uint64_t clients_at;       /* monotonic: tell the list of clients */
	struct client_states told; /* of which, from told_at on, some is not told yet; its own */
	struct client_states_at told_at;
	bool telling;
	bool rows_first; /* the list has had its turn */
	uint64_t sent_ms;
	struct list errands;
	unsigned n_errands;
	struct errand *under_way; /* NULL: a report, or nothing */
	bool full;                /* the report under way was, or was one of a dead boot: go on at once */
	bool reporting, closing;
	bool flushing;
	uint64_t flush_until;
	void (*on_flushed)(void *arg, bool all);
	void *flushed_arg;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

static void reporter_pump(struct reporter *r);

static void errand_free(struct errand *x)
{
	buf_free(&x->message);
	free(x);
}

int reporter_new(struct reporter **out, uv_loop_t *loop, struct link *link, const struct reporter_ops *ops, void *arg,
	struct err *e)
{
	struct reporter *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "reporter: out of memory");
	r->link = link;
	r->ops = *ops;
	r->arg = arg;
	r->heartbeat_ms = 5000;
	r->report_ms = 1000;
	list_init(&r->errands);
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	*out = r;
	return 0;
}

void reporter_drop_errands(struct reporter *r)
{
	LIST_FOREACH_SAFE (it, &r->errands) {
		list_remove(it);
		errand_free(CONTAINER_OF(it, struct errand, link));
	}
	r->n_errands = 0;
	r->under_way = NULL;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct reporter *r = h->data;
	void (*on_closed)(void *arg) = r->on_closed;
	void *arg = r->closed_arg;

	client_states_fini(&r->told);
	free(r);
	on_closed(arg);
}

void reporter_close(struct reporter *r, void (*on_closed)(void *arg), void *arg)
{
	if (r->closing)
		return;
	r->closing = true;
	r->reporting = r->flushing = false;
	r->on_closed = on_closed;
	r->closed_arg = arg;
	reporter_drop_errands(r);
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

void reporter_set_intervals(struct reporter *r, uint64_t heartbeat_ms, uint64_t report_ms)
{
	r->heartbeat_ms = heartbeat_ms;
	r->report_ms = MIN(report_ms, heartbeat_ms);
}

/* ---- flush ------------------------------------------------------------------------------------------------------- */

static void flush_end(struct reporter *r, bool all)
{
	void (*on_flushed)(void *arg, bool all) = r->on_flushed;

	r->flushing = false;
	r->reporting = false;
	uv_timer_stop(&r->timer);
	on_flushed(r->flushed_arg, all); /* may close the reporter */
}

void reporter_flush(struct reporter *r, uint64_t timeout_ms, void (*on_flushed)(void *arg, bool all), void *arg)
{
	r->flushing = true;
	r->flush_until = clock_mono_ms() + timeout_ms;
	r->on_flushed = on_flushed;
	r->flushed_arg = arg;
	r->next_ms = 0;
	reporter_pump(r);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t)
{
	reporter_pump(t->data);
}

/* The next look: not while a request is under way or the link is down, as their end leads here anyway. */
static void reporter_arm(struct reporter *r, uint64_t now)
{
	uint64_t at = UINT64_MAX;

	if (r->closing)
		return;
	if (link_up(r->link) && !link_busy(r->link, LINE_REPORT)) {
		if (!list_empty(&r->errands))
			at = r->next_ms;
		else if (r->reporting)
			at = MIN(r->next_ms, r->heartbeat_at);
	}
	if (r->flushing)
		at = MIN(at, r->flush_until);
	if (at == UINT64_MAX)
		uv_timer_stop(&r->timer);
	else
		uv_timer_start(&r->timer, on_timer, at > now ? at - now : 0, 0);
}

static void send_errand(struct reporter *r)
{
	r->under_way = CONTAINER_OF(list_first(&r->errands), struct errand, link);
	link_send(r->link, LINE_REPORT, r->under_way->message.data, r->under_way->message.len);
}

static void send_report(struct reporter *r, struct msg_report *m, const struct buf *rows, uint32_t n_rows, uint64_t now)
{
	struct buf b;
	size_t count_at;

	r->ops.head(r->arg, m);
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, m, &count_at);
	buf_put(&b, rows->data, rows->len);
	msg_report_end(&b, count_at, n_rows);
	if (b.failed) {
		log_error("report_too_long");
	} else {
		r->full = rows->len >= ROWS_FULL || m->last || (m->boot[0] != '\0' && n_rows == 0);
		r->heartbeat_at = now + r->heartbeat_ms;
		r->sent_ms = now;
		link_send(r->link, LINE_REPORT, b.data, b.len);
	}
	buf_free(&b);
}

static void stop_telling(struct reporter *r)
{
	client_states_fini(&r->told);
	r->telling = false;
}

/* The list as it is now: it changes while its parts are told one after the other. */
static void start_telling(struct reporter *r, uint64_t now)
{
	struct client_states list = { .told = true };

	stop_telling(r);
	r->ops.clients(r->arg, &list);
	r->clients_at = now + r->heartbeat_ms;
	r->told_at = (struct client_states_at){ .part = 0 };
	r->telling = client_states_copy(&r->told, &list) == 0;
	if (!r->telling)
		log_warn("clients_not_told", log_s("reason", "out of memory"));
}

/* The lists of clients and backends go in heartbeats of their own, so that they and the rows need not share a message. */
static bool report_clients(struct reporter *r, uint64_t now)
{
	struct msg_report m = { .number = 0 };
	const struct buf no_rows = { .len = 0 };

	if (r->flushing || r->rows_first || (!r->telling && now < r->clients_at))
		return false;
	if (!r->telling) {
		start_telling(r, now);
		r->ops.backends(r->arg, &m.backends);
	}
	if (r->telling && client_states_next(&r->told, &r->told_at, &m.clients) && !m.clients.goes_on)
		r->telling = false;
	send_report(r, &m, &no_rows, 0, now);
	if (!r->telling)
		stop_telling(r);
	r->rows_first = !r->telling;
	r->full = true;
	return true;
}

/* A report if there is something to say, or a heartbeat is due. */
static void report_if_due(struct reporter *r, uint64_t now)
{
	struct msg_report m = { .number = 0 };
	struct buf rows;
	uint32_t n_rows = 0;
	bool any;

	if (report_clients(r, now))
		return;
	r->rows_first = false;
	buf_init(&rows, ROWS_MAX);
	any = r->ops.rows(r->arg, ROWS_MAX, &m, &rows, &n_rows);
	r->next_ms = now + r->report_ms;
	if (any || now >= r->heartbeat_at)
		send_report(r, &m, &rows, n_rows, now);
	buf_free(&rows);
	if (!any && r->flushing && !link_busy(r->link, LINE_REPORT))
		flush_end(r, true);
}

static void reporter_pump(struct reporter *r)
{
	uint64_t now = clock_mono_ms();

	if (r->closing)
		return;
	if (r->flushing && now >= r->flush_until) {
		flush_end(r, false);
		return;
	}
	if (link_up(r->link) && !link_busy(r->link, LINE_REPORT)) {
		if (!list_empty(&r->errands))
			send_errand(r);
		else if (r->reporting && (now >= r->next_ms || now >= r->heartbeat_at))
			report_if_due(r, now);
	}
	reporter_arm(r, now);
}

void reporter_start(struct reporter *r)
{
	r->reporting = true;
	r->heartbeat_at = 0;
	reporter_pump(r);
}

void reporter_hurry(struct reporter *r)
{
	if (!r->reporting)
		return;
	r->next_ms = r->heartbeat_at = MIN(r->heartbeat_at, r->sent_ms + HURRY_MS);
	r->clients_at = 0;
	reporter_arm(r, clock_mono_ms());
}

int reporter_send(
	struct reporter *r, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *arg)
{
	struct errand *x = calloc(1, sizeof *x);

	if (x == NULL || message->failed || r->closing || r->n_errands >= REPORTER_ERRANDS_MAX) {
		log_warn("errand_dropped", log_u("waiting", r->n_errands));
		buf_free(message);
		free(x);
		return -1;
	}
	x->message = *message;
	*message = (struct buf){ .max = message->max };
	x->on_reply = on_reply;
	x->arg = arg;
	list_push_back(&r->errands, &x->link);
	r->n_errands++;
	reporter_pump(r);
	return 0;
}

/* ---- from the link ----------------------------------------------------------------------------------------------- */

void reporter_up(struct reporter *r)
{
	r->heartbeat_at = 0;
	r->clients_at = 0;
	r->rows_first = false;
	stop_telling(r);
	reporter_pump(r);
}

static void report_replied(struct reporter *r, const void *msg, size_t n, uint64_t now)
{
	struct msg_report_ack ack;
	struct msg_refused no;

	if (msg_report_ack_decode(&ack, msg, n) == 0) {
		r->ops.acked(r->arg, &ack);
		if (r->full || r->flushing)
			r->next_ms = now;
	} else if (msg_refused_decode(&no, msg, n) == 0) {
		log_error("report_refused", log_s("reason", no.reason));
		r->next_ms = now + MAX(no.retry_ms, r->report_ms);
	} else {
		log_error("report_answer_unreadable", log_u("bytes", n));
		r->next_ms = now + BAD_MS;
	}
}

void reporter_reply(struct reporter *r, const void *msg, size_t n)
{
	struct errand *x = r->under_way;

	if (x != NULL) {
		r->under_way = NULL;
		list_remove(&x->link);
		r->n_errands--;
		if (x->on_reply != NULL)
			x->on_reply(x->arg, msg, n);
		errand_free(x);
	} else if (!list_empty(&r->errands) || r->reporting) {
		report_replied(r, msg, n, clock_mono_ms());
	}
	reporter_pump(r);
}

void reporter_lost(struct reporter *r)
{
	r->under_way = NULL;
	r->clients_at = 0;
	stop_telling(r);
	r->next_ms = clock_mono_ms() + rand_below(LOST_MS);
	reporter_arm(r, clock_mono_ms());
}
