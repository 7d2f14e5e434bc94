#define _GNU_SOURCE
#include "common/http/http_check.h"

#include "common/base/str.h"

#include <string.h>

void http_check_init(struct http_check *c, const struct http_check_conf *conf)
{
	memset(c, 0, sizeof *c);
	c->conf = conf;
	buf_init(&c->in, HTTP_CHECK_HEAD);
	http_reader_init_response(&c->reader, &http_limits_default);
	http_reader_ask(&c->reader, &(struct http_asked){ .head = str_eq(conf->method, "HEAD") });
}

void http_check_fini(struct http_check *c)
{
	buf_free(&c->in);
}

void http_check_request(const struct http_check *c, struct buf *out)
{
	const struct http_check_conf *conf = c->conf;
	const bool literal = strchr(conf->host, ':') != NULL;

	buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s%s%s", conf->method, conf->path, literal ? "[" : "", conf->host,
		literal ? "]" : "");
	if (conf->port != 0)
		buf_printf(out, ":%u", (unsigned)conf->port);
	buf_printf(out, "\r\nUser-Agent: %s\r\nAccept: */*\r\nConnection: close\r\n\r\n", conf->agent);
}

/* ---- what it says ---- */

static enum http_check_says bad(struct http_check *c, const char *why)
{
	str_copy(c->why, sizeof c->why, why);
	return HTTP_CHECK_BAD;
}

static bool is_expected(const struct http_check_conf *conf, unsigned status)
{
	if (conf->n_statuses == 0)
		return status >= 200 && status < 400;
	for (uint32_t i = 0; i < conf->n_statuses; i++)
		if (status >= conf->statuses[i].first && status <= conf->statuses[i].last)
			return true;
	return false;
}

static enum http_check_says on_head(struct http_check *c)
{
	if (c->head.status < 200)
		return HTTP_CHECK_MORE;
	c->status = c->head.status;
	if (!is_expected(c->conf, c->status)) {
		str_fmt(c->why, sizeof c->why, "status %u", c->status);
		return HTTP_CHECK_BAD;
	}
	return c->conf->text[0] == '\0' ? HTTP_CHECK_GOOD : HTTP_CHECK_MORE;
}

/* The text may lie across two pieces: the end of what was there is kept, as long as a beginning of it could be. */
static enum http_check_says on_content(struct http_check *c, struct http_span data)
{
	const char *const text = c->conf->text;
	const size_t len = strlen(text), edge = MIN(data.n, len - 1);
	char join[2 * HTTP_CHECK_TEXT];

	memcpy(join, c->tail, c->n_tail);
	memcpy(join + c->n_tail, data.p, edge);
	if (memmem(join, c->n_tail + edge, text, len) != NULL || memmem(data.p, data.n, text, len) != NULL)
		return HTTP_CHECK_GOOD;
	c->looked_at += data.n;
	if (c->looked_at >= HTTP_CHECK_BODY)
		return bad(c, "the expected text is not in the first 64 KiB");
	if (data.n >= len - 1) {
		c->n_tail = len - 1;
		memcpy(c->tail, data.p + data.n - c->n_tail, c->n_tail);
	} else {
		const size_t have = c->n_tail + edge, keep = MIN(have, len - 1);

		memcpy(c->tail, join + have - keep, keep);
		c->n_tail = keep;
	}
	return HTTP_CHECK_MORE;
}

static enum http_check_says on_event(struct http_check *c, enum http_event event, const struct http_piece *piece)
{
	switch (event) {
	case HTTP_HEAD_IN:
		return on_head(c);
	case HTTP_DATA:
		return on_content(c, piece->data);
	case HTTP_TRAILERS:
		return HTTP_CHECK_MORE;
	case HTTP_END:
		return c->status == 0 ? HTTP_CHECK_MORE : bad(c, "the expected text is not in the content");
	default:
		str_fmt(c->why, sizeof c->why, "the answer is not HTTP: %s",
			event == HTTP_FAULT ? http_fault_text(piece->fault) : "it switches the protocol");
		return HTTP_CHECK_BAD;
	}
}

enum http_check_says http_check_feed(struct http_check *c, const void *p, size_t n)
{
	struct http_piece piece = { .used = 0 };
	enum http_check_says says = HTTP_CHECK_MORE;
	enum http_event event;
	size_t at = 0;

	buf_put(&c->in, p, n);
	if (c->in.failed)
		return bad(c, "the head of the answer is too long");
	while (says == HTTP_CHECK_MORE && (event = http_reader_next(&c->reader, &c->head, c->in.data + at,
						   c->in.len - at, &piece)) != HTTP_MORE) {
		says = on_event(c, event, &piece);
		at += piece.used;
	}
	if (says == HTTP_CHECK_MORE)
		buf_consume(&c->in, at + piece.used);
	return says;
}

enum http_check_says http_check_eof(struct http_check *c)
{
	struct http_piece piece = { .used = 0 };

	if (c->status == 0 && c->in.len == 0)
		return bad(c, "the connection ended without an answer");
	if (http_reader_eof(&c->reader, &piece) == HTTP_END)
		return bad(c, "the expected text is not in the content");
	return bad(c, "the connection ended within the answer");
}
