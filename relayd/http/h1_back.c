#include "relayd/http/h1_back.h"

#include "common/base/sm.h"
#include "common/uv/fd_budget.h"
#include "relayd/conf/object.h"
#include "relayd/http/exchange.h"
#include "relayd/http/h2_back.h"
#include "relayd/http/h2_out.h"

static const struct sm_state states[] = {
	[H1_BACK_NAME] = { "name", BIT(H1_BACK_DIAL) | BIT(H1_BACK_CLOSED) },
	[H1_BACK_DIAL] = { "dial", BIT(H1_BACK_BUSY) | BIT(H1_BACK_CLOSED) },
	[H1_BACK_BUSY] = { "busy", BIT(H1_BACK_IDLE) | BIT(H1_BACK_RAW) | BIT(H1_BACK_CLOSED) },
	[H1_BACK_RAW] = { "raw", BIT(H1_BACK_CLOSED) },
	[H1_BACK_IDLE] = { "idle", BIT(H1_BACK_BUSY) | BIT(H1_BACK_CLOSED) },
	[H1_BACK_CLOSED] = { "closed", 0 },
};

void h1_back_move(struct h1_back *b, enum h1_back_state to)
{
	sm_move(states, &b->state, (int)to);
}

static struct h1_back *of(struct back *base)
{
	return CONTAINER_OF(base, struct h1_back, base);
}

static const struct h1_back *of_const(const struct back *base)
{
	return (const struct h1_back *)(const void *)base;
}

size_t h1_back_size(void)
{
	return sizeof(struct h1_back);
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	struct h1_back *b = CONTAINER_OF(t, struct h1_back, grave);

	h2_out_free(b->h2); /* not before: it may be what called */
	slab_put(&b->desk->backs, b);
}

void h1_back_close(struct h1_back *b, bool reset)
{
	struct http_desk *d = b->desk;

	if (b->state == H1_BACK_CLOSED)
		return;
	if (b->state == H1_BACK_IDLE)
		h1_idle_forget(b);
	h1_back_move(b, H1_BACK_CLOSED);
	b->base.x = NULL;
	if (b->h2 != NULL)
		h2_back_end(b);
	if (wire_is_open(&b->wire))
		wire_close(&b->wire, reset);
	else
		side_close(&b->wire.side, true); /* on its way */
	h1_dial_end(b);
	inbox_fini(&b->in, &d->blocks);
	outbox_fini(&b->out, &d->blocks);
	wheel_disarm(&b->timer);
	list_remove(&b->task.link);
	list_remove(&b->all);
	if (b->fd_taken)
		fd_budget_give(d->worker->fds, 1);
	desk_now(&d->counts.backends_now, -1);
	worker_bury(d->worker, &b->grave);
	backend_exit(b->base.backend, d->worker->index);
}

/* Whoever started it may still be at it: it is told when he has finished. */
void h1_back_fail(struct h1_back *b, enum back_failure why)
{
	if (b->failure >= 0)
		return;
	b->failure = (int)why;
	list_remove(&b->task.link); /* it may wait for a name */
	worker_finish(b->desk->worker, &b->task);
}

