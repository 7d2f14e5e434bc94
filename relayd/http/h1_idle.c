/*
 * Connections that wait for a next request. They are a convenience: when descriptors run short they are what goes first, backends' before
 * clients', those that have waited longest before others, so that what is kept for later refuses nobody who comes now. Less than a sixteenth is
 * short (fd_budget.h): the rest of it is for workers that have none to give, until others have looked.
 */
#include "common/uv/fd_budget.h"
#include "relayd/conf/object.h"
#include "relayd/http/h1_back.h"

#define LOOK_NS UINT64_C(100000000)

static struct backend_seat *seat_of(const struct h1_back *b)
{
	return &b->base.backend->seats[b->desk->worker->index];
}

static bool is_short(const struct http_desk *d)
{
	return fd_budget_is_short(d->worker->fds);
}

/* There is something to give. */
static void look_soon(struct http_desk *d)
{
	if (!timer_armed(&d->thrift))
		wheel_arm(&d->worker->wheel, &d->thrift, d->worker->now_ns + LOOK_NS);
}

void desk_rest(struct http_desk *d, struct desk_rest *r)
{
	list_push_back(&d->resting, &r->link);
	look_soon(d);
}

/* ---- waiting -------------------------------------------------------------------------------------------------------- */

/*
 * Nothing came behind the answer that was not read yet: what nobody asked for would be taken for the next one. Asked only when the last
 * read or splice may have left something.
 */
static bool is_quiet(struct h1_back *b)
{
	uint8_t byte;

	return b->h2 != NULL || !b->wire.side.readable || wire_read(&b->wire, b->desk->worker, &byte, 1) == WIRE_AGAIN;
}

static bool may_wait(struct h1_back *b)
{
	const struct backend *to = b->base.backend;
	const struct pool_conf *pool = &to->object->pool;
	const uint32_t most = pool->idle_max != 0 ? pool->idle_max : b->desk->conf->backend_idle_max;

	return b->state == H1_BACK_BUSY && b->answered && b->keeps && !b->wire.side.fin && !b->out.failed &&
	       (b->h2 != NULL || outbox_is_empty(&b->out)) && to->dial.proxy_out == MAPPING_PROXY_NONE &&
	       !seat_of(b)->left && !b->desk->closing && seat_of(b)->n_idle < most &&
	       !(b->fd_taken && is_short(b->desk)) && is_quiet(b);
}

static void begin_wait(struct h1_back *b)
{
	const struct pool_conf *pool = &b->base.backend->object->pool;
	const uint64_t ms = pool->idle_timeout_ms != 0 ? pool->idle_timeout_ms : b->desk->conf->backend_idle_ms;
	struct worker *w = b->desk->worker;

	h1_back_move(b, H1_BACK_IDLE);
	list_push_front(&seat_of(b)->idle, &b->idle);
	seat_of(b)->n_idle++;
	if (b->fd_taken) /* one through an agent has none */
		list_push_back(&b->desk->spare, &b->spare);
	look_soon(b->desk);
	b->idle_until_ns = w->now_ns + ms * UINT64_C(1000000);
	if (!timer_armed(&b->timer))
		wheel_arm(&w->wheel, &b->timer, b->idle_until_ns);
}

void h1_back_wait_or_close(struct h1_back *b)
{
	if (may_wait(b))
		begin_wait(b);
	else
		h1_back_close(b, !b->answered && b->state != H1_BACK_RAW);
}

void h1_idle_forget(struct h1_back *b)
{
	list_remove(&b->idle);
	list_remove(&b->spare);
	seat_of(b)->n_idle--;
}

void h1_back_leave_idle(struct h1_back *b)
{
	h1_idle_forget(b);
	h1_back_move(b, H1_BACK_BUSY);
}

/* ---- thrift --------------------------------------------------------------------------------------------------------- */

static void close_oldest(struct http_desk *d)
{
	desk_count(d, HTTP_COUNT_backends_spared);
	h1_back_close(CONTAINER_OF(list_first(&d->spare), struct h1_back, spare), false);
}

static void leave_longest(struct http_desk *d)
{
	struct desk_rest *r = CONTAINER_OF(list_first(&d->resting), struct desk_rest, link);

	desk_count(d, HTTP_COUNT_clients_spared);
	list_remove(&r->link);
	r->leave(r);
}

/* Backends' first: whoever is connected here may be about to ask. */
static bool give_one(struct http_desk *d)
{
	if (!list_empty(&d->spare))
		close_oldest(d);
	else if (!list_empty(&d->resting))
		leave_longest(d);
	else
		return false;
	return true;
}

static void on_wanted(void *arg, unsigned n)
{
	while (n > 0 && give_one(arg))
		n--;
}

/* Other workers, and others in this one, may have none to give. */
static void on_look(struct timer *t)
{
	struct http_desk *d = CONTAINER_OF(t, struct http_desk, thrift);

	while (is_short(d) && give_one(d))
		;
	if (!list_empty(&d->spare) || !list_empty(&d->resting))
		look_soon(d);
}

void h1_idle_init(struct http_desk *d)
{
	list_init(&d->spare);
	list_init(&d->resting);
	timer_init(&d->thrift, on_look);
	d->worker->spare = on_wanted;
	d->worker->spare_arg = d;
}

void h1_idle_fini(struct http_desk *d)
{
	wheel_disarm(&d->thrift);
	d->worker->spare = NULL;
}
