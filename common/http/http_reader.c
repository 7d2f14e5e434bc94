/*
 *            +--------------------- next message, interim response ----------------------+
 *            v                                                                           |
 *  IDLE --> START --head--> LENGTH | CHUNKED | TO_CLOSE --content--> [ TRAILERS ] --> END -+--> HOLD
 *  (response:   ask)                                                                     `--> IDLE (response)
 *
 *  FAILED from anywhere, for good.
 */
#include "common/http/http_reader.h"

#include "common/http/http_target.h"

#include <assert.h>
#include <string.h>

enum { IDLE, START, LENGTH, CHUNKED, TO_CLOSE, TRAILERS, END, HOLD, FAILED };

_Static_assert(sizeof(struct http_reader) <= 72, "there are two for each connection");

#define BLANK_LINES_MAX 1 /* before a request line (RFC 9112 section 2.2) */

void http_reader_init_request(struct http_reader *r, const struct http_limits *limits)
{
	*r = (struct http_reader){ .limits = limits, .state = START };
}

void http_reader_init_response(struct http_reader *r, const struct http_limits *limits)
{
	*r = (struct http_reader){ .limits = limits, .state = IDLE, .response = true };
}

void http_reader_ask(struct http_reader *r, const struct http_asked *asked)
{
	if (r->state != IDLE)
		return;
	r->asked = *asked;
	r->interims = 0;
	r->state = START;
}

void http_reader_limit_body(struct http_reader *r, uint64_t max)
{
	r->body_max = max;
}

void http_reader_resume(struct http_reader *r)
{
	if (r->state == HOLD && !r->response)
		r->state = START;
}

static enum http_event fail(struct http_reader *r, struct http_piece *piece, enum http_fault why)
{
	r->state = FAILED;
	r->left = 0;
	r->fault = (uint8_t)why;
	piece->fault = why;
	piece->used = 0;
	return HTTP_FAULT;
}

/* ---- heads ---- */

static enum http_fault judge_request(struct http_reader *r, struct http_head *h)
{
	enum http_fault fault = http_framing_request(h);

	if (fault == HTTP_OK)
		fault = http_target_read(h);
	r->hold = h->upgrade || h->method == HTTP_CONNECT;
	return fault;
}

static enum http_fault judge_response(struct http_reader *r, struct http_head *h)
{
	enum http_fault fault = http_framing_response(h, &r->asked);

	if (fault != HTTP_OK)
		return fault;
	r->hold = h->switches;
	r->interim = h->status < 200 && !h->switches;
	if (r->interim && ++r->interims > r->limits->interim)
		return HTTP_BAD_INTERIM_MANY;
	return HTTP_OK;
}

static void begin_body(struct http_reader *r, const struct http_head *h)
{
	static const uint8_t states[] = {
		[HTTP_NO_BODY] = END,
		[HTTP_BY_LENGTH] = LENGTH,
		[HTTP_CHUNKED] = CHUNKED,
		[HTTP_UNTIL_CLOSE] = TO_CLOSE,
	};

	r->state = states[h->body];
	r->body_max = UINT64_MAX;
	r->left = h->body == HTTP_BY_LENGTH ? h->length : 0;
	if (h->body == HTTP_CHUNKED)
		http_chunk_init(&r->chunk, r->limits->chunk_ext);
}

/* An empty line in front of a request is skipped; whether there is one shows with its second byte. */
static bool skip_blank(struct http_reader *r, const uint8_t *p, size_t n, struct http_piece *piece)
{
	if (r->response || r->blank == BLANK_LINES_MAX || n == 0 || p[0] != '\r' || (n > 1 && p[1] != '\n'))
		return false;
	if (n > 1) {
		r->blank++;
		piece->used = 2;
	}
	return true;
}

static enum http_event read_head(
	struct http_reader *r, struct http_head *h, const uint8_t *p, size_t n, struct http_piece *piece)
{
	enum http_fault why = HTTP_OK;
	const enum http_lines kind = r->response ? HTTP_RESPONSE_LINES : HTTP_REQUEST_LINES;
	int whole;

	if (!r->began) {
		if (skip_blank(r, p, n, piece)) {
			if (piece->used == 0 || n == 2)
				return HTTP_MORE;
			p += 2;
			n -= 2;
		}
		if (n == 0)
			return HTTP_MORE;
		http_head_begin(h, kind);
		r->began = true;
	}
	whole = http_head_lines(h, kind, r->limits, p, n, &why);
	if (whole == 0)
		return HTTP_MORE;
	if (whole > 0)
		why = r->response ? judge_response(r, h) : judge_request(r, h);
	if (why != HTTP_OK)
		return fail(r, piece, why);
	r->began = false;
	r->blank = 0;
	piece->used += h->pos;
	begin_body(r, h);
	return HTTP_HEAD_IN;
}

