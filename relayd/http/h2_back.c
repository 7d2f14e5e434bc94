#include "relayd/http/h2_back.h"

#include "relayd/conf/object.h"
#include "relayd/http/exchange.h"
#include "relayd/http/h2_out.h"

static struct h1_back *of(struct back *base)
{
	return CONTAINER_OF(base, struct h1_back, base);
}

void h2_back_write(struct h1_back *b)
{
	outbox_flush(&b->out, &b->desk->blocks, &b->wire);
	h2_out_write(b->h2, &b->out, &b->wire);
	outbox_flush(&b->out, &b->desk->blocks, &b->wire);
	h1_back_tell_sent(b);
}

/* ---- the request --------------------------------------------------------------------------------------------------- */

static void put_content(struct back *base, struct http_span p)
{
	struct h1_back *b = of(base);

	h2_out_content(b->h2, p);
	h2_back_write(b);
}

static void end_content(struct back *base, const struct http_head *trailers)
{
	struct h1_back *b = of(base);

	h2_out_content_end(b->h2, trailers);
	h2_back_write(b);
}

static bool is_full(const struct back *base)
{
	const struct h1_back *b = (const struct h1_back *)(const void *)base;

	return b->h2 == NULL || outbox_is_full(&b->out) || h2_out_is_full(b->h2);
}

static void flush(struct back *base)
{
	struct h1_back *b = of(base);

	if (b->h2 != NULL && !outbox_is_full(&b->out))
		h2_back_write(b);
}

void h2_back_ask(struct h1_back *b)
{
	struct exchange *x = b->base.x;
	const struct exchange_sending s = exchange_sending(x);

	b->answered = b->keeps = false;
	if (h2_out_request(b->h2, s.head, s.content) != 0) {
		h1_back_fail(b, BACK_RESOURCE);
		return;
	}
	exchange_on_sent(x);
	if (b->base.x == x)
		worker_finish(b->desk->worker, &b->task); /* the head goes alone if nothing comes in this round */
}

void h2_back_begin(struct h1_back *b)
{
	struct exchange *x = b->base.x;

	if (h2_out_new(&b->h2, b->desk, &b->base, b->base.backend->tls != NULL) != 0) {
		h1_back_fail(b, BACK_RESOURCE);
		return;
	}
	h2_back_ask(b);
	if (b->base.x == x)
		exchange_on_room(x);
}

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

void h2_back_read(struct h1_back *b)
{
	struct worker *w = b->desk->worker;
	const bool was_full = h2_out_is_full(b->h2);
	struct exchange *x = b->base.x;
	const ssize_t r = wire_read(&b->wire, w, w->scratch, INBOX_READ);
	enum h2_out_read got;

	if (r == WIRE_AGAIN)
		return;
	if (r <= 0) {
		b->wire.side.readable = false;
		h1_back_fail(b, BACK_RESET);
		return;
	}
	got = h2_out_read(b->h2, w->scratch, (size_t)r);
	if (b->state == H1_BACK_CLOSED)
		return;
	h2_back_write(b); /* what acknowledges it */
	if (b->base.x != x)
		return;
	if (got == H2_OUT_BAD || got == H2_OUT_RESET)
		h1_back_fail(b, got == H2_OUT_BAD ? BACK_BAD : BACK_RESET);
	else if (was_full && !h2_out_is_full(b->h2) && got == H2_OUT_GOES_ON)
		exchange_on_room(x);
}

void h2_back_on_idle_event(struct h1_back *b)
{
	struct worker *w = b->desk->worker;

	while (b->wire.side.readable) {
		const ssize_t r = wire_read(&b->wire, w, w->scratch, INBOX_READ);

		if (r == WIRE_AGAIN)
			break;
		if (r <= 0 || h2_out_read(b->h2, w->scratch, (size_t)r) == H2_OUT_BAD) {
			h1_back_close(b, false);
			return;
		}
	}
	h2_back_write(b);
	if (b->state == H1_BACK_IDLE && (!h2_out_keeps(b->h2) || b->out.failed))
		h1_back_close(b, false);
}

const struct back_ops h2_back_ops = {
	.go = h1_back_go,
	.content = put_content,
	.content_end = end_content,
	.full = is_full,
	.resume = h1_back_resume,
	.flush = flush,
	.release = h1_back_release,
};
