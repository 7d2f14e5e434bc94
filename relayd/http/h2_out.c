#include "relayd/http/h2_out.h"

#include "relayd/http/desk.h"
#include "relayd/http/h1_back.h"
#include "relayd/http/h2_back.h"
#include "relayd/http/h2_send.h"

#include <stdlib.h>

/* NULL: of the connection, or nobody's any more. */
static struct h2_call *call_at(nghttp2_session *ng, int32_t id)
{
	struct h2_call *c = id > 0 ? nghttp2_session_get_stream_user_data(ng, id) : NULL;

	return c != NULL && c->base.x != NULL && c->failure < 0 ? c : NULL;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_call *c = call_at(ng, frame->hd.stream_id);

	(void)arg;
	if (c != NULL)
		h2_answer_begin(c);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
	const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_call *c = call_at(ng, frame->hd.stream_id);

	(void)flags, (void)arg;
	if (c != NULL)
		h2_answer_field(c, (struct http_span){ (const char *)name, name_n },
			(struct http_span){ (const char *)value, value_n });
	return 0;
}

/* What waited for the backend's word. */
static void submit_websockets(struct h2_out *o)
{
	LIST_FOREACH_SAFE (it, &o->calls) {
		struct h2_call *c = CONTAINER_OF(it, struct h2_call, in_out);

		if (c->websocket && c->base.x != NULL && c->failure < 0)
			h2_call_submit(c);
	}
}

/* More wait than the backend takes: those that came last go another way. */
static void send_away(struct h2_out *o)
{
	unsigned n = o->n_calls;
	const unsigned most = h2_out_limit(o);

	for (struct list *it = o->calls.prev; it != &o->calls && n > most; it = it->prev) {
		struct h2_call *c = CONTAINER_OF(it, struct h2_call, in_out);

		if (c->sent)
			continue;
		h2_call_fail(c, BACK_REFUSED);
		n--;
	}
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_out *o = arg;
	struct h2_call *c = call_at(ng, frame->hd.stream_id);
	const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
		o->settled = true;
		send_away(o);
		submit_websockets(o);
		h2_back_on_limits(o->connection);
	} else if (frame->hd.type == NGHTTP2_GOAWAY) {
		h2_back_on_limits(o->connection);
	} else if (c != NULL && frame->hd.type == NGHTTP2_HEADERS) {
		h2_answer_fields_end(c, ended);
	} else if (c != NULL && frame->hd.type == NGHTTP2_DATA && ended) {
		h2_answer_end(c);
	}
	return 0;
}

/* The connection's window is opened at once: one client that is slow holds up no other. */
static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_call *c = call_at(ng, id);

	(void)flags, (void)arg;
	(void)nghttp2_session_consume_connection(ng, n);
	if (c != NULL)
		h2_answer_content(c, (struct http_span){ (const char *)p, n });
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2_call *c = nghttp2_session_get_stream_user_data(ng, id);

	(void)arg;
	if (c == NULL)
		return 0;
	c->id = 0;
	if (c->base.x != NULL && !c->answered)
		h2_call_fail(c, c->bad ? BACK_BAD : code == NGHTTP2_REFUSED_STREAM ? BACK_REFUSED : BACK_RESET);
	return 0;
}

/* From now on the answer is awaited, and content may follow. */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_call *c = call_at(ng, frame->hd.stream_id);

	(void)arg;
	if (c == NULL || c->sent || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	c->sent = c->room = true;
	exchange_received(c->base.x, frame->hd.length);
	exchange_on_sent(c->base.x);
	return 0;
}

int h2_out_read(struct h2_out *o, const uint8_t *p, size_t n)
{
	return nghttp2_session_mem_recv(o->ng, p, n) < 0 ? -1 : 0;
}

void h2_out_write(struct h2_out *o, struct outbox *out, struct wire *w)
{
	outbox_flush(out, &o->desk->blocks, w);
	h2_send(o->ng, out, &o->desk->blocks, w);
}

unsigned h2_out_limit(const struct h2_out *o)
{
	const uint32_t theirs = nghttp2_session_get_remote_settings(o->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return o->settled ? (unsigned)MIN(theirs, (uint32_t)H2_CALLS_MAX) : H2_CALLS_MAX;
}

bool h2_out_keeps(const struct h2_out *o)
{
	return nghttp2_session_want_read(o->ng) != 0 && nghttp2_session_check_request_allowed(o->ng) != 0;
}

/* ---- made, freed --------------------------------------------------------------------------------------------------- */

static int make_session(struct h2_out *o)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CALL_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->desk->conf->limits.head },
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	int rc = -1;

	if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_option_set_no_closed_streams(option, 1);
		nghttp2_option_set_peer_max_concurrent_streams(option, 1); /* until it says otherwise */
		rc = nghttp2_session_client_new2(&o->ng, cb, o, option);
	}
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
	if (rc != 0 || nghttp2_submit_settings(o->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(o->ng, NGHTTP2_FLAG_NONE, 0, H2_CALLS_WINDOW);
}

int h2_out_new(struct h2_out **out, struct http_desk *d, struct h1_back *connection, bool tls)
{
	struct h2_out *o = calloc(1, sizeof *o);

	if (o == NULL)
		return -1;
	o->desk = d;
	o->connection = connection;
	o->tls = tls;
	list_init(&o->calls);
	if (make_session(o) != 0) {
		h2_out_free(o);
		return -1;
	}
	*out = o;
	return 0;
}

void h2_out_free(struct h2_out *o)
{
	if (o == NULL)
		return;
	nghttp2_session_del(o->ng);
	free(o);
}
