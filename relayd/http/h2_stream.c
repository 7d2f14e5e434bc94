#define _GNU_SOURCE 1
#include "common/base/str.h"
#include "common/http/http_reader.h"
#include "common/net/host_name.h"
#include "relayd/http/h2_inside.h"
#include "relayd/http/h2_lines.h"
#include "relayd/http/h2_send.h"
#include "relayd/http/message.h"
#include "relayd/http/where.h"
#include "relayd/http/wire_tls.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	FIELD_OVERHEAD = 32,  /* RFC 9113 section 10.5.1 */
	OUT_FULL = 64 * 1024, /* of an answer that waits */
};

static void stream_reset(struct h2_stream *s, uint32_t code)
{
	(void)nghttp2_submit_rst_stream(s->front->ng, NGHTTP2_FLAG_NONE, s->id, code);
	h2_front_kick(s->front);
}

/* ---- made, closed ------------------------------------------------------------------------------------------------- */

struct h2_stream *h2_stream_open(struct h2_front *f, int32_t id)
{
	struct h2_stream *s = calloc(1, sizeof *s);

	if (s == NULL || (s->asking = calloc(1, sizeof *s->asking)) == NULL) {
		free(s);
		return NULL;
	}
	s->front = f;
	s->id = id;
	s->active_ns = f->desk->worker->now_ns;
	list_push_back(&f->streams, &s->in_front);
	f->n_streams++;
	return s;
}

static void asking_free(struct h2_stream *s)
{
	struct blocks *bs = &s->front->desk->blocks;

	if (s->asking == NULL)
		return;
	block_put(bs, s->asking->path);
	block_put(bs, s->asking->fields);
	block_put(bs, s->asking->cookies);
	free(s->asking);
	s->asking = NULL;
}

void h2_stream_close(struct h2_stream *s)
{
	struct blocks *bs = &s->front->desk->blocks;

	if (s->x != NULL)
		exchange_close(s->x);
	asking_free(s);
	block_put(bs, s->held);
	block_put(bs, s->out);
	block_put(bs, s->trailers);
	list_remove(&s->in_front);
	s->front->n_streams--;
	free(s);
}

/* ---- the request's head ------------------------------------------------------------------------------------------- */

