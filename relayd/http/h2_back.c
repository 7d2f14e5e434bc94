#include "relayd/http/h2_back.h"

#include "relayd/conf/object.h"
#include "relayd/http/exchange.h"
#include "relayd/http/h2_out.h"

static struct backend_seat *seat_of(const struct h1_back *b)
{
	return &b->base.backend->seats[b->desk->worker->index];
}

static bool is_alone(const struct h1_back *b)
{
	return b->base.backend->dial.proxy_out != MAPPING_PROXY_NONE;
}

static struct h2_call *call_of(struct list *in_out)
{
	return CONTAINER_OF(in_out, struct h2_call, in_out);
}

const struct exchange *h2_back_first(const struct h1_back *b)
{
	struct list *first = list_first(&b->h2->calls);

	return first != NULL ? call_of(first)->base.x : NULL;
}

void h2_back_kick(struct h1_back *b)
{
	/* While a name is awaited the task is the one that is called when it is there. */
	if (b->state == H1_BACK_BUSY || b->state == H1_BACK_IDLE)
		worker_finish(b->desk->worker, &b->task);
}

/* ---- who may share it ----------------------------------------------------------------------------------------------- */

static bool has_room(const struct h1_back *b)
{
	if (b->failure >= 0 || b->wire.side.fin || b->out.failed || is_alone(b) || !h2_out_keeps(b->h2))
		return false;
	return b->h2->n_calls < h2_out_limit(b->h2);
}

/* The fullest first, so that others run empty and end. */
static void arrange(struct h1_back *b)
{
	if (b->state == H1_BACK_CLOSED || b->state == H1_BACK_IDLE)
		return;
	list_remove(&b->idle);
	if (has_room(b))
		list_push_front(&seat_of(b)->shared, &b->idle);
}

void h2_back_on_limits(struct h1_back *b)
{
	if (b->h2->settled && b->state == H1_BACK_BUSY)
		wheel_disarm(&b->timer);
	arrange(b);
	h2_back_kick(b);
}

void h2_back_on_released(struct h1_back *b)
{
	b->served = true;
	if (b->state == H1_BACK_CLOSED || b->failure >= 0)
		return;
	if (b->h2->n_calls == 0 && b->state < H1_BACK_BUSY) {
		h1_back_close(b, true); /* nobody waits for it any more */
		return;
	}
	arrange(b);
	h2_back_kick(b);
}

/* Without requests it waits for some, or ends. */
static void settle(struct h1_back *b)
{
	if (b->state != H1_BACK_BUSY || b->failure >= 0 || b->h2->n_calls > 0)
		return;
	b->answered = true;
	b->keeps = h2_out_keeps(b->h2);
	list_remove(&b->idle);
	h1_back_wait_or_close(b);
}

/* ---- out ------------------------------------------------------------------------------------------------------------- */

static void tell_failed(struct h1_back *b)
{
	LIST_FOREACH_SAFE (it, &b->h2->calls) {
		struct h2_call *c = call_of(it);

		if (c->failure >= 0)
			exchange_on_failed(c->base.x, (enum back_failure)c->failure); /* lets go of it */
	}
}

static void tell_room(struct h1_back *b)
{
	LIST_FOREACH_SAFE (it, &b->h2->calls) {
		struct h2_call *c = call_of(it);

		if (!c->room)
			continue;
		c->room = false;
		exchange_on_room(c->base.x);
	}
}

/* ---- in -------------------------------------------------------------------------------------------------------------- */

static void flush_clients(struct h1_back *b)
{
	LIST_FOREACH_SAFE (it, &b->h2->calls) {
		struct h2_call *c = call_of(it);

		if (!c->touched)
			continue;
		c->touched = false;
		exchange_flush_client(c->base.x);
		h2_call_open_window(c);
	}
}

static void lose(struct h1_back *b, enum back_failure why)
{
	b->wire.side.readable = false;
	if (b->state == H1_BACK_IDLE)
		h1_back_close(b, false);
	else
		h1_back_fail(b, why);
	arrange(b);
}

static bool may_read(const struct h1_back *b)
{
	return b->wire.side.readable && b->failure < 0 && (b->state == H1_BACK_BUSY || b->state == H1_BACK_IDLE);
}

static void read_some(struct h1_back *b)
{
	struct worker *w = b->desk->worker;
	size_t moved = 0;

	while (may_read(b) && moved < w->turn) {
		const ssize_t r = wire_read(&b->wire, w, w->scratch, INBOX_READ);

		if (r == WIRE_AGAIN)
			break;
		if (r <= 0)
			lose(b, BACK_RESET);
		else if (h2_out_read(b->h2, w->scratch, (size_t)r) != 0 && b->state != H1_BACK_CLOSED)
			lose(b, BACK_BAD);
		moved += INBOX_READ;
	}
	if (b->state != H1_BACK_CLOSED)
		flush_clients(b);
	if (may_read(b))
		worker_again(w, &b->task);
}

