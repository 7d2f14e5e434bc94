#include "relayd/http/h2_front.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "proto/answer.h"
#include "proto/mapping_conf.h"
#include "relayd/http/h2_inside.h"
#include "relayd/http/h2_send.h"
#include "relayd/http/wire_tls.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* The budget, in the price of a PING or a window update. */
enum {
	BUDGET_MAX = 4000,
	BUDGET_PER_S = 1000,
	BUDGET_BYTES = 4096, /* of content that passed are worth 1, and so is a frame of an answer */
	PRICE_FRAME = 1,
	PRICE_EMPTY = 4,  /* DATA without data, PRIORITY */
	DATA_SMALL = 16,  /* bytes: as much as a frame costs beside them; */
	WASTE_BYTES = 64, /* so many fewer cost 1 */
	PRICE_SETTINGS = 40,
	PRICE_RESET = 40, /* of a stream that was at work */
	PRICE_ERROR = 20, /* of the protocol, within a stream */
	LOOK_NS = 500 * 1000 * 1000,
	NOTICE_MS = 900,
	CONTINUATIONS_MAX = 8,
	SETTINGS_MAX = 32,
};

static void front_end(struct h2_front *f, bool reset);

/* ---- the budget --------------------------------------------------------------------------------------------------- */

static void refill(struct h2_front *f)
{
	const uint64_t now_ns = f->desk->worker->now_ns;
	const uint64_t more = (now_ns - f->budget_ns) * BUDGET_PER_S / UINT64_C(1000000000);

	if (more == 0)
		return;
	f->budget = MIN(f->budget + (int64_t)MIN(more, BUDGET_MAX), BUDGET_MAX);
	f->budget_ns = now_ns;
}

/* By bytes alone: what comes in a thousand pieces is worth no more than in one. */
static void earn(struct h2_front *f, size_t bytes)
{
	const size_t all = f->earned + bytes;

	f->budget = MIN(f->budget + (int64_t)(all / BUDGET_BYTES), BUDGET_MAX);
	f->earned = (uint32_t)(all % BUDGET_BYTES);
}

bool h2_front_pay(struct h2_front *f, int64_t cost)
{
	refill(f);
	f->budget -= cost;
	if (f->budget >= 0)
		return true;
	if (!f->draining)
		desk_count(f->desk, HTTP_COUNT_h2_abuse);
	f->draining = true;
	(void)nghttp2_session_terminate_session(f->ng, NGHTTP2_ENHANCE_YOUR_CALM);
	return false;
}

/* ---- what nghttp2 tells ------------------------------------------------------------------------------------------- */

static struct h2_stream *stream_at(nghttp2_session *ng, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

static bool is_request(const nghttp2_frame *frame)
{
	return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_front *f = arg;
	struct h2_stream *s;

	f->head_ns = f->desk->worker->now_ns;
	if (!is_request(frame))
		return 0;
	s = h2_stream_open(f, frame->hd.stream_id);
	if (s == NULL) {
		desk_count(f->desk, HTTP_COUNT_resource);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	f->idle_ns = 0;
	list_remove(&f->rest.link);
	return nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, s) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
	const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	const struct http_span n = { (const char *)name, name_n }, v = { (const char *)value, value_n };
	struct h2_stream *s = stream_at(ng, frame->hd.stream_id);

	(void)flags, (void)arg;
	if (s != NULL && is_request(frame))
		h2_stream_field(s, n, v);
	else if (s != NULL)
		h2_stream_trailer(s, n, v);
	return 0;
}

/* A message in small frames (gRPC, WebSocket) may go on for ever; one in frames that are hardly more than their heads may not. */
static int64_t price_of_data(struct h2_front *f, const nghttp2_frame *frame)
{
	const size_t n = frame->hd.length - frame->data.padlen;
	int64_t price;

	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) /* there is one for each request */
		return 0;
	if (n == 0)
		return PRICE_EMPTY;
	if (n >= DATA_SMALL)
		return 0;
	f->waste += (uint32_t)(DATA_SMALL - n);
	price = f->waste / WASTE_BYTES;
	f->waste %= WASTE_BYTES;
	return price;
}

/* What a frame costs beside the work that is its reason. */
static int64_t price_of(struct h2_front *f, const nghttp2_frame *frame)
{
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		return price_of_data(f, frame);
	case NGHTTP2_PRIORITY:
		return PRICE_EMPTY;
	case NGHTTP2_SETTINGS:
		return PRICE_SETTINGS;
	case NGHTTP2_HEADERS:
		return 0;
	default:
		return PRICE_FRAME;
	}
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_front *f = arg;
	struct h2_stream *s = stream_at(ng, frame->hd.stream_id);
	const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_SETTINGS)
		f->head_ns = 0; /* of a request, or the client's preface */
	(void)h2_front_pay(f, price_of(f, frame));
	if (s == NULL)
		return 0;
	if (is_request(frame))
		h2_stream_ask(s, ended);
	else if (ended && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		h2_stream_content_end(s);
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_front *f = arg;
	struct h2_stream *s = stream_at(ng, id);

	(void)flags;
	earn(f, n);
	if (s != NULL)
		h2_stream_content(s, (struct http_span){ (const char *)p, n });
	else
		(void)nghttp2_session_consume(ng, id, n);
	return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2_front *f = arg;

	(void)ng, (void)frame, (void)error;
	desk_count(f->desk, HTTP_COUNT_bad_request);
	(void)h2_front_pay(f, PRICE_ERROR);
	return 0;
}

