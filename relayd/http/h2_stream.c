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
	PIECE_SMALL = 1024,   /* content that is gathered until the end of the round */
};

static void stream_reset(struct h2_stream *s, uint32_t code)
{
	(void)nghttp2_submit_rst_stream(s->front->ng, NGHTTP2_FLAG_NONE, s->id, code);
	h2_front_kick(s->front);
}

/* ---- made, closed ------------------------------------------------------------------------------------------------- */

size_t h2_stream_size(void)
{
	return sizeof(struct h2_stream);
}

size_t h2_asking_size(void)
{
	return sizeof(struct h2_asking);
}

struct h2_stream *h2_stream_open(struct h2_front *f, int32_t id)
{
	struct h2_stream *s = slab_get(&f->desk->streams);

	if (s == NULL)
		return NULL;
	s->asking = slab_get(&f->desk->askings);
	if (s->asking == NULL) {
		slab_put(&f->desk->streams, s);
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
	slab_put(&s->front->desk->askings, s->asking);
	s->asking = NULL;
}

void h2_stream_close(struct h2_stream *s)
{
	struct h2_front *f = s->front;
	struct blocks *bs = &f->desk->blocks;

	if (s->x != NULL && s->request_ended && s->ended)
		exchange_raw_over(s->x);
	if (s->x != NULL)
		exchange_close(s->x);
	asking_free(s);
	free(s->tunnel);
	block_put(bs, s->more);
	block_put(bs, s->held);
	block_put(bs, s->out);
	block_put(bs, s->trailers);
	list_remove(&s->in_front);
	if (--f->n_streams == 0 && !f->over)
		h2_front_rest(f);
	slab_put(&f->desk->streams, s);
}

bool h2_stream_waits(const struct h2_stream *s)
{
	return s->ended && s->out != NULL && s->tunnel == NULL;
}

void h2_stream_give_up(struct h2_stream *s)
{
	s->taken_ns = s->front->desk->worker->now_ns; /* not again as long as that is on its way */
	stream_reset(s, NGHTTP2_CANCEL);
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
	else if (span_is(name, ":protocol"))
		take_text(a, a->protocol, sizeof a->protocol, value);
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
	else if (a->protocol[0] != '\0' && span_is(name, "sec-websocket-key"))
		; /* of no use there, and ours goes on (RFC 8441 section 5) */
	else if (span_is(name, "cookie"))
		a->bad = put_cookie(bs, &a->cookies, value) != 0;
	else
		a->bad = h2_lines_put(bs, &a->fields, name, value) != 0;
	a->has_length |= span_is(name, "content-length");
}

void h2_stream_trailer(struct h2_stream *s, struct http_span name, struct http_span value)
{
	const struct http_desk *d = s->front->desk;

	s->more_size += name.n + value.n + FIELD_OVERHEAD;
	s->more_bad = s->more_bad || s->more_size > d->conf->limits.head || !h2_lines_is_word(name) ||
	              !h2_lines_is_line(value) || h2_lines_put(&s->front->desk->blocks, &s->more, name, value) != 0;
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

static bool is_connect(const struct h2_asking *a)
{
	return strcmp(a->method, "CONNECT") == 0;
}

static int put_line(struct h2_stream *s, struct block **text)
{
	struct blocks *bs = &s->front->desk->blocks;
	const struct h2_asking *a = s->asking;

	if (put_str(bs, text, a->method) != 0 || put_str(bs, text, " ") != 0 || put_block(bs, text, a->path) != 0 ||
		put_str(bs, text, " HTTP/1.1\r\nhost: ") != 0 || put_str(bs, text, a->authority) != 0)
		return -1;
	return put_str(bs, text, "\r\n");
}

/* As HTTP/1.1 would have it, so that one codec, and all that is strict in it, reads every request there is. */
static int put_text(struct h2_stream *s, struct block **text, bool ended)
{
	struct blocks *bs = &s->front->desk->blocks;
	struct h2_asking *a = s->asking;
	const struct http_span cookies = h2_lines_span(a->cookies);

	if (is_connect(a))
		ended = true;
	if (is_connect(a) ? h2_tunnel_begin(s, text) != 0 : put_line(s, text) != 0)
		return -1;
	if (put_block(bs, text, a->fields) != 0)
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
	return !a->raw && (a->body == HTTP_NO_BODY || (a->body == HTTP_BY_LENGTH && a->has_length && a->length == 0));
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
	s->early = a->close || (s->tunnel != NULL && !a->raw && !a->interim);
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
	uint8_t *line = n > 0 ? memchr(text->bytes, '\n', (size_t)n) : NULL;
	const unsigned code = a->status == 101 ? 200 : a->status;
	char status[3] = { (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10), (char)('0' + code % 10) };
	size_t fields;

	if (line == NULL || (a->raw && !h2_tunnel_is_open(s, a))) {
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	} else {
		nv[0] = (nghttp2_nv){ (uint8_t *)(uintptr_t) ":status", (uint8_t *)status, 7, sizeof status,
			NGHTTP2_NV_FLAG_NONE };
		line++;
		fields = 1 + h2_lines_fields(nv + 1, H2_LINES_MAX - 1, line, (size_t)(text->bytes + n - line));
		submit(s, a, nv, a->raw ? h2_tunnel_fields(nv, fields) : fields);
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
	s->taken_ns = s->front->desk->worker->now_ns;
	for (uint16_t i = 0; trailers != NULL && i < trailers->n; i++)
		if (h2_lines_put(bs, &s->trailers, http_field_name(trailers, &trailers->fields[i]),
			    http_field_value(trailers, &trailers->fields[i])) != 0)
			stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	wake(s);
}

static void on_abort(struct exchange *x)
{
	struct h2_stream *s = stream_of(x);

	if (s->tunnel != NULL && s->tunnel->gone)
		h2_stream_close(s);
	else
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
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
		s->taken_ns = s->front->desk->worker->now_ns;
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
		if (s->tunnel != NULL &&
			d->asked.body != HTTP_NO_BODY) /* none would come, and a backend would wait for it */
			refuse(s, http_fault_status(HTTP_BAD_CONTENT), http_fault_text(HTTP_BAD_CONTENT));
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
	const bool alien = s->asking->protocol[0] != '\0' && strcmp(s->asking->protocol, "websocket") != 0;
	struct block *text = NULL;
	const int rc = bad || large || alien ? 0 : put_text(s, &text, ended);

	asking_free(s);
	s->x = exchange_open(f->desk, &origin);
	if (s->x == NULL || rc != 0)
		stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	else if (bad)
		refuse(s, 400, "the head is malformed");
	else if (large)
		refuse(s, 431, "the header is too long");
	else if (alien)
		refuse(s, 501, "of all protocols only WebSocket passes on a stream");
	else
		ask(s, text);
	block_put(bs, text);
	if (s->x != NULL && s->tunnel != NULL)
		exchange_content_end(s->x, NULL); /* what follows is no content of the request */
	if (s->x != NULL)
		exchange_route_id(s->x, f->route);
	if (ended)
		h2_stream_content_end(s);
}

/* Nobody wants the rest: its window is given back, so that the client comes to its end. */
static void consume(struct h2_stream *s, size_t n)
{
	(void)nghttp2_session_consume(s->front->ng, s->id, n);
	h2_front_kick(s->front);
}

/* Somebody has a use for what the client sends; of a tunnel as long as there may be one. */
static bool is_wanted(const struct h2_stream *s)
{
	if (s->x == NULL)
		return false;
	return s->tunnel != NULL ? !s->answered || exchange_was_raw(s->x) : !exchange_dropped(s->x);
}

static bool is_taken(const struct h2_stream *s)
{
	return (s->tunnel == NULL || exchange_is_raw(s->x)) && exchange_takes(s->x);
}

void h2_stream_content(struct h2_stream *s, struct http_span p)
{
	s->active_ns = s->front->desk->worker->now_ns;
	if (!is_wanted(s)) {
		consume(s, p.n);
		return;
	}
	/* Each piece that is given goes to the backend by itself, so that a read full of small ones would be thousands of writes. */
	if (s->held == NULL && p.n >= PIECE_SMALL && is_taken(s)) {
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

/* Trailers are read as those of HTTP/1.1: what may not stand there is left out. */
static void end_with_trailers(struct h2_stream *s)
{
	struct http_desk *d = s->front->desk;
	struct http_head *h = &d->asked;
	struct block *text = s->more;
	enum http_fault why = HTTP_BAD_HEAD_LONG;

	s->more = NULL;
	http_head_begin(h, HTTP_TRAILER_LINES);
	if (s->more_bad || block_append(&d->blocks, &text, "\r\n", 2) != 0 ||
		http_head_lines(h, HTTP_TRAILER_LINES, &d->conf->limits, text->bytes + text->at, block_waiting(text),
			&why) != 1)
		exchange_content_bad(s->x, http_fault_status(why), http_fault_text(why));
	else
		exchange_content_end(s->x, h);
	block_put(&d->blocks, text);
}

static void give_end(struct h2_stream *s)
{
	const bool wanted = s->more != NULL && !exchange_dropped(s->x);

	if (s->tunnel != NULL && is_wanted(s) && !exchange_is_raw(s->x))
		return;
	if (wanted && !exchange_takes(s->x)) /* they are not kept for later there */
		return;
	s->told_end = true;
	if (wanted)
		end_with_trailers(s);
	else
		exchange_content_end(s->x, NULL);
}

void h2_stream_give(struct h2_stream *s)
{
	const struct http_span held = h2_lines_span(s->held);
	struct block *b = s->held;

	if (s->x == NULL)
		return;
	if (held.n > 0 && (!is_wanted(s) || is_taken(s))) {
		s->held = NULL;
		if (is_wanted(s))
			exchange_content(s->x, held);
		consume(s, held.n);
		block_put(&s->front->desk->blocks, b);
	}
	if (s->request_ended && s->held == NULL && !s->told_end)
		give_end(s);
	if (s->tunnel != NULL && s->tunnel->gone && s->held == NULL && !exchange_back_full(s->x))
		h2_stream_close(s);
}