static bool span_is(struct http_span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static void take_text(struct h2_asking *a, char *dst, size_t size, struct http_span value)
{
	if (!h2_lines_is_word(value) || value.n >= size) {
		a->bad = true;
		return;
	}
	memcpy(dst, value.p, value.n);
	dst[value.n] = '\0';
}

/* Both may be there; then they say the same (RFC 9113 section 8.3.1). */
static void take_host(struct h2_asking *a, struct http_span value)
{
	if (a->authority[0] == '\0')
		take_text(a, a->authority, sizeof a->authority, value);
	else if (value.n != strlen(a->authority) || strncasecmp(value.p, a->authority, value.n) != 0)
		a->bad = true;
}

static void take_pseudo(struct h2_stream *s, struct http_span name, struct http_span value)
{
	struct h2_asking *a = s->asking;

	if (span_is(name, ":method"))
		take_text(a, a->method, sizeof a->method, value);
	else if (span_is(name, ":authority"))
		take_text(a, a->authority, sizeof a->authority, value);
	else if (span_is(name, ":path"))
		a->bad = a->bad || !h2_lines_is_word(value) ||
		         block_append(&s->front->desk->blocks, &a->path, value.p, value.n) != 0;
	else if (!span_is(name, ":scheme"))
		a->bad = true;
}

/* Crumbs of a cookie become one field again (RFC 9113 section 8.2.3). */
static int put_cookie(struct blocks *bs, struct block **b, struct http_span value)
{
	if (*b != NULL && block_append(bs, b, "; ", 2) != 0)
		return -1;
	return block_append(bs, b, value.p, value.n);
}

void h2_stream_field(struct h2_stream *s, struct http_span name, struct http_span value)
{
	struct blocks *bs = &s->front->desk->blocks;
	struct h2_asking *a = s->asking;

	if (a == NULL) /* a trailer: what a request has of them ends here */
		return;
	a->size += name.n + value.n + FIELD_OVERHEAD;
	if (a->size > s->front->desk->conf->limits.head)
		a->large = true;
	if (a->large || a->bad)
		return;
	if (name.n > 0 && name.p[0] == ':') {
		take_pseudo(s, name, value);
		return;
	}
	if (!h2_lines_is_word(name) || !h2_lines_is_line(value))
		a->bad = true;
	else if (span_is(name, "host"))
		take_host(a, value);
	else if (span_is(name, "cookie"))
		a->bad = put_cookie(bs, &a->cookies, value) != 0;
	else
		a->bad = h2_lines_put(bs, &a->fields, name, value) != 0;
	a->has_length |= span_is(name, "content-length");
}

static int put_str(struct blocks *bs, struct block **b, const char *s)
{
	return block_append(bs, b, s, strlen(s));
}

static int put_block(struct blocks *bs, struct block **b, const struct block *from)
{
	const struct http_span p = h2_lines_span(from);

	return p.n > 0 ? block_append(bs, b, p.p, p.n) : 0;
}

/* As HTTP/1.1 would have it, so that one codec, and all that is strict in it, reads every request there is. */
static int put_text(struct h2_stream *s, struct block **text, bool ended)
{
	struct blocks *bs = &s->front->desk->blocks;
	struct h2_asking *a = s->asking;
	const struct http_span cookies = h2_lines_span(a->cookies);

	if (put_str(bs, text, a->method) != 0 || put_str(bs, text, " ") != 0 || put_block(bs, text, a->path) != 0 ||
		put_str(bs, text, " HTTP/1.1\r\nhost: ") != 0 || put_str(bs, text, a->authority) != 0 ||
		put_str(bs, text, "\r\n") != 0 || put_block(bs, text, a->fields) != 0)
		return -1;
	if (cookies.n > 0 && h2_lines_put(bs, text, (struct http_span){ "cookie", 6 }, cookies) != 0)
		return -1;
	if (!ended && !a->has_length && put_str(bs, text, "transfer-encoding: chunked\r\n") != 0)
		return -1;
	return put_str(bs, text, "\r\n");
}

/* ---- the exchange's calls ------------------------------------------------------------------------------------------ */

static struct h2_stream *stream_of(const struct exchange *x)
{
	return exchange_client(x);
}

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
	nghttp2_data_source *source, void *arg);

/* Then its head is its end, too, which gRPC relies on. */
static bool is_empty(const struct answer *a)
{
	return a->body == HTTP_NO_BODY || (a->body == HTTP_BY_LENGTH && a->has_length && a->length == 0);
}

static void submit(struct h2_stream *s, const struct answer *a, const nghttp2_nv *nv, size_t n)
{
	const nghttp2_data_provider body = { .source.ptr = s, .read_callback = on_read };
	nghttp2_session *ng = s->front->ng;
	int rc;

	if (a->interim)
		rc = nghttp2_submit_headers(ng, NGHTTP2_FLAG_NONE, s->id, NULL, nv, n, NULL);
	else
		rc = nghttp2_submit_response(ng, s->id, nv, n, is_empty(a) ? NULL : &body);
	if (rc != 0)
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	s->answered = s->answered || !a->interim;
	s->early = a->close;
	h2_front_kick(s->front);
}

static void on_head(struct exchange *x, const struct answer *a)
{
	struct h2_stream *s = stream_of(x);
	struct blocks *bs = &s->front->desk->blocks;
	const struct message_answer m = { .answer = a, .keep_alive = true };
	struct block *text = block_get(bs, message_answer_room(&m));
	bool chunked, until_close;
	int n = text != NULL ? message_answer_write(&m, text->bytes, text->cap, &chunked, &until_close) : -1;
	nghttp2_nv nv[H2_LINES_MAX];
	uint8_t *line = n > 0 ? memmem(text->bytes, (size_t)n, "\r\n", 2) : NULL;
	char status[8];

	if (line == NULL || a->raw) { /* other protocols do not pass here */
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	} else {
		(void)str_fmt(status, sizeof status, "%u", a->status);
		nv[0] = (nghttp2_nv){ (uint8_t *)(uintptr_t) ":status", (uint8_t *)status, 7, strlen(status),
			NGHTTP2_NV_FLAG_NONE };
		line += 2;
		submit(s, a, nv, 1 + h2_lines_fields(nv + 1, H2_LINES_MAX - 1, line, (size_t)(text->bytes + n - line)));
	}
	block_put(bs, text);
}