/* ---- content ---- */

/* What is allowed of too much is given; the fault is told with the next call. */
static enum http_event give(struct http_reader *r, struct http_piece *piece)
{
	if (piece->data.n > r->body_max) {
		if (r->body_max == 0)
			return fail(r, piece, HTTP_BAD_BODY_LONG);
		piece->data.n = r->body_max;
		r->state = FAILED;
		r->left = 0;
		r->fault = HTTP_BAD_BODY_LONG;
	}
	if (r->body_max != UINT64_MAX)
		r->body_max -= piece->data.n;
	return HTTP_DATA;
}

static enum http_event read_plain(struct http_reader *r, const uint8_t *p, size_t n, struct http_piece *piece)
{
	if (r->state == LENGTH) {
		if (r->left > r->body_max) /* told before the first byte */
			return fail(r, piece, HTTP_BAD_BODY_LONG);
		n = MIN(n, r->left);
		r->left -= n;
		if (r->left == 0)
			r->state = END;
	}
	if (n == 0)
		return HTTP_MORE;
	piece->data = (struct http_span){ (const char *)p, n };
	piece->used = n;
	return give(r, piece);
}

void http_reader_pass(struct http_reader *r, uint64_t n)
{
	assert(n <= http_reader_plain(r));
	r->left -= n;
	if (r->body_max != UINT64_MAX)
		r->body_max -= n;
	if (r->left == 0)
		r->state = END;
}

static enum http_event read_chunked(struct http_reader *r, const uint8_t *p, size_t n, struct http_piece *piece)
{
	switch (http_chunk_next(&r->chunk, p, n, &piece->used, &piece->data, &piece->fault)) {
	case HTTP_CHUNK_MORE:
		return HTTP_MORE;
	case HTTP_CHUNK_DATA:
		return give(r, piece);
	case HTTP_CHUNK_LAST:
		r->state = TRAILERS;
		return HTTP_MORE; /* go on */
	default:
		return fail(r, piece, piece->fault);
	}
}

static enum http_event read_trailers(
	struct http_reader *r, struct http_head *h, const uint8_t *p, size_t n, struct http_piece *piece)
{
	enum http_fault why = HTTP_OK;
	int whole;

	if (n == 0)
		return HTTP_MORE;
	if (!r->began)
		http_head_begin(h, HTTP_TRAILER_LINES);
	r->began = true;
	whole = http_head_lines(h, HTTP_TRAILER_LINES, r->limits, p, n, &why);
	if (whole == 0)
		return HTTP_MORE;
	if (whole < 0)
		return fail(r, piece, why);
	r->began = false;
	r->state = END;
	piece->used += h->pos;
	return h->n > 0 || h->dropped > 0 ? HTTP_TRAILERS : HTTP_END;
}

/* ---- all of it ---- */

static void next_message(struct http_reader *r)
{
	if (r->hold)
		r->state = HOLD;
	else
		r->state = r->response && !r->interim ? IDLE : START;
	r->hold = r->interim = false;
}

static enum http_event step(
	struct http_reader *r, struct http_head *h, const uint8_t *p, size_t n, struct http_piece *piece)
{
	size_t framing;
	enum http_event event;

	switch (r->state) {
	case IDLE:
		return n > 0 ? fail(r, piece, HTTP_BAD_UNASKED) : HTTP_MORE;
	case START:
		return read_head(r, h, p, n, piece);
	case LENGTH:
	case TO_CLOSE:
		return read_plain(r, p, n, piece);
	case CHUNKED:
		event = read_chunked(r, p, n, piece);
		if (r->state != TRAILERS)
			return event;
		framing = piece->used;
		return read_trailers(r, h, p + framing, n - framing, piece);
	case TRAILERS:
		return read_trailers(r, h, p, n, piece);
	case END:
		return HTTP_END;
	case HOLD:
		return HTTP_HOLD;
	default:
		return fail(r, piece, (enum http_fault)r->fault);
	}
}

enum http_event http_reader_next(
	struct http_reader *r, struct http_head *h, const uint8_t *p, size_t n, struct http_piece *piece)
{
	enum http_event event;

	*piece = (struct http_piece){ .used = 0 };
	event = step(r, h, p, n, piece);
	if (event == HTTP_END)
		next_message(r);
	return event;
}

enum http_event http_reader_eof(struct http_reader *r, struct http_piece *piece)
{
	*piece = (struct http_piece){ .used = 0 };
	if (r->state == TO_CLOSE) {
		next_message(r);
		return HTTP_END;
	}
	if (r->state == IDLE || r->state == HOLD || (r->state == START && !r->began && !r->response))
		return HTTP_MORE;
	return fail(r, piece, r->state == FAILED ? (enum http_fault)r->fault : HTTP_BAD_TRUNCATED);
}
