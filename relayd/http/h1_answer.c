#include "relayd/http/h1_front_inside.h"

#include "relayd/http/message.h"

static struct h1_front *front_of(const struct exchange *x)
{
	return exchange_client(x);
}

bool h1_answer_waits(const struct h1_front *f)
{
	return f->x != NULL && f->answered && !outbox_is_empty(&f->out) && !exchange_was_raw(f->x);
}

static void tell_sent(struct h1_front *f)
{
	const uint64_t sent = f->out.sent;

	if (sent != f->told && h1_answer_waits(f))
		h1_front_due_in(f, f->desk->conf->body_timeout_ms);
	if (f->x != NULL)
		exchange_sent(f->x, sent - f->told);
	f->told = sent;
	if (f->out.failed)
		worker_finish(f->desk->worker, &f->task);
}

void h1_answer_flush(struct h1_front *f)
{
	if (outbox_is_empty(&f->out))
		return;
	outbox_flush(&f->out, &f->desk->blocks, &f->wire);
	tell_sent(f);
}

static bool raw_is_over(const struct h1_front *f)
{
	return f->in_ended && f->answered && outbox_is_empty(&f->out) && !exchange_back_full(f->x);
}

/* The answer is with the client's kernel: what comes next. */
void h1_answer_try_finish(struct h1_front *f)
{
	if (f->x == NULL || !f->answered || !outbox_is_empty(&f->out) || f->out.failed)
		return;
	if (exchange_was_raw(f->x)) {
		if (f->finishing && wire_finish(&f->wire) != 0) {
			h1_front_close(f, true);
			return;
		}
		f->finishing = false;
		if (raw_is_over(f)) {
			exchange_raw_over(f->x);
			h1_front_close(f, false);
		}
		return;
	}
	if (exchange_dropped(f->x) || !f->keeps || f->desk->closing) {
		h1_front_leave(f, exchange_dropped(f->x));
		return;
	}
	h1_front_drop_exchange(f);
	http_reader_resume(&f->reader); /* the protocol was not changed */
	h1_front_due_in(f, f->desk->conf->idle_timeout_ms);
	if (!f->parsing && (f->unparsed || f->wire.side.readable))
		worker_finish(f->desk->worker, &f->task);
	h1_front_rest(f);
}

static void put_head(struct exchange *x, const struct answer *a)
{
	struct h1_front *f = front_of(x);
	struct message_answer m = {
		.answer = a,
		.to_http10 = f->http10,
		.keep_alive = f->keeps && !a->close && !f->desk->closing,
		.asked_keep = f->http10,
	};
	const size_t room = message_answer_room(&m);
	uint8_t *at = outbox_room(&f->out, &f->desk->blocks, room);
	bool chunked, until_close;
	int n = at != NULL ? message_answer_write(&m, at, room, &chunked, &until_close) : -1;

	if (n < 0) {
		f->out.failed = true;
		worker_finish(f->desk->worker, &f->task);
		return;
	}
	outbox_wrote(&f->out, (size_t)n);
	if (a->interim)
		return;
	f->chunked = chunked;
	f->keeps = m.keep_alive && !until_close;
}

static void put_content(struct exchange *x, struct http_span p)
{
	struct h1_front *f = front_of(x);

	if (f->chunked)
		outbox_put_chunk(&f->out, &f->desk->blocks, &f->wire, p);
	else
		outbox_put(&f->out, &f->desk->blocks, &f->wire, p);
	tell_sent(f);
}

/* In chunks each piece needs its size in front. */
static bool splices(const struct exchange *x)
{
	const struct h1_front *f = front_of(x);

	return !f->chunked && wire_splices(&f->wire);
}

static void put_pipe(struct exchange *x, struct pipe *pipe, size_t n)
{
	struct h1_front *f = front_of(x);

	outbox_put_pipe(&f->out, &f->desk->blocks, &f->wire, pipe, n);
	tell_sent(f);
}

static void put_end(struct exchange *x, const struct http_head *trailers)
{
	struct h1_front *f = front_of(x);

	f->answered = true;
	if (exchange_was_raw(x))
		f->finishing = true;
	else if (f->chunked)
		outbox_put_last_chunk(&f->out, &f->desk->blocks, trailers);
	f->chunked = false;
	h1_answer_flush(f);
	if (h1_answer_waits(f))
		h1_front_due_in(f, f->desk->conf->body_timeout_ms);
	h1_answer_try_finish(f);
}

static void put_abort(struct exchange *x)
{
	h1_front_close(front_of(x), true);
}

static bool is_full(const struct exchange *x)
{
	return outbox_is_full(&front_of(x)->out);
}

static void resume(struct exchange *x)
{
	struct h1_front *f = front_of(x);

	worker_finish(f->desk->worker, &f->task);
}

static void flush(struct exchange *x)
{
	struct h1_front *f = front_of(x);

	if (!f->out.blocked)
		h1_answer_flush(f);
}

static void local(const struct exchange *x, struct addr *to)
{
	if (side_local(&front_of(x)->wire.side, to) != 0)
		*to = front_of(x)->from;
}

const struct http_client_ops h1_answer_ops = {
	.head = put_head,
	.content = put_content,
	.splices = splices,
	.piped = put_pipe,
	.end = put_end,
	.abort = put_abort,
	.full = is_full,
	.resume = resume,
	.local = local,
	.flush = flush,
};
