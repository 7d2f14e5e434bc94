#define _GNU_SOURCE 1
#include "common/base/str.h"
#include "common/http/http_reader.h"
#include "relayd/http/desk.h"
#include "relayd/http/h2_lines.h"
#include "relayd/http/h2_out.h"

#include <string.h>

enum { STATUS_LINE = 192, FIELD_OVERHEAD = 32 };

/* What a client that asked for a WebSocket with HTTP/1.1 waits for. */
#define SWITCHING "HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: %s\r\n"

void h2_answer_begin(struct h2_call *c)
{
	block_put(&c->on->desk->blocks, c->fields);
	c->fields = NULL;
	c->size = 0;
	c->in_trailers = c->head_in;
	c->has_length = false;
	c->status = 0;
}

static void take_status(struct h2_call *c, struct http_span value)
{
	uint64_t status;
	char text[8];

	if (str_fmt(text, sizeof text, "%.*s", (int)value.n, value.p) != 0 || str_to_u64(text, 100, 999, &status) != 0)
		c->bad = true;
	else
		c->status = (unsigned)status;
}

void h2_answer_field(struct h2_call *c, struct http_span name, struct http_span value)
{
	struct http_desk *d = c->on->desk;

	c->size += name.n + value.n + FIELD_OVERHEAD;
	if (c->size > d->conf->limits.head)
		c->bad = true;
	else if (name.n == 7 && memcmp(name.p, ":status", 7) == 0)
		take_status(c, value);
	else if (c->websocket && name.n == 20 && memcmp(name.p, "sec-websocket-accept", 20) == 0)
		; /* the key was not the backend's to sign */
	else if (!h2_lines_is_word(name) || !h2_lines_is_line(value) ||
		 h2_lines_put(&d->blocks, &c->fields, name, value) != 0)
		c->bad = true;
	c->has_length |= name.n == 14 &&
	                 memcmp(name.p, "content-length", 14) == 0; /* and no part of another name, or of a value */
}

/* The lines as a message of HTTP/1.1 of unknown length, or of none; the reader checks it as it checks every other. */
static struct block *head_text(struct h2_call *c, bool ended)
{
	struct blocks *bs = &c->on->desk->blocks;
	const struct http_span fields = h2_lines_span(c->fields);
	static const char chunked[] = "transfer-encoding: chunked\r\n";
	const bool opens = c->connect && c->status >= 200 && c->status < 300;
	const bool none =
		opens || c->status < 200 || c->status == 204 || c->status == 304 || c->asked.head || c->has_length;
	struct block *text = NULL;
	char line[STATUS_LINE];

	if (opens && c->websocket)
		(void)str_fmt(line, sizeof line, SWITCHING, c->accept);
	else
		(void)str_fmt(line, sizeof line, "HTTP/1.1 %u \r\n", c->status);
	if (block_append(bs, &text, line, strlen(line)) != 0 || block_append(bs, &text, fields.p, fields.n) != 0 ||
		(!none && ended && block_append(bs, &text, "content-length: 0\r\n", 19) != 0) ||
		(!none && !ended && block_append(bs, &text, chunked, sizeof chunked - 1) != 0) ||
		block_append(bs, &text, "\r\n", 2) != 0) {
		block_put(bs, text);
		return NULL;
	}
	return text;
}

static void take_head(struct h2_call *c, bool ended)
{
	struct http_desk *d = c->on->desk;
	struct block *text = head_text(c, ended);
	struct http_head *h = &d->answered;
	struct http_reader reader;
	struct http_piece piece;

	http_reader_init_response(&reader, &d->conf->limits);
	http_reader_ask(&reader, &c->asked);
	reader.interims = c->interims;
	if (text == NULL || http_reader_next(&reader, h, text->bytes, text->n, &piece) != HTTP_HEAD_IN ||
		(h->switches && !c->connect)) {
		c->bad = true;
	} else {
		c->interims = reader.interims;
		c->head_in = h->status >= 200 || h->switches;
		c->touched = true;
		exchange_on_head(c->base.x, h);
	}
	block_put(&d->blocks, text);
}

/* A section of trailers, read as the last part of a chunked message. */
static void end_with_trailers(struct h2_call *c, struct http_span lines)
{
	struct http_desk *d = c->on->desk;
	struct http_head *h = &d->answered;
	struct block *text = NULL;
	enum http_fault why;

	http_head_begin(h, HTTP_TRAILER_LINES);
	if (block_append(&d->blocks, &text, lines.p, lines.n) != 0 || block_append(&d->blocks, &text, "\r\n", 2) != 0 ||
		http_head_lines(h, HTTP_TRAILER_LINES, &d->conf->limits, text->bytes, text->n, &why) != 1)
		h2_call_fail(c, BACK_BAD);
	else
		exchange_on_end(c->base.x, h);
	block_put(&d->blocks, text);
}

void h2_answer_end(struct h2_call *c)
{
	const struct http_span lines = h2_lines_span(c->fields);

	c->answered = true;
	if (c->in_trailers && lines.n > 0)
		end_with_trailers(c, lines);
	else
		exchange_on_end(c->base.x, NULL);
}

void h2_answer_fields_end(struct h2_call *c, bool ended)
{
	if (!c->bad && !c->in_trailers)
		take_head(c, ended);
	if (c->bad)
		h2_call_fail(c, BACK_BAD);
	else if (ended && c->base.x != NULL && c->failure < 0)
		h2_answer_end(c);
}

void h2_answer_content(struct h2_call *c, struct http_span p)
{
	c->unread += p.n;
	c->touched = true;
	exchange_on_content(c->base.x, p);
}