static void wake(struct h2_stream *s)
{
	if (s->deferred) {
		s->deferred = false;
		(void)nghttp2_session_resume_data(s->front->ng, s->id);
	}
	h2_front_kick(s->front);
}

static void on_content(struct exchange *x, struct http_span p)
{
	struct h2_stream *s = stream_of(x);

	if (p.n == 0)
		return;
	if (block_append(&s->front->desk->blocks, &s->out, p.p, p.n) != 0) {
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	wake(s);
}

static void on_end(struct exchange *x, const struct http_head *trailers)
{
	struct h2_stream *s = stream_of(x);
	struct blocks *bs = &s->front->desk->blocks;

	s->ended = true;
	for (uint16_t i = 0; trailers != NULL && i < trailers->n; i++)
		if (h2_lines_put(bs, &s->trailers, http_field_name(trailers, &trailers->fields[i]),
			    http_field_value(trailers, &trailers->fields[i])) != 0)
			stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	wake(s);
}

static void on_abort(struct exchange *x)
{
	stream_reset(stream_of(x), NGHTTP2_INTERNAL_ERROR);
}

static bool on_full(const struct exchange *x)
{
	return block_waiting(stream_of(x)->out) >= OUT_FULL;
}

static void on_resume(struct exchange *x)
{
	h2_front_kick(stream_of(x)->front); /* which gives on what is held */
}

static void on_flush(struct exchange *x)
{
	h2_front_kick(stream_of(x)->front);
}

static void on_local(const struct exchange *x, struct addr *to)
{
	const struct h2_front *f = stream_of(x)->front;

	if (side_local(&f->wire.side, to) != 0)
		*to = f->from;
}

static const struct http_client_ops stream_ops = {
	.head = on_head,
	.content = on_content,
	.end = on_end,
	.abort = on_abort,
	.full = on_full,
	.resume = on_resume,
	.local = on_local,
	.flush = on_flush,
};

/* ---- the answer's content goes ------------------------------------------------------------------------------------ */

static void submit_trailers(struct h2_stream *s)
{
	nghttp2_nv nv[H2_LINES_MAX];
	const size_t n =
		h2_lines_fields(nv, H2_LINES_MAX, s->trailers->bytes + s->trailers->at, block_waiting(s->trailers));

	if (n > 0 && nghttp2_submit_trailer(s->front->ng, s->id, nv, n) != 0)
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	const bool was_full = block_waiting(s->out) >= OUT_FULL;
	const size_t n = MIN(MIN(length, H2_SEND_DATA), block_waiting(s->out));

	(void)ng, (void)id, (void)arg;
	if (n == 0 && !s->ended) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0) {
		memcpy(buf, s->out->bytes + s->out->at, n);
		s->out->at += n;
		exchange_sent(s->x, n);
	}
	if (block_waiting(s->out) == 0) {
		block_put(&s->front->desk->blocks, s->out);
		s->out = NULL;
		if (s->ended)
			*flags |= NGHTTP2_DATA_FLAG_EOF | (s->trailers != NULL ? NGHTTP2_DATA_FLAG_NO_END_STREAM : 0u);
	}
	if (s->ended && s->out == NULL && s->trailers != NULL)
		submit_trailers(s);
	if (was_full && block_waiting(s->out) < OUT_FULL)
		exchange_drained(s->x);
	return (ssize_t)n;
}

/* ---- the request -------------------------------------------------------------------------------------------------- */

