#include "relayd/link/poller.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "proto/join.h"
#include "proto/poll.h"
#include "proto/update.h"
#include "relayd/link/link.h"

#include <stdbool.h>
#include <stdlib.h>

#define LOST_MS  500   /* at most, before a lost poll is sent again */
#define WAIT_MAX 60000 /* nobody makes us wait longer */
#define BAD_MS   5000  /* after a message that makes no sense */

struct poller {
	struct link *link;
	struct poller_ops ops;
	void *arg;
	uv_timer_t timer;
	bool running, closing;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

int poller_new(
	struct poller **out, uv_loop_t *loop, struct link *link, const struct poller_ops *ops, void *arg, struct err *e)
{
	struct poller *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "poller: out of memory");
	p->link = link;
	p->ops = *ops;
	p->arg = arg;
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	*out = p;
	return 0;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct poller *p = h->data;
	void (*on_closed)(void *arg) = p->on_closed;
	void *arg = p->closed_arg;

	free(p);
	on_closed(arg);
}

void poller_close(struct poller *p, void (*on_closed)(void *arg), void *arg)
{
	if (p->closing)
		return;
	p->closing = true;
	p->running = false;
	p->on_closed = on_closed;
	p->closed_arg = arg;
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

static void poller_send(struct poller *p)
{
	struct msg_poll m = { .page_token = 0 };
	struct buf b;

	if (!p->running || !link_up(p->link) || link_busy(p->link, LINE_POLL))
		return;
	p->ops.fill(p->arg, &m);
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	if (b.failed)
		log_error("poll_too_long");
	else
		link_send(p->link, LINE_POLL, b.data, b.len);
	buf_free(&b);
}

static void on_timer(uv_timer_t *t)
{
	poller_send(t->data);
}

static void poller_send_after(struct poller *p, uint64_t ms)
{
	if (p->running)
		uv_timer_start(&p->timer, on_timer, MIN(ms, WAIT_MAX), 0);
}

void poller_start(struct poller *p)
{
	if (p->closing)
		return;
	p->running = true;
	poller_send(p);
}

void poller_stop(struct poller *p)
{
	p->running = false;
	if (!p->closing)
		uv_timer_stop(&p->timer);
}

void poller_up(struct poller *p)
{
	poller_send(p);
}

void poller_lost(struct poller *p)
{
	poller_send_after(p, rand_below(LOST_MS));
}

static uint64_t refused(const void *msg, size_t n)
{
	struct msg_refused m;

	if (msg_refused_decode(&m, msg, n) != 0)
		return BAD_MS;
	log_error("poll_refused", log_s("reason", m.reason), log_u("retry_ms", m.retry_ms));
	return m.retry_ms != 0 ? m.retry_ms : WAIT_MAX;
}

void poller_reply(struct poller *p, const void *msg, size_t n)
{
	struct msg_update m;
	uint64_t wait = BAD_MS;

	if (!p->running)
		return;
	if (msg_type_of(msg, n) == MSG_REFUSED)
		wait = refused(msg, n);
	else if (msg_update_decode(&m, msg, n) == 0)
		wait = p->ops.update(p->arg, &m);
	else
		log_error("update_unreadable", log_u("bytes", n));
	if (wait == 0)
		poller_send(p);
	else
		poller_send_after(p, wait);
}
