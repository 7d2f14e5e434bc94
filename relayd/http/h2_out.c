#define _GNU_SOURCE 1
#include "relayd/http/h2_out.h"

#include "common/base/str.h"
#include "common/http/http_reader.h"
#include "relayd/http/back.h"
#include "relayd/http/desk.h"
#include "relayd/http/h2_lines.h"
#include "relayd/http/h2_send.h"
#include "relayd/http/outbox.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_FULL = 64 * 1024, WINDOW = 256 * 1024, STATUS_LINE = 64 };

struct h2_out {
	struct http_desk *desk;
	struct back *back;
	nghttp2_session *ng;
	bool tls;
	int32_t id;           /* of the request under way; 0: none */
	struct block *out;    /* content of the request that waits for the backend's window */
	struct block *trails; /* its trailers */
	struct block *fields; /* of the head or the trailers that come in, as lines */
	size_t size;
	unsigned status;
	bool ended;       /* the request's content is whole */
	bool deferred;    /* nghttp2 waits for it */
	bool head_in;     /* the final head came */
	bool in_trailers; /* the fields are of the trailer section */
	bool bad;
	enum h2_out_read result;
	struct http_asked asked;
};

/* ---- the request --------------------------------------------------------------------------------------------------- */

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_out *o = source->ptr;
	const size_t n = MIN(MIN(length, H2_SEND_DATA), block_waiting(o->out));
	nghttp2_nv nv[H2_LINES_MAX];

	(void)arg;
	if (n == 0 && !o->ended) {
		o->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0) {
		memcpy(buf, o->out->bytes + o->out->at, n);
		o->out->at += n;
	}
	if (block_waiting(o->out) > 0)
		return (ssize_t)n;
	block_put(&o->desk->blocks, o->out);
	o->out = NULL;
	if (!o->ended)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (o->trails != NULL) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		(void)nghttp2_submit_trailer(ng, id, nv,
			h2_lines_fields(nv, H2_LINES_MAX, o->trails->bytes + o->trails->at, block_waiting(o->trails)));
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

/* The pseudo fields in front; Host is one of them. */
static size_t request_fields(
	struct h2_out *o, nghttp2_nv *nv, const struct http_head *h, uint8_t *lines, size_t n, struct http_span *target)
{
	const struct http_field *host = http_head_find(h, HTTP_NAME_HOST);
	size_t k = 0, all;

	*target = http_head_part(h, h->target);
	nv[k++] = pair(":method", http_head_part(h, h->method_at));
	nv[k++] = pair(":scheme", o->tls ? (struct http_span){ "https", 5 } : (struct http_span){ "http", 4 });
	nv[k++] = pair(":path", *target);
	if (host != NULL)
		nv[k++] = pair(":authority", http_field_value(h, host));
	all = h2_lines_fields(nv + k, H2_LINES_MAX - k - 1, lines, n);
	for (size_t i = k, end = k + all; i < end; i++)
		if (!is_named(&nv[i], "host") && !is_named(&nv[i], "te"))
			nv[k++] = nv[i];
	nv[k++] = pair("te", (struct http_span){ "trailers", 8 }); /* gRPC insists, and it is true */
	return k;
}

static int submit(struct h2_out *o, struct block *copy, bool content)
{
	const nghttp2_data_provider body = { .source.ptr = o, .read_callback = on_read };
	struct http_head *h = &o->desk->asked;
	struct http_reader reader;
	struct http_piece piece;
	nghttp2_nv nv[H2_LINES_MAX];
	struct http_span target;
	uint8_t *lines;
	size_t n;

	http_reader_init_request(&reader, &o->desk->conf->limits);
	if (http_reader_next(&reader, h, copy->bytes, copy->n, &piece) != HTTP_HEAD_IN)
		return -1;
	o->asked = (struct http_asked){ .head = h->method == HTTP_HEAD };
	lines = memmem(copy->bytes, copy->n, "\r\n", 2);
	if (lines == NULL)
		return -1;
	lines += 2;
	n = request_fields(o, nv, h, lines, (size_t)(copy->bytes + copy->n - lines), &target);
	o->id = nghttp2_submit_request(o->ng, NULL, nv, n, content ? &body : NULL, NULL);
	return o->id > 0 ? 0 : -1;
}

static void forget(struct h2_out *o)
{
	struct blocks *bs = &o->desk->blocks;

	block_put(bs, o->out);
	block_put(bs, o->trails);
	block_put(bs, o->fields);
	o->out = o->trails = o->fields = NULL;
	o->size = 0;
	o->id = 0;
	o->ended = o->deferred = o->head_in = o->in_trailers = o->bad = false;
}