static void tell_failure(struct h1_back *b)
{
	struct exchange *x = b->base.x;

	if (b->h2 != NULL)
		h2_back_tell_failure(b);
	else if (x != NULL)
		exchange_on_failed(x, (enum back_failure)b->failure); /* lets go of it */
	h1_back_close(b, true);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static void tell_sent(struct h1_back *b)
{
	const uint64_t sent = b->out.sent;

	if (b->base.x != NULL)
		exchange_received(b->base.x, sent - b->told);
	b->told = sent;
	/* What cannot be written may have been answered all the same: reading tells. */
	if (b->out.failed && b->state != H1_BACK_CLOSED) {
		b->wire.side.readable = true;
		worker_finish(b->desk->worker, &b->task);
	}
}

static void put_content(struct back *base, struct http_span p)
{
	struct h1_back *b = of(base);

	if (b->chunked && b->state == H1_BACK_BUSY)
		outbox_put_chunk(&b->out, &b->desk->blocks, &b->wire, p);
	else
		outbox_put(&b->out, &b->desk->blocks, &b->wire, p);
	tell_sent(b);
}

static void finish_if_sent(struct h1_back *b)
{
	if (b->finishing && outbox_is_empty(&b->out)) {
		b->finishing = false;
		if (wire_finish(&b->wire) != 0)
			h1_back_fail(b, BACK_RESET);
	}
}

static void end_content(struct back *base, const struct http_head *trailers)
{
	struct h1_back *b = of(base);

	if (b->state == H1_BACK_RAW) {
		b->finishing = true;
		outbox_flush(&b->out, &b->desk->blocks, &b->wire);
		finish_if_sent(b);
		return;
	}
	if (b->chunked)
		outbox_put_last_chunk(&b->out, &b->desk->blocks, trailers);
	outbox_flush(&b->out, &b->desk->blocks, &b->wire);
	tell_sent(b);
}

static bool is_full(const struct back *base)
{
	const struct h1_back *b = of_const(base);

	return outbox_is_full(&b->out) || b->state < H1_BACK_BUSY;
}

static void flush(struct back *base)
{
	struct h1_back *b = of(base);

	if (!outbox_is_empty(&b->out) && !b->out.blocked) {
		outbox_flush(&b->out, &b->desk->blocks, &b->wire);
		tell_sent(b);
	}
}

static void resume(struct back *base)
{
	worker_finish(of(base)->desk->worker, &of(base)->task);
}

/* With content behind it the head waits for the first piece of it. */
static void send_request(struct h1_back *b)
{
	const struct exchange_sending s = exchange_sending(b->base.x);

	b->chunked = s.chunked;
	b->answered = b->keeps = b->interim = b->copies = false;
	b->few = 0;
	http_reader_ask(&b->reader, &s.asked);
	if (!s.content)
		outbox_put(&b->out, &b->desk->blocks, &b->wire, s.head);
	else if (block_append(&b->desk->blocks, &b->out.kept, s.head.p, s.head.n) != 0)
		b->out.failed = true;
	exchange_on_sent(b->base.x);
	tell_sent(b);
}

void h1_back_on_connected(struct h1_back *b)
{
	struct exchange *x = b->base.x;

	h1_back_move(b, H1_BACK_BUSY);
	desk_count(b->desk, HTTP_COUNT_opened);
	if (b->h2 == NULL && !exchange_has_request(x)) {
		b->answered = true;
		exchange_on_end(x, NULL);
		return;
	}
	if (b->base.backend->dial.proxy_out != MAPPING_PROXY_NONE && b->base.backend->tls == NULL &&
		h1_dial_put_proxy_header(b) != 0) {
		h1_back_fail(b, BACK_RESOURCE);
		return;
	}
	if (b->h2 != NULL) {
		h2_back_begin(b);
		return;
	}
	send_request(b);
	exchange_on_room(x);
	if (b->base.x == x)
		worker_finish(b->desk->worker, &b->task); /* the head goes alone if nothing comes in this round */
}

/* ---- the request is done ----------------------------------------------------------------------------------------------- */

static void release(struct back *base, bool whole)
{
	struct h1_back *b = of(base);

	if (b->base.x == NULL)
		return;
	b->base.x = NULL;
	if (b->failure >= 0) /* it is at its end already */
		return;
	if (whole)
		h1_back_wait_or_close(b);
	else
		h1_back_close(b, !b->answered && b->state != H1_BACK_RAW);
}

/* ---- the answer ----------------------------------------------------------------------------------------------------- */

static bool still(const struct h1_back *b, const struct exchange *x)
{
	return b->base.x == x && b->failure < 0;
}

static void on_head(struct h1_back *b, struct http_head *h)
{
	b->interim = h->status < 200 || h->switches; /* its end is not the answer's */
	if (!b->interim)
		b->keeps = h->keep_alive && h->body != HTTP_UNTIL_CLOSE;
	exchange_on_head(b->base.x, h);
}

static void on_end(struct h1_back *b, struct http_head *trailers)
{
	if (b->interim)
		return;
	b->answered = true;
	exchange_on_end(b->base.x, trailers);
}

static void go_raw(struct h1_back *b)
{
	const struct http_span rest = { (const char *)b->in.p, b->in.n };
	struct exchange *x = b->base.x;

	h1_back_move(b, H1_BACK_RAW);
	exchange_on_content(x, rest);
	if (!still(b, x))
		return;
	inbox_use(&b->in, rest.n);
	exchange_on_room(x);
}

/* True: go on with what is left; false: the turn is over. */
static bool take_event(struct h1_back *b, enum http_event event, struct http_head *h, const struct http_piece *piece)
{
	struct exchange *x = b->base.x;

	switch (event) {
	case HTTP_HEAD_IN:
		on_head(b, h);
		break;
	case HTTP_DATA:
		exchange_on_content(x, piece->data);
		break;
	case HTTP_END:
		on_end(b, NULL);
		break;
	case HTTP_HOLD:
		go_raw(b);
		return false;
	case HTTP_FAULT:
		h1_back_fail(b, BACK_BAD);
		return false;
	default:
		return false;
	}
	return still(b, x);
}

/* The end comes with the trailers, whose bytes must stay until it is told. */
static void take_trailers(struct h1_back *b, struct http_head *trailers)
{
	struct http_head none;
	struct http_piece piece;

	if (http_reader_next(&b->reader, &none, b->in.p, b->in.n, &piece) == HTTP_END)
		on_end(b, trailers);
	else
		h1_back_fail(b, BACK_BAD);
}

static void parse(struct h1_back *b)
{
	struct http_head *shared = &b->desk->answered, *partial = NULL;
	struct http_piece piece;
	bool more = true;

	while (more && b->base.x != NULL) {
		struct http_head *h = inbox_head(&b->in, shared);
		const enum http_event event = http_reader_next(&b->reader, h, b->in.p, b->in.n, &piece);

		inbox_use(&b->in, piece.used);
		if (event == HTTP_TRAILERS) {
			take_trailers(b, h);
			more = false;
		} else {
			more = take_event(b, event, h, &piece);
		}
		if (event == HTTP_MORE && b->in.n > 0)
			partial = h;
	}
	if (b->state == H1_BACK_CLOSED)
		return;
	if (b->state == H1_BACK_IDLE && b->in.n > 0)
		h1_back_close(b, true); /* nobody asked for that */
	else if (b->in.n > INBOX_MAX || inbox_keep(&b->in, &b->desk->blocks, partial) != 0)
		h1_back_fail(b, BACK_BAD);
}

/* The backend has ended its way. */
static void take_eof(struct h1_back *b)
{
	struct exchange *x = b->base.x;
	struct http_piece piece;

	b->wire.side.readable = false;
	if (b->state == H1_BACK_RAW) {
		exchange_on_end(x, NULL);
		return;
	}
	if (http_reader_eof(&b->reader, &piece) == HTTP_END)
		on_end(b, NULL);
	else
		h1_back_fail(b, BACK_RESET);
}

static void read_raw(struct h1_back *b)
{
	struct worker *w = b->desk->worker;
	const ssize_t r = wire_read(&b->wire, w, w->scratch, INBOX_READ);

	if (r > 0)
		exchange_on_content(b->base.x, (struct http_span){ (const char *)w->scratch, (size_t)r });
	else if (r == 0)
		take_eof(b);
	else if (r == WIRE_FAILED)
		h1_back_fail(b, BACK_RESET);
}

static void read_messages(struct h1_back *b)
{
	const ssize_t r = inbox_fill(&b->in, &b->wire, b->desk->worker);

	if (b->copies)
		h1_splice_note_read(b, r);
	if (r > 0)
		parse(b);
	else if (r == 0)
		take_eof(b);
	else if (r == WIRE_FAILED)
		h1_back_fail(b, BACK_RESET);
}

static bool may_read(const struct h1_back *b)
{
	return (b->state == H1_BACK_BUSY || b->state == H1_BACK_RAW) && b->base.x != NULL && b->failure < 0 &&
	       b->wire.side.readable && !exchange_client_full(b->base.x);
}

/* What the reader has to tell without more bytes: the end. */
static void read_end(struct h1_back *b)
{
	inbox_look(&b->in, b->desk->worker);
	parse(b);
}

/* How many bytes it may have been. */
static size_t read_once(struct h1_back *b)
{
	size_t moved = INBOX_READ;

	if (b->state == H1_BACK_RAW) {
		read_raw(b);
	} else if (http_reader_plain(&b->reader) >= H1_SPLICE_LEAST && h1_splice_some(b, &moved)) {
		if (b->base.x != NULL && b->failure < 0 && http_reader_plain(&b->reader) == 0)
			read_end(b);
	} else {
		read_messages(b);
	}
	return moved;
}

static void read_some(struct h1_back *b)
{
	struct worker *w = b->desk->worker;
	struct exchange *x = b->base.x;
	size_t moved = 0;

	while (may_read(b) && moved < w->turn)
		moved += read_once(b);
	if (b->base.x != x || x == NULL)
		return;
	exchange_flush_client(x);
	if (may_read(b))
		worker_again(w, &b->task);
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

static void on_writable(struct h1_back *b)
{
	const bool was_full = outbox_is_full(&b->out);

	outbox_flush(&b->out, &b->desk->blocks, &b->wire);
	tell_sent(b);
	finish_if_sent(b);
	if (was_full && !outbox_is_full(&b->out) && b->base.x != NULL)
		exchange_on_room(b->base.x);
}

static void on_event(struct io *io, uint32_t events)
{
	struct h1_back *b = CONTAINER_OF(io, struct h1_back, wire.side.io);

	if (b->state == H1_BACK_CLOSED || b->failure >= 0)
		return;
	if (b->state <= H1_BACK_DIAL) {
		h1_dial_on_event(b, events);
		return;
	}
	if (events & EPOLLERR && b->wire.side.ops != NULL) {
		h1_back_fail(b, BACK_RESET);
		return;
	}
	side_hear(&b->wire.side, b->desk->worker, events);
	if (b->h2 != NULL) {
		h2_back_on_event(b);
		return;
	}
	if (b->state == H1_BACK_IDLE) {
		if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			h1_back_close(b, false);
		return;
	}
	if (b->wire.side.writable && b->out.blocked)
		on_writable(b);
	read_some(b);
}

static void on_task(struct task *t)
{
	struct h1_back *b = CONTAINER_OF(t, struct h1_back, task);

	if (b->failure >= 0) {
		tell_failure(b);
	} else if (b->state == H1_BACK_NAME) {
		h1_dial_find(b);
	} else if (b->h2 != NULL && b->state >= H1_BACK_BUSY) {
		h2_back_on_task(b);
	} else if (b->state == H1_BACK_BUSY || b->state == H1_BACK_RAW) {
		b->base.ops->flush(&b->base);
		read_some(b);
	}
}

static void on_due(struct timer *t)
{
	struct h1_back *b = CONTAINER_OF(t, struct h1_back, timer);
	struct worker *w = b->desk->worker;

	if (b->state <= H1_BACK_DIAL && b->failure < 0)
		h1_dial_on_due(b);
	else if (b->state == H1_BACK_IDLE && w->now_ns < b->idle_until_ns)
		wheel_arm(&w->wheel, t, b->idle_until_ns);
	else if (b->state == H1_BACK_IDLE)
		h1_back_close(b, false);
	else if (b->state == H1_BACK_BUSY && b->h2 != NULL && b->failure < 0)
		h2_back_on_due(b);
}

/* ---- the begin ------------------------------------------------------------------------------------------------------ */

/* On a connection that is there, the head goes at the end of the round at the latest. */
static void go(struct back *base)
{
	struct h1_back *b = of(base);
	struct exchange *x = b->base.x;

	if (b->state == H1_BACK_NAME) {
		h1_dial_begin(b);
		return;
	}
	send_request(b);
	exchange_on_room(x);
	if (b->base.x == x && !outbox_is_empty(&b->out))
		worker_finish(b->desk->worker, &b->task);
}

static const struct back_ops ops = {
	.go = go,
	.content = put_content,
	.content_end = end_content,
	.full = is_full,
	.resume = resume,
	.flush = flush,
	.release = release,
};

struct h1_back *h1_back_new(struct http_desk *d, struct backend *to)
{
	struct h1_back *b = worker_take_fds(d->worker, 1) ? slab_get(&d->backs) : NULL;

	if (b == NULL)
		return NULL;
	b->base.ops = &ops;
	b->base.backend = to;
	b->desk = d;
	b->fd_taken = true;
	b->failure = -1;
	b->state = H1_BACK_NAME;
	side_init(&b->wire.side, on_event, -1);
	http_reader_init_response(&b->reader, &d->conf->limits);
	timer_init(&b->timer, on_due);
	task_init(&b->task, on_task);
	task_init(&b->grave, on_buried);
	list_init(&b->idle);
	list_init(&b->spare);
	list_push_back(&d->backs_all, &b->all);
	backend_enter(&to->seats[d->worker->index]);
	desk_now(&d->counts.backends_now, 1);
	return b;
}

struct back *back_start_new(struct http_desk *d, struct backend *to, struct exchange *x)
{
	struct h1_back *b = h1_back_new(d, to);

	if (b == NULL)
		return NULL;
	b->base.x = x;
	return &b->base;
}

struct back *back_start(struct http_desk *d, struct backend *to, struct exchange *x)
{
	struct list *waiting = list_first(&to->seats[d->worker->index].idle);
	struct h1_back *b;

	if (to->object->pool.protocol != POOL_HTTP1)
		return h2_back_start(d, to, x);
	if (waiting != NULL) {
		b = h1_back_of_idle(waiting);
		h1_back_leave_idle(b);
		b->base.x = x;
		b->base.reused = true;
		desk_count(d, HTTP_COUNT_reused);
		return &b->base;
	}
	return back_start_new(d, to, x);
}