static void write_some(struct h1_back *b)
{
	h2_out_write(b->h2, &b->out, &b->wire);
	if (!b->out.failed)
		return;
	b->wire.side.readable = true; /* what cannot be written may have been answered all the same: reading tells */
	read_some(b);
	if (b->state != H1_BACK_CLOSED)
		lose(b, BACK_RESET);
}

/* ---- turns ----------------------------------------------------------------------------------------------------------- */

/* What is told here may want to be sent: then there is another turn. */
static void turn(struct h1_back *b)
{
	read_some(b);
	if (b->state == H1_BACK_CLOSED || b->failure >= 0)
		return;
	write_some(b);
	if (b->state == H1_BACK_CLOSED || b->failure >= 0)
		return;
	tell_room(b);
	tell_failed(b);
	if (b->state == H1_BACK_IDLE && !h2_out_keeps(b->h2))
		h1_back_close(b, false);
	else
		settle(b);
}

void h2_back_on_event(struct h1_back *b)
{
	turn(b);
}

void h2_back_on_task(struct h1_back *b)
{
	turn(b);
}

void h2_back_on_due(struct h1_back *b)
{
	if (!b->h2->settled)
		h1_back_fail(b, BACK_NO_CONNECTION);
}

void h2_back_begin(struct h1_back *b)
{
	struct worker *w = b->desk->worker;

	wheel_arm(&w->wheel, &b->timer,
		w->now_ns + b->base.backend->dial.connect_timeout_ms * UINT64_C(1000000)); /* for its SETTINGS */
	LIST_FOREACH_SAFE (it, &b->h2->calls)
		h2_call_submit(call_of(it));
	h2_back_kick(b);
}

void h2_back_go(struct h1_back *b, struct h2_call *c)
{
	if (b->state >= H1_BACK_BUSY) {
		h2_call_submit(c);
	} else if (!b->begun) {
		b->begun = true;
		h1_dial_begin(b);
	}
}

/* ---- the end --------------------------------------------------------------------------------------------------------- */

/* Of a connection that was there, what was never sent has lost nothing. */
void h2_back_tell_failure(struct h1_back *b)
{
	struct list *first;

	list_remove(&b->idle); /* nobody else comes here */
	while ((first = list_first(&b->h2->calls)) != NULL) {
		struct h2_call *c = call_of(first);
		const bool unseen = b->state >= H1_BACK_BUSY && !c->sent && b->failure == BACK_RESET;
		const int why = c->failure >= 0 ? c->failure : unseen ? BACK_REFUSED : b->failure;

		exchange_on_failed(c->base.x, (enum back_failure)why); /* lets go of it */
		if (first == list_first(&b->h2->calls))
			h2_call_end(c);
	}
}

void h2_back_end(struct h1_back *b)
{
	struct list *first;

	list_remove(&b->idle);
	while ((first = list_first(&b->h2->calls)) != NULL)
		h2_call_end(call_of(first));
}

/* ---- the begin ------------------------------------------------------------------------------------------------------- */

static struct h1_back *new_connection(struct http_desk *d, struct backend *to)
{
	struct h1_back *b = h1_back_new(d, to);

	if (b == NULL)
		return NULL;
	if (h2_out_new(&b->h2, d, b, to->tls != NULL) != 0) {
		h1_back_close(b, true);
		return NULL;
	}
	return b;
}

static struct h1_back *find_connection(struct http_desk *d, struct backend *to)
{
	struct backend_seat *seat = &to->seats[d->worker->index];
	struct list *at = list_first(&seat->idle);
	struct h1_back *b;

	LIST_FOREACH (it, &seat->shared)
		if (h1_back_of_idle(it)->failure < 0)
			return h1_back_of_idle(it);
	if (at == NULL)
		return NULL;
	b = h1_back_of_idle(at);
	h1_back_leave_idle(b);
	return b;
}

struct back *h2_back_start(struct http_desk *d, struct backend *to, struct exchange *x)
{
	struct h1_back *b = find_connection(d, to);
	const bool found = b != NULL;
	struct h2_call *c;

	if (b == NULL)
		b = new_connection(d, to);
	c = b != NULL ? h2_call_new(b->h2, to, x) : NULL;
	if (c == NULL) {
		if (b != NULL && b->h2->n_calls == 0)
			h1_back_close(b, true);
		return NULL;
	}
	c->base.reused = b->served;
	if (found)
		desk_count(d, HTTP_COUNT_reused);
	arrange(b);
	return &c->base;
}