/* A copy, as names are lowered in it, and the head may have to be sent again. */
int h2_out_request(struct h2_out *o, struct http_span head, bool content)
{
	struct block *copy = NULL;
	int rc;

	forget(o);
	o->result = H2_OUT_GOES_ON;
	rc = block_append(&o->desk->blocks, &copy, head.p, head.n);
	if (rc == 0)
		rc = submit(o, copy, content);
	block_put(&o->desk->blocks, copy);
	return rc;
}

static void wake(struct h2_out *o)
{
	if (!o->deferred)
		return;
	o->deferred = false;
	(void)nghttp2_session_resume_data(o->ng, o->id);
}

void h2_out_content(struct h2_out *o, struct http_span p)
{
	if (o->id == 0)
		return;
	if (block_append(&o->desk->blocks, &o->out, p.p, p.n) != 0)
		h2_out_reset(o);
	else
		wake(o);
}

void h2_out_content_end(struct h2_out *o, const struct http_head *trailers)
{
	o->ended = true;
	for (uint16_t i = 0; trailers != NULL && i < trailers->n; i++)
		if (h2_lines_put(&o->desk->blocks, &o->trails, http_field_name(trailers, &trailers->fields[i]),
			    http_field_value(trailers, &trailers->fields[i])) != 0)
			h2_out_reset(o);
	wake(o);
}

bool h2_out_is_full(const struct h2_out *o)
{
	return block_waiting(o->out) >= OUT_FULL;
}

void h2_out_reset(struct h2_out *o)
{
	if (o->id != 0)
		(void)nghttp2_submit_rst_stream(o->ng, NGHTTP2_FLAG_NONE, o->id, NGHTTP2_CANCEL);
	forget(o);
}

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

static struct exchange *exchange_of(const struct h2_out *o)
{
	return o->back->x;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_out *o = arg;

	(void)ng;
	if (frame->hd.stream_id != o->id)
		return 0;
	block_put(&o->desk->blocks, o->fields);
	o->fields = NULL;
	o->size = 0;
	o->in_trailers = o->head_in;
	o->status = 0;
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
	const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	const struct http_span n = { (const char *)name, name_n }, v = { (const char *)value, value_n };
	struct h2_out *o = arg;
	uint64_t status;
	char text[8];

	(void)ng, (void)flags;
	if (frame->hd.stream_id != o->id)
		return 0;
	o->size += name_n + value_n + 32;
	if (o->size > o->desk->conf->limits.head) {
		o->bad = true;
		return 0;
	}
	if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
		if (str_fmt(text, sizeof text, "%.*s", (int)value_n, value) != 0 ||
			str_to_u64(text, 100, 999, &status) != 0)
			o->bad = true;
		else
			o->status = (unsigned)status;
	} else if (!h2_lines_is_word(n) || !h2_lines_is_line(v) ||
		   h2_lines_put(&o->desk->blocks, &o->fields, n, v) != 0) {
		o->bad = true;
	}
	return 0;
}

/* The lines as a message of HTTP/1.1 of unknown length, or of none; the reader checks it as it checks every other. */
static struct block *head_text(struct h2_out *o, bool ended)
{
	struct blocks *bs = &o->desk->blocks;
	const struct http_span fields = h2_lines_span(o->fields);
	static const char chunked[] = "transfer-encoding: chunked\r\n";
	const bool has_length = memmem(fields.p, fields.n, "content-length:", 15) != NULL;
	const bool none = o->status < 200 || o->status == 204 || o->status == 304 || o->asked.head || has_length;
	struct block *text = NULL;
	char line[STATUS_LINE];

	(void)str_fmt(line, sizeof line, "HTTP/1.1 %u \r\n", o->status);
	if (block_append(bs, &text, line, strlen(line)) != 0 || block_append(bs, &text, fields.p, fields.n) != 0 ||
		(!none && ended && block_append(bs, &text, "content-length: 0\r\n", 19) != 0) ||
		(!none && !ended && block_append(bs, &text, chunked, sizeof chunked - 1) != 0) ||
		block_append(bs, &text, "\r\n", 2) != 0) {
		block_put(bs, text);
		return NULL;
	}
	return text;
}