/* A reset costs most while the answer is under way: that is what it is abused for. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2_front *f = arg;
	struct h2_stream *s = stream_at(ng, id);

	if (s == NULL)
		return 0;
	if (code != NGHTTP2_NO_ERROR && !s->ended)
		(void)h2_front_pay(f, PRICE_RESET);
	if (code == NGHTTP2_NO_ERROR && h2_tunnel_lingers(s))
		return 0;
	if (s->held != NULL)
		(void)nghttp2_session_consume_connection(ng, block_waiting(s->held));
	h2_stream_close(s);
	h2_front_kick(f);
	return 0;
}

/*
 * Content of an answer pays for what a client says of it (a window update, a PING to see how fast it comes), however little it is. Answered
 * before the request was whole, the client need not send the rest (RFC 9113 section 8.1).
 */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	const struct h2_stream *s = stream_at(ng, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_DATA && frame->hd.length > 0)
		earn(arg, MAX(frame->hd.length, (size_t)BUDGET_BYTES));
	if (s != NULL && s->early && !s->request_ended && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
		(frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		(void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

/* ---- bytes out ----------------------------------------------------------------------------------------------------- */

static void send_waiting(struct h2_front *f)
{
	struct blocks *bs = &f->desk->blocks;

	outbox_flush(&f->out, bs, &f->wire);
	h2_send(f->ng, &f->out, bs, &f->wire);
	if (!outbox_is_full(&f->out))
		f->blocked_ns = 0;
	else if (f->blocked_ns == 0)
		f->blocked_ns = f->desk->worker->now_ns;
}

/* Content that is held finds room when a backend has taken what it had. */
static void give_held(struct h2_front *f)
{
	LIST_FOREACH_SAFE (it, &f->streams)
		h2_stream_give(CONTAINER_OF(it, struct h2_stream, in_front));
}

static void on_pump(struct task *t)
{
	struct h2_front *f = CONTAINER_OF(t, struct h2_front, pump);

	if (f->over)
		return;
	give_held(f);
	send_waiting(f);
	if (f->out.failed)
		front_end(f, true);
	else if (outbox_is_empty(&f->out) && !nghttp2_session_want_read(f->ng) && !nghttp2_session_want_write(f->ng))
		front_end(f, false);
}

void h2_front_kick(struct h2_front *f)
{
	if (!f->over)
		worker_finish(f->desk->worker, &f->pump);
}

/* ---- bytes in ------------------------------------------------------------------------------------------------------ */

/* False: the connection is at its end. */
static bool take(struct h2_front *f, const uint8_t *p, size_t n)
{
	if (nghttp2_session_mem_recv(f->ng, p, n) >= 0)
		return true;
	desk_count(f->desk, HTTP_COUNT_bad_request);
	send_waiting(f); /* a GOAWAY says why, if there is one */
	front_end(f, false);
	return false;
}

/* As much as one callback may; the rest is read in the next round. */
static void read_some(struct h2_front *f)
{
	struct worker *w = f->desk->worker;
	uint8_t buf[INBOX_READ];
	ssize_t n;

	for (size_t sum = 0; f->wire.side.readable && !f->over && !outbox_is_full(&f->out); sum += (size_t)n) {
		if (sum >= w->turn) {
			h2_front_kick(f);
			worker_again(w, &f->more);
			return;
		}
		n = wire_read(&f->wire, w, buf, sizeof buf);
		if (n == WIRE_AGAIN)
			break;
		if (n <= 0) {
			front_end(f, false);
			return;
		}
		if (!take(f, buf, (size_t)n))
			return;
	}
	h2_front_kick(f);
}

/* In a buffer of its own, as what comes of it may use the one in which it lies. */
static bool take_first(struct h2_front *f, struct http_span first)
{
	uint8_t buf[INBOX_READ];

	memcpy(buf, first.p, first.n);
	return take(f, buf, first.n);
}

static void on_more(struct task *t)
{
	struct h2_front *f = CONTAINER_OF(t, struct h2_front, more);

	if (!f->over)
		read_some(f);
}

static void on_event(struct io *io, uint32_t events)
{
	struct h2_front *f = CONTAINER_OF(io, struct h2_front, wire.side.io);

	side_hear(&f->wire.side, f->desk->worker, events);
	if (events & EPOLLERR) {
		front_end(f, true);
		return;
	}
	if (f->wire.side.writable)
		send_waiting(f);
	if (f->out.failed)
		front_end(f, true);
	else
		read_some(f);
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

static bool is_older(const struct h2_front *f, uint64_t since_ns, uint32_t ms)
{
	return since_ns != 0 && ms != 0 && f->desk->worker->now_ns - since_ns > ms * NS_PER_MS;
}

/* Content that was begun and does not go on, though there is room for it; an answer whose last part is not taken. */
static void end_slow_streams(struct h2_front *f)
{
	const struct http_conf *conf = f->desk->conf;

	LIST_FOREACH_SAFE (it, &f->streams) {
		struct h2_stream *s = CONTAINER_OF(it, struct h2_stream, in_front);

		if (h2_stream_waits(s) && is_older(f, s->taken_ns, conf->body_timeout_ms)) {
			desk_count(f->desk, HTTP_COUNT_slow_client);
			h2_stream_give_up(s);
			continue;
		}
		if (s->request_ended || s->x == NULL || s->tunnel != NULL || s->held != NULL ||
			exchange_dropped(s->x) || !is_older(f, s->active_ns, conf->body_timeout_ms))
			continue;
		desk_count(f->desk, HTTP_COUNT_slow_body);
		s->active_ns = f->desk->worker->now_ns;
		exchange_content_bad(s->x, 408, "the content did not come in time");
	}
}

/* Streams that were on their way when it was told that it will end have come by now (RFC 9113 section 6.8). */
static void tell_last_stream(struct h2_front *f)
{
	f->notice_ns = 0;
	(void)nghttp2_submit_goaway(
		f->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(f->ng), NGHTTP2_NO_ERROR, NULL, 0);
	if (f->n_streams == 0)
		(void)nghttp2_session_terminate_session(f->ng, NGHTTP2_NO_ERROR);
	h2_front_kick(f);
}

static void on_due(struct timer *t)
{
	struct h2_front *f = CONTAINER_OF(t, struct h2_front, timer);
	const struct http_conf *conf = f->desk->conf;

	wheel_arm(&f->desk->worker->wheel, t, f->desk->worker->now_ns + LOOK_NS);
	if (is_older(f, f->notice_ns, NOTICE_MS))
		tell_last_stream(f);
	if (is_older(f, f->blocked_ns, conf->body_timeout_ms)) {
		desk_count(f->desk, HTTP_COUNT_slow_client);
		front_end(f, true);
	} else if (is_older(f, f->head_ns, conf->head_timeout_ms)) {
		desk_count(f->desk, HTTP_COUNT_slow_head);
		front_end(f, true);
	} else if (is_older(f, f->idle_ns, conf->idle_timeout_ms) && !f->draining) {
		desk_count(f->desk, HTTP_COUNT_idle_closed);
		f->draining = true;
		(void)nghttp2_session_terminate_session(f->ng, NGHTTP2_NO_ERROR);
		f->idle_ns = f->desk->worker->now_ns;
		h2_front_kick(f);
	} else if (is_older(f, f->idle_ns, conf->idle_timeout_ms)) {
		front_end(f, false); /* it was told, and has not gone */
	} else {
		end_slow_streams(f);
	}
}

/* ---- made, ended --------------------------------------------------------------------------------------------------- */

struct h2_front *h2_front_of(struct list *in_desk)
{
	return CONTAINER_OF(in_desk, struct h2_front, in_desk);
}

static void on_buried(struct task *t)
{
	struct h2_front *f = CONTAINER_OF(t, struct h2_front, grave);

	nghttp2_session_del(f->ng); /* not before: it may be what called */
	free(f);
}

static void front_end(struct h2_front *f, bool reset)
{
	struct list *first;

	if (f->over)
		return;
	f->over = true;
	while ((first = list_first(&f->streams)) != NULL) {
		struct h2_stream *s = CONTAINER_OF(first, struct h2_stream, in_front);

		(void)nghttp2_session_set_stream_user_data(f->ng, s->id, NULL);
		h2_stream_close(s);
	}
	wheel_disarm(&f->timer);
	list_remove(&f->pump.link);
	list_remove(&f->more.link);
	list_remove(&f->in_desk);
	list_remove(&f->rest.link);
	desk_now(&f->desk->counts.connections_now, -1);
	outbox_fini(&f->out, &f->desk->blocks);
	if (wire_is_open(&f->wire)) {
		io_del(f->desk->worker, &f->wire.side.io);
		wire_close(&f->wire, reset);
		fd_budget_give(f->desk->worker->fds, 1);
	}
	worker_bury(f->desk->worker, &f->grave);
}

void h2_front_rest(struct h2_front *f)
{
	f->idle_ns = f->desk->worker->now_ns;
	desk_rest(f->desk, &f->rest);
}

static void on_wanted(struct desk_rest *r)
{
	struct h2_front *f = CONTAINER_OF(r, struct h2_front, rest);

	(void)nghttp2_session_terminate_session(f->ng, NGHTTP2_NO_ERROR);
	send_waiting(f);
	front_end(f, false);
}

void h2_front_cut(struct h2_front *f)
{
	front_end(f, true);
}

void h2_front_drain(struct h2_front *f)
{
	if (f->draining || f->over)
		return;
	f->draining = true;
	f->notice_ns = f->desk->worker->now_ns;
	(void)nghttp2_submit_shutdown_notice(f->ng);
	h2_front_kick(f);
}

static int make_session(struct h2_front *f)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	int rc = -1;

	if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_option_set_no_closed_streams(option, 1);
		nghttp2_option_set_max_settings(option, SETTINGS_MAX);
		nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
		nghttp2_option_set_stream_reset_rate_limit(option, H2_STREAMS_MAX * 8, H2_STREAMS_MAX);
		rc = nghttp2_session_server_new2(&f->ng, cb, f, option);
	}
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
	return rc;
}

static int greet(struct h2_front *f)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, f->desk->conf->limits.head },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};

	if (nghttp2_submit_settings(f->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(f->ng, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW);
}

static void fail(struct h2_front *f)
{
	desk_count(f->desk, HTTP_COUNT_resource);
	front_end(f, true);
}

void h2_front_open(struct http_desk *d, struct wire *w, const struct h2_opening *o)
{
	struct h2_front *f = worker_take_fds(d->worker, 1) ? calloc(1, sizeof *f) : NULL;

	if (!o->counted)
		desk_count(d, HTTP_COUNT_connections);
	if (f == NULL) { /* who gave the wire closes it */
		desk_count(d, HTTP_COUNT_resource);
		return;
	}
	f->desk = d;
	f->id = worker_next_id(d->worker);
	f->opened_ns = d->worker->now_ns;
	f->opening = *o;
	f->from = *o->from;
	f->opening.from = &f->from;
	f->budget = BUDGET_MAX;
	f->budget_ns = f->idle_ns = f->head_ns = d->worker->now_ns; /* the preface has a deadline as a head has */
	list_init(&f->streams);
	list_push_back(&d->h2_fronts, &f->in_desk);
	list_init(&f->rest.link);
	f->rest.leave = on_wanted;
	timer_init(&f->timer, on_due);
	task_init(&f->pump, on_pump);
	task_init(&f->more, on_more);
	task_init(&f->grave, on_buried);
	desk_now(&d->counts.connections_now, 1);
	desk_count(d, HTTP_COUNT_h2_connections);
	io_init(&f->wire.side.io, on_event, -1);
	wire_move(&f->wire, w, d->worker);
	if ((!f->wire.side.io.added && io_add(d->worker, &f->wire.side.io, IO_STREAM) != 0) || make_session(f) != 0 ||
		greet(f) != 0) {
		fail(f);
		return;
	}
	wheel_arm(&d->worker->wheel, &f->timer, d->worker->now_ns + LOOK_NS);
	h2_front_rest(f);
	if (o->first.n == 0 || take_first(f, o->first))
		read_some(f);
}

/* ---- for people ---------------------------------------------------------------------------------------------------- */

uint64_t h2_front_id(const struct h2_front *f)
{
	return f->id;
}

/* The last request that is under way, or that of the route. */
static const struct exchange *one_of(const struct h2_front *f, const char *route)
{
	const struct exchange *found = NULL;
	char id[PROTO_ID_SIZE];

	LIST_FOREACH (it, &f->streams) {
		const struct exchange *x = CONTAINER_OF(it, struct h2_stream, in_front)->x;

		if (x == NULL)
			continue;
		exchange_route_id(x, id);
		if (id[0] != '\0' && (route == NULL || str_eq(id, route)))
			found = x;
	}
	return found;
}

void h2_front_info(const struct h2_front *f, const char *route, struct conn_info *out)
{
	const struct exchange *x = one_of(f, route);
	struct addr to;

	*out = (struct conn_info){
		.id = f->id,
		.protocol = MAPPING_TCP,
		.bytes_out = f->out.sent,
		.opened_ms = clock_wall_ms() - (int64_t)((f->desk->worker->now_ns - f->opened_ns) / NS_PER_MS),
	};
	str_copy(out->mapping, sizeof out->mapping, f->route);
	addr_print(&f->from, out->remote);
	if (side_local(&f->wire.side, &to) == 0)
		addr_print(&to, out->local);
	if (x == NULL)
		return;
	exchange_route_id(x, out->mapping);
	exchange_target_text(x, out->target, sizeof out->target);
}
