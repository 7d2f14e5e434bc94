#include "relayd/http/h1_front.h"

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/cidr.h"
#include "common/net/proxy_protocol.h"
#include "common/uv/fd_budget.h"
#include "proto/answer.h"
#include "proto/mapping_conf.h"
#include "relayd/http/h1_front_inside.h"

#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_IDLE_MS 1000 /* for a next request, when connections are to end */

static const struct sm_state states[] = {
	[FRONT_OPEN] = { "open", BIT(FRONT_LINGER) | BIT(FRONT_CLOSED) },
	[FRONT_LINGER] = { "linger", BIT(FRONT_CLOSED) },
	[FRONT_CLOSED] = { "closed", 0 },
};

size_t h1_front_size(void)
{
	return sizeof(struct h1_front);
}

struct h1_front *h1_front_of(struct list *link)
{
	return CONTAINER_OF(link, struct h1_front, link);
}

struct wire *h1_front_wire(struct h1_front *f)
{
	return &f->wire;
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

/* The timer is moved only when it would come too late: most of what is awaited comes before. */
void h1_front_due_in(struct h1_front *f, uint64_t ms)
{
	struct worker *w = f->desk->worker;

	f->due_ns = ms != 0 ? w->now_ns + ms * UINT64_C(1000000) : UINT64_MAX;
	if (ms != 0 && (!timer_armed(&f->timer) || f->due_ns >> WHEEL_TICK_SHIFT < f->timer.due))
		wheel_arm(&w->wheel, &f->timer, f->due_ns);
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	struct h1_front *f = CONTAINER_OF(t, struct h1_front, grave);

	slab_put(&f->desk->fronts, f);
}

void h1_front_drop_exchange(struct h1_front *f)
{
	struct exchange *x = f->x;

	f->x = NULL;
	if (x != NULL)
		exchange_close(x);
}

void h1_front_close(struct h1_front *f, bool reset)
{
	struct http_desk *d = f->desk;

	if (f->state == FRONT_CLOSED)
		return;
	sm_move(states, &f->state, FRONT_CLOSED);
	outbox_fini(&f->out, &d->blocks); /* what it holds of its route's goes back before the route may go */
	h1_front_drop_exchange(f);
	wire_close(&f->wire, reset);
	inbox_fini(&f->in, &d->blocks);
	wheel_disarm(&f->timer);
	list_remove(&f->task.link);
	list_remove(&f->link);
	list_remove(&f->rest.link);
	fd_budget_give(d->worker->fds, 1);
	desk_now(&d->counts.connections_now, -1);
	worker_bury(d->worker, &f->grave);
}

void h1_front_rest(struct h1_front *f)
{
	if (f->x == NULL && !f->parsing && !f->unparsed && list_empty(&f->rest.link))
		desk_rest(f->desk, &f->rest);
}

static void throw_away(struct h1_front *f)
{
	struct worker *w = f->desk->worker;
	ssize_t r = 1;

	for (unsigned i = 0; i < 4 && r > 0 && f->wire.side.readable; i++)
		r = wire_read(&f->wire, w, w->scratch, INBOX_READ);
	if (r == 0 || r == WIRE_FAILED)
		h1_front_close(f, false);
	else if (r > 0 && f->wire.side.readable)
		worker_again(w, &f->task);
}

/* Nothing will be read any more: at once if there is nothing to read, else in two steps. */
void h1_front_leave(struct h1_front *f, bool unread)
{
	h1_front_drop_exchange(f);
	if (!unread && !f->unparsed && !f->wire.side.readable) {
		h1_front_close(f, false);
		return;
	}
	if (wire_finish(&f->wire) != 0) {
		h1_front_close(f, true);
		return;
	}
	sm_move(states, &f->state, FRONT_LINGER);
	inbox_fini(&f->in, &f->desk->blocks);
	h1_front_due_in(f, f->desk->conf->drain_ms);
	worker_finish(f->desk->worker, &f->task);
}

/* ---- a PROXY header in front ---------------------------------------------------------------------------------------- */

/* Looked at where it lies, and taken only when it is whole. True: it was. */
static bool read_proxy_header(struct h1_front *f)
{
	struct worker *w = f->desk->worker;
	const int fd = f->wire.side.io.fd;
	const ssize_t n = recv(fd, w->scratch, PROXY_V2_MAX, MSG_PEEK);
	struct proxy_header h;
	int used = n > 0 ? proxy_parse(&h, w->scratch, (size_t)n) : -1;

	if (n < 0 || (used == 0 && n < PROXY_V2_MAX && !f->wire.side.fin)) {
		side_drained(&f->wire.side, w);
		return false;
	}
	if (used <= 0 || recv(fd, w->scratch, (size_t)used, 0) != used) {
		h1_front_close(f, true);
		return false;
	}
	if (!h.local)
		f->from = h.src;
	f->proxied = false;
	return true;
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

static void on_writable(struct h1_front *f)
{
	h1_answer_flush(f);
	if (outbox_is_full(&f->out) || f->x == NULL)
		return;
	if (f->answered)
		h1_answer_try_finish(f);
	else
		exchange_drained(f->x);
}

static void go_on(struct h1_front *f)
{
	if (f->out.failed)
		h1_front_close(f, true);
	else if (f->state == FRONT_LINGER)
		throw_away(f);
	else if (!f->proxied || read_proxy_header(f)) {
		h1_request_read(f);
		if (f->state == FRONT_OPEN && f->x != NULL && f->in_ended)
			h1_answer_try_finish(f);
	}
}

static void on_event(struct io *io, uint32_t events)
{
	struct h1_front *f = CONTAINER_OF(io, struct h1_front, wire.side.io);

	if (f->state == FRONT_CLOSED)
		return;
	side_hear(&f->wire.side, f->desk->worker, events);
	if (events & (EPOLLERR | EPOLLHUP) && !(f->x == NULL && f->wire.side.fin)) {
		h1_front_close(f, true);
		return;
	}
	if (f->out.blocked && f->wire.side.writable)
		on_writable(f);
	if (f->state != FRONT_CLOSED)
		go_on(f);
}

static void on_task(struct task *t)
{
	struct h1_front *f = CONTAINER_OF(t, struct h1_front, task);

	if (f->state != FRONT_CLOSED)
		go_on(f);
}

static void on_due(struct timer *t)
{
	struct h1_front *f = CONTAINER_OF(t, struct h1_front, timer);
	struct http_desk *d = f->desk;

	if (f->due_ns == UINT64_MAX)
		return;
	if (d->worker->now_ns < f->due_ns) {
		wheel_arm(&d->worker->wheel, t, f->due_ns);
		return;
	}
	f->due_ns = UINT64_MAX;
	if (f->state == FRONT_LINGER) {
		h1_front_close(f, true);
	} else if (h1_answer_waits(f)) {
		desk_count(d, HTTP_COUNT_slow_client);
		h1_front_close(f, true);
	} else if (f->x != NULL && !exchange_takes(f->x)) {
		h1_front_due_in(f, d->conf->body_timeout_ms); /* it is not the client that is slow */
	} else if (f->x != NULL) {
		desk_count(d, HTTP_COUNT_slow_body);
		f->keeps = false;
		exchange_content_bad(f->x, 408, "the content did not come in time");
	} else if (f->in.kept != NULL || f->proxied) {
		desk_count(d, HTTP_COUNT_slow_head);
		f->keeps = false;
		if (h1_request_begin(f))
			exchange_refuse(f->x, 408, "the head did not come in time");
	} else {
		desk_count(d, HTTP_COUNT_idle_closed);
		h1_front_close(f, false);
	}
}

static void on_wanted(struct desk_rest *r)
{
	h1_front_close(CONTAINER_OF(r, struct h1_front, rest), false);
}

/* ---- the begin ------------------------------------------------------------------------------------------------------ */

struct h1_front *h1_front_new(struct http_desk *d, struct front_seat *seat, int fd, const struct addr *from)
{
	struct h1_front *f = worker_take_fds(d->worker, 1) ? slab_get(&d->fronts) : NULL;

	desk_count(d, HTTP_COUNT_connections);
	if (f == NULL) {
		desk_count(d, HTTP_COUNT_resource);
		side_reset_on_close(fd);
		close(fd);
		return NULL;
	}
	f->state = FRONT_OPEN;
	f->desk = d;
	f->seat = seat;
	f->from = *from;
	f->id = worker_next_id(d->worker);
	f->opened_ns = d->worker->now_ns;
	side_init(&f->wire.side, on_event, fd);
	f->wire.side.writable = true;
	f->wire.side.nodelay = true; /* of the listening socket */
	http_reader_init_request(&f->reader, &d->conf->limits);
	timer_init(&f->timer, on_due);
	task_init(&f->task, on_task);
	task_init(&f->grave, on_buried);
	list_push_back(&d->connections, &f->link);
	list_init(&f->rest.link);
	f->rest.leave = on_wanted;
	desk_now(&d->counts.connections_now, 1);
	return f;
}

void h1_front_begin(struct h1_front *f, bool tls)
{
	f->tls = tls;
	h1_front_due_in(f, f->desk->conf->head_timeout_ms);
	if (!f->wire.side.io.added && io_add(f->desk->worker, &f->wire.side.io, IO_STREAM) != 0) {
		h1_front_close(f, true);
		return;
	}
	if (!tls) /* what a handshake left is known */
		f->wire.side.readable = true;
	go_on(f);
}

void h1_front_open(struct http_desk *d, struct front_seat *seat, int fd, const struct addr *from, bool proxied)
{
	const struct mapping_cidrs *t = &d->conf->trusted;
	struct h1_front *f;

	if (proxied && !cidr_match_any(t->items, t->n, from)) { /* anybody may have written it */
		desk_count(d, HTTP_COUNT_bad_request);
		side_reset_on_close(fd);
		close(fd);
		return;
	}
	f = h1_front_new(d, seat, fd, from);
	if (f == NULL)
		return;
	f->proxied = proxied;
	wire_open_clear(&f->wire);
	h1_front_begin(f, false);
}

/* Between two requests the next one may be on its way: it is waited for a little, and its answer is the connection's last. */
void h1_front_drain(struct h1_front *f)
{
	if (f->state == FRONT_OPEN && f->x == NULL && f->in.kept == NULL && !f->proxied)
		h1_front_due_in(f, DRAIN_IDLE_MS);
}

/* ---- for people ----------------------------------------------------------------------------------------------------- */

uint64_t h1_front_id(const struct h1_front *f)
{
	return f->id;
}

void h1_front_info(const struct h1_front *f, struct conn_info *out)
{
	struct addr to;

	*out = (struct conn_info){
		.id = f->id,
		.protocol = MAPPING_TCP,
		.bytes_out = f->out.sent,
		.opened_ms = clock_wall_ms() - (int64_t)((f->desk->worker->now_ns - f->opened_ns) / 1000000),
	};
	str_copy(out->mapping, sizeof out->mapping, f->route);
	addr_print(&f->from, out->remote);
	if (side_local(&f->wire.side, &to) == 0)
		addr_print(&to, out->local);
	if (f->x != NULL)
		exchange_target_text(f->x, out->target, sizeof out->target);
}