static void take_head(struct h2_out *o, bool ended)
{
	struct block *text = head_text(o, ended);
	struct http_head *h = &o->desk->answered;
	struct http_reader reader;
	struct http_piece piece;

	http_reader_init_response(&reader, &o->desk->conf->limits);
	http_reader_ask(&reader, &o->asked);
	if (text == NULL || http_reader_next(&reader, h, text->bytes, text->n, &piece) != HTTP_HEAD_IN || h->switches) {
		o->bad = true;
	} else {
		o->head_in = h->status >= 200;
		exchange_on_head(exchange_of(o), h);
	}
	block_put(&o->desk->blocks, text);
}

/* A section of trailers, read as the last part of a chunked message. */
static void take_end(struct h2_out *o)
{
	struct exchange *x = exchange_of(o);
	struct http_head *h = &o->desk->answered;
	struct block *text = NULL;
	struct http_span lines = h2_lines_span(o->fields);
	enum http_fault why;
	const bool some = o->in_trailers && lines.n > 0;

	o->result = H2_OUT_ANSWERED;
	o->id = 0; /* the next request may come before this call returns */
	if (some && (block_append(&o->desk->blocks, &text, lines.p, lines.n) != 0 ||
			    block_append(&o->desk->blocks, &text, "\r\n", 2) != 0)) {
		o->result = H2_OUT_BAD;
	} else if (some) {
		http_head_begin(h, HTTP_TRAILER_LINES);
		if (http_head_lines(h, HTTP_TRAILER_LINES, &o->desk->conf->limits, text->bytes, text->n, &why) == 1)
			exchange_on_end(x, h);
		else
			o->result = H2_OUT_BAD;
	} else {
		exchange_on_end(x, NULL);
	}
	block_put(&o->desk->blocks, text);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_out *o = arg;
	const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	(void)ng;
	if (o->id == 0 || frame->hd.stream_id != o->id || exchange_of(o) == NULL || o->result != H2_OUT_GOES_ON)
		return 0;
	if (o->bad) {
		o->result = H2_OUT_BAD;
		return 0;
	}
	if (frame->hd.type == NGHTTP2_HEADERS && !o->in_trailers)
		take_head(o, ended);
	if (o->bad)
		o->result = H2_OUT_BAD;
	else if (ended && exchange_of(o) != NULL &&
		 (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		take_end(o);
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_out *o = arg;

	(void)ng, (void)flags;
	if (id == o->id && o->id != 0 && exchange_of(o) != NULL && o->result == H2_OUT_GOES_ON)
		exchange_on_content(exchange_of(o), (struct http_span){ (const char *)p, n });
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2_out *o = arg;

	(void)ng, (void)code;
	if (id != o->id)
		return 0;
	if (o->result == H2_OUT_GOES_ON)
		o->result = H2_OUT_RESET;
	o->id = 0;
	return 0;
}

enum h2_out_read h2_out_read(struct h2_out *o, const uint8_t *p, size_t n)
{
	if (o->id != 0)
		o->result = H2_OUT_GOES_ON;
	return nghttp2_session_mem_recv(o->ng, p, n) < 0 ? H2_OUT_BAD : o->result;
}

void h2_out_write(struct h2_out *o, struct outbox *out, struct wire *w)
{
	h2_send(o->ng, out, &o->desk->blocks, w);
}

bool h2_out_is_answered(const struct h2_out *o)
{
	return o->result == H2_OUT_ANSWERED;
}

bool h2_out_keeps(const struct h2_out *o)
{
	return o->id == 0 && nghttp2_session_want_read(o->ng) != 0 && nghttp2_session_check_request_allowed(o->ng) != 0;
}

/* ---- made, freed --------------------------------------------------------------------------------------------------- */

static int make_session(struct h2_out *o)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->desk->conf->limits.head },
	};
	nghttp2_session_callbacks *cb = NULL;
	int rc = -1;

	if (nghttp2_session_callbacks_new(&cb) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		rc = nghttp2_session_client_new(&o->ng, cb, o);
	}
	nghttp2_session_callbacks_del(cb);
	if (rc != 0 || nghttp2_submit_settings(o->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(o->ng, NGHTTP2_FLAG_NONE, 0, WINDOW);
}

int h2_out_new(struct h2_out **out, struct http_desk *d, struct back *b, bool tls)
{
	struct h2_out *o = calloc(1, sizeof *o);

	if (o == NULL)
		return -1;
	o->desk = d;
	o->back = b;
	o->tls = tls;
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
	forget(o);
	nghttp2_session_del(o->ng);
	free(o);
}
