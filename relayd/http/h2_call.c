#define _GNU_SOURCE 1
#include "common/http/http_reader.h"
#include "relayd/http/desk.h"
#include "relayd/http/h1_back.h"
#include "relayd/http/h2_back.h"
#include "relayd/http/h2_lines.h"
#include "relayd/http/h2_out.h"
#include "relayd/http/h2_send.h"

#include <string.h>
#include <strings.h>

static struct h2_call *of(struct back *base)
{
	return CONTAINER_OF(base, struct h2_call, base);
}

static const struct h2_call *of_const(const struct back *base)
{
	return (const struct h2_call *)(const void *)base;
}

size_t h2_call_size(void)
{
	return sizeof(struct h2_call);
}

/* ---- the head -------------------------------------------------------------------------------------------------------- */

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_call *c = nghttp2_session_get_stream_user_data(ng, id);
	const size_t n = c != NULL ? MIN(MIN(length, H2_SEND_DATA), block_waiting(c->out)) : 0;
	const bool was_full = c != NULL && block_waiting(c->out) >= H2_CALL_FULL;
	nghttp2_nv nv[H2_LINES_MAX];

	(void)arg, (void)source;
	if (c == NULL) /* it was let go of */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (n == 0 && !c->ended) {
		c->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0) {
		memcpy(buf, c->out->bytes + c->out->at, n);
		c->out->at += n;
		exchange_received(c->base.x, n);
	}
	c->room = c->room || (was_full && block_waiting(c->out) < H2_CALL_FULL);
	if (block_waiting(c->out) > 0)
		return (ssize_t)n;
	block_put(&c->on->desk->blocks, c->out);
	c->out = NULL;
	if (!c->ended)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	c->all_sent = true;
	if (c->trails != NULL) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		(void)nghttp2_submit_trailer(ng, id, nv,
			h2_lines_fields(nv, H2_LINES_MAX, c->trails->bytes + c->trails->at, block_waiting(c->trails)));
	}
	return (ssize_t)n;
}

static nghttp2_nv pair(const char *name, struct http_span value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.p, strlen(name), value.n,
		NGHTTP2_NV_FLAG_NONE };
}

static bool is_named(const nghttp2_nv *nv, const char *name)
{
	return nv->namelen == strlen(name) && memcmp(nv->name, name, nv->namelen) == 0;
}

/* A WebSocket's handshake, as HTTP/1.1 has it. Anything else that is asked for with Upgrade is an ordinary request to a backend. */
static bool asks_websocket(struct h2_call *c, const struct http_head *h)
{
	const struct http_field *to = h->upgrade ? http_head_find_text(h, "upgrade") : NULL;
	const struct http_field *key = to != NULL ? http_head_find_text(h, "sec-websocket-key") : NULL;
	static const char name[] = "websocket";

	return key != NULL && h->method == HTTP_GET && h->body == HTTP_NO_BODY && to->value_len == sizeof name - 1 &&
	       strncasecmp(http_field_value(h, to).p, name, sizeof name - 1) == 0 &&
	       websocket_key_sign(c->accept, http_field_value(h, key).p, key->value_len) == 0;
}

/* Of no use on a stream (RFC 8441 section 5). */
static bool is_left_out(const struct h2_call *c, const nghttp2_nv *nv)
{
	return is_named(nv, "host") || is_named(nv, "te") || (c->websocket && is_named(nv, "sec-websocket-key"));
}

/*
 * The pseudo fields in front; Host is one of them. CONNECT has a method and an authority alone (RFC 9113 section 8.5), but for a WebSocket
 * (RFC 8441 section 4).
 */
static size_t request_fields(
	const struct h2_call *c, nghttp2_nv *nv, const struct http_head *h, uint8_t *lines, size_t n)
{
	const struct http_field *host = http_head_find(h, HTTP_NAME_HOST);
	const struct http_span https = { "https", 5 }, http = { "http", 4 };
	const struct http_span connect = { "CONNECT", 7 }, websocket = { "websocket", 9 };
	size_t k = 0, all;

	nv[k++] = pair(":method", c->websocket ? connect : http_head_part(h, h->method_at));
	if (c->websocket)
		nv[k++] = pair(":protocol", websocket);
	if (c->connect && !c->websocket) {
		nv[k++] = pair(":authority", http_head_part(h, h->target));
	} else {
		nv[k++] = pair(":scheme", c->on->tls ? https : http);
		nv[k++] = pair(":path", http_head_part(h, h->target));
		if (host != NULL)
			nv[k++] = pair(":authority", http_field_value(h, host));
	}
	all = h2_lines_fields(nv + k, H2_LINES_MAX - k - 1, lines, n);
	for (size_t i = k, end = k + all; i < end; i++)
		if (!is_left_out(c, &nv[i]))
			nv[k++] = nv[i];
	nv[k++] = pair("te", (struct http_span){ "trailers", 8 }); /* gRPC insists, and it is true */
	return k;
}