static void refuse(struct h2_stream *s, unsigned status, const char *why)
{
	desk_count(s->front->desk, status == 431 ? HTTP_COUNT_too_large : HTTP_COUNT_bad_request);
	exchange_refuse(s->x, status, why);
}

/* Whose routes: those of the host that is named, not of the one that the connection was made for. */
static void ask_site(struct h2_stream *s, const struct http_head *h)
{
	char host[HOST_NAME_SIZE];
	unsigned status;
	const struct site_seat *site = where_find(s->front->desk, s->front->opening.tls ? SITE_TLS : SITE_CLEAR,
		http_head_part(h, h->host), host, &status);

	if (site == NULL && status == 421)
		refuse(s, status, "another connection serves this host");
	else
		exchange_request(s->x, site, host, h);
}

static void ask(struct h2_stream *s, const struct block *text)
{
	struct http_desk *d = s->front->desk;
	struct http_reader reader;
	struct http_piece piece;
	const struct http_span p = h2_lines_span(text);

	http_reader_init_request(&reader, &d->conf->limits);
	desk_count(d, HTTP_COUNT_requests);
	switch (http_reader_next(&reader, &d->asked, (const uint8_t *)p.p, p.n, &piece)) {
	case HTTP_HEAD_IN:
		if (d->asked.method == HTTP_CONNECT)
			refuse(s, 501, "CONNECT does not pass here");
		else
			ask_site(s, &d->asked);
		break;
	case HTTP_FAULT:
		refuse(s, http_fault_status(piece.fault), http_fault_text(piece.fault));
		break;
	default:
		refuse(s, 400, "the head is not whole");
	}
}

void h2_stream_ask(struct h2_stream *s, bool ended)
{
	struct h2_front *f = s->front;
	struct blocks *bs = &f->desk->blocks;
	const struct exchange_origin origin = {
		.ops = &stream_ops,
		.client = s,
		.from = f->from,
		.peer = &f->from,
		.tls = f->opening.tls,
		.session = wire_tls_session(&f->wire),
		.proto = "2",
	};
	const bool bad = s->asking->bad, large = s->asking->large;
	struct block *text = NULL;
	const int rc = bad || large ? 0 : put_text(s, &text, ended);

	asking_free(s);
	s->x = exchange_open(f->desk, &origin);
	if (s->x == NULL || rc != 0)
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	else if (bad)
		refuse(s, 400, "the head is malformed");
	else if (large)
		refuse(s, 431, "the header is too long");
	else
		ask(s, text);
	block_put(bs, text);
	if (ended)
		h2_stream_content_end(s);
}

/* Nobody wants the rest: its window is given back, so that the client comes to its end. */
static void consume(struct h2_stream *s, size_t n)
{
	(void)nghttp2_session_consume(s->front->ng, s->id, n);
	h2_front_kick(s->front);
}

void h2_stream_content(struct h2_stream *s, struct http_span p)
{
	s->active_ns = s->front->desk->worker->now_ns;
	if (s->x == NULL || exchange_dropped(s->x)) {
		consume(s, p.n);
		return;
	}
	if (s->held == NULL && exchange_takes(s->x)) {
		exchange_content(s->x, p);
		consume(s, p.n);
	} else if (block_append(&s->front->desk->blocks, &s->held, p.p, p.n) != 0) {
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	}
}

void h2_stream_content_end(struct h2_stream *s)
{
	s->request_ended = true;
	h2_stream_give(s);
}

void h2_stream_give(struct h2_stream *s)
{
	const struct http_span held = h2_lines_span(s->held);
	struct block *b = s->held;

	if (s->x == NULL)
		return;
	if (held.n > 0 && (exchange_takes(s->x) || exchange_dropped(s->x))) {
		s->held = NULL;
		if (!exchange_dropped(s->x))
			exchange_content(s->x, held);
		consume(s, held.n);
		block_put(&s->front->desk->blocks, b);
	}
	if (s->request_ended && s->held == NULL && !s->told_end) {
		s->told_end = true;
		exchange_content_end(s->x, NULL);
	}
}