/* The backend has said that it takes them. */
static bool takes_websockets(const struct h2_call *c)
{
	return nghttp2_session_get_remote_settings(c->on->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

/* 1: it has to wait, or was refused. */
static int submit(struct h2_call *c, struct block *copy, const struct exchange_sending *s)
{
	const nghttp2_data_provider body = { .source.ptr = c, .read_callback = on_read };
	struct http_desk *d = c->on->desk;
	struct http_head *h = &d->asked;
	struct http_reader reader;
	struct http_piece piece;
	nghttp2_nv nv[H2_LINES_MAX];
	uint8_t *lines;
	size_t n;

	http_reader_init_request(&reader, &d->conf->limits);
	if (http_reader_next(&reader, h, copy->bytes, copy->n, &piece) != HTTP_HEAD_IN ||
		(lines = memmem(copy->bytes, copy->n, "\r\n", 2)) == NULL)
		return -1;
	lines += 2;
	c->websocket = s->asked.upgrade && asks_websocket(c, h);
	c->asked = (struct http_asked){ .head = s->asked.head, .connect = s->asked.connect, .upgrade = c->websocket };
	c->connect = s->asked.connect || c->websocket;
	if (c->websocket && c->on->settled && !takes_websockets(c))
		h2_call_fail(c, BACK_NO_WEBSOCKET);
	if (c->websocket && (!c->on->settled || c->failure >= 0))
		return 1;
	c->all_sent = !s->content && !c->connect;
	n = request_fields(c, nv, h, lines, (size_t)(copy->bytes + copy->n - lines));
	c->id = nghttp2_submit_request(c->on->ng, NULL, nv, n, c->all_sent ? NULL : &body, c);
	return c->id > 0 ? 0 : -1;
}

/* A copy, as names are lowered in it, and the head may have to be sent again. */
void h2_call_submit(struct h2_call *c)
{
	const struct exchange_sending s = exchange_sending(c->base.x);
	struct blocks *bs = &c->on->desk->blocks;
	struct block *copy = NULL;

	if (c->id != 0)
		return;
	if (block_append(bs, &copy, s.head.p, s.head.n) != 0 || submit(c, copy, &s) < 0) {
		c->id = 0;
		h2_call_fail(c, BACK_RESOURCE);
	}
	block_put(bs, copy);
	h2_back_kick(c->on->connection);
}

/* ---- its content ------------------------------------------------------------------------------------------------------ */

static void wake(struct h2_call *c)
{
	if (c->deferred) {
		c->deferred = false;
		(void)nghttp2_session_resume_data(c->on->ng, c->id);
	}
	h2_back_kick(c->on->connection);
}

static void put_content(struct back *base, struct http_span p)
{
	struct h2_call *c = of(base);

	if (block_append(&c->on->desk->blocks, &c->out, p.p, p.n) != 0)
		h2_call_fail(c, BACK_RESOURCE);
	wake(c);
}

/* Of CONNECT the message is whole at once; what follows is none. */
static void end_content(struct back *base, const struct http_head *trailers)
{
	struct h2_call *c = of(base);

	if (c->connect && !c->head_in)
		return;
	c->ended = true;
	for (uint16_t i = 0; trailers != NULL && i < trailers->n; i++)
		if (h2_lines_put(&c->on->desk->blocks, &c->trails, http_field_name(trailers, &trailers->fields[i]),
			    http_field_value(trailers, &trailers->fields[i])) != 0)
			h2_call_fail(c, BACK_RESOURCE);
	wake(c);
}

static bool is_full(const struct back *base)
{
	const struct h2_call *c = of_const(base);

	return !c->sent || c->failure >= 0 || block_waiting(c->out) >= H2_CALL_FULL;
}

static void flush(struct back *base)
{
	(void)base; /* all of a round goes together at its end */
}

/* ---- its answer's window ---------------------------------------------------------------------------------------------- */

void h2_call_open_window(struct h2_call *c)
{
	if (c->unread == 0 || c->id == 0 || exchange_client_full(c->base.x))
		return;
	(void)nghttp2_session_consume_stream(c->on->ng, c->id, c->unread);
	c->unread = 0;
}

static void resume(struct back *base)
{
	struct h2_call *c = of(base);

	h2_call_open_window(c);
	h2_back_kick(c->on->connection);
}

/* ---- made, ended ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	struct h2_call *c = CONTAINER_OF(t, struct h2_call, grave);

	slab_put(&c->on->desk->calls, c);
}

void h2_call_end(struct h2_call *c)
{
	struct h2_out *o = c->on;
	struct blocks *bs = &o->desk->blocks;

	c->base.x = NULL;
	if (c->id != 0) {
		(void)nghttp2_session_set_stream_user_data(o->ng, c->id, NULL);
		if (!c->answered || !c->all_sent)
			(void)nghttp2_submit_rst_stream(
				o->ng, NGHTTP2_FLAG_NONE, c->id, c->bad ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL);
	}
	block_put(bs, c->out);
	block_put(bs, c->trails);
	block_put(bs, c->fields);
	c->out = c->trails = c->fields = NULL;
	list_remove(&c->in_out);
	o->n_calls--;
	worker_bury(o->desk->worker, &c->grave);
}

static void release(struct back *base, bool whole)
{
	struct h2_call *c = of(base);
	struct h1_back *b = c->on->connection;

	(void)whole;
	if (c->base.x == NULL)
		return;
	h2_call_end(c);
	h2_back_on_released(b);
}

void h2_call_fail(struct h2_call *c, enum back_failure why)
{
	if (c->failure < 0)
		c->failure = (int)why;
	h2_back_kick(c->on->connection);
}

static void go(struct back *base)
{
	struct h2_call *c = of(base);

	h2_back_go(c->on->connection, c);
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

struct h2_call *h2_call_new(struct h2_out *o, struct backend *to, struct exchange *x)
{
	struct h2_call *c = slab_get(&o->desk->calls);

	if (c == NULL)
		return NULL;
	c->base = (struct back){ .ops = &ops, .x = x, .backend = to };
	c->on = o;
	c->failure = -1;
	task_init(&c->grave, on_buried);
	list_push_back(&o->calls, &c->in_out);
	o->n_calls++;
	return c;
}
