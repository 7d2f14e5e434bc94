/*
 * http_story - what a reader makes of some bytes, as text: one line an event, content of neighbouring events joined. For unit
 * tests, the fuzz target and httpcheck, which compare, check and print it.
 *
 *	GET host=example.com:81 path=/a query=?b keep length=3
 *	| Accept: text/html
 *	data abc
 *	end
 *	fault LENGTH_TWICE 400
 */
#ifndef PORTWAY_TESTS_LIB_HTTP_STORY_H
#define PORTWAY_TESTS_LIB_HTTP_STORY_H

#include "common/base/buf.h"
#include "common/http/http_reader.h"

#include <stdlib.h>
#include <string.h>

struct story {
	struct buf text;
	/* what to read; NULL: requests; else what was asked: g GET, h HEAD, c CONNECT, u Upgrade, one letter a response */
	const char *asked;
	const struct http_limits *limits;
	uint64_t body_max; /* 0: none */
	bool resume;       /* the protocol stays after CONNECT and Upgrade */
	bool eof;          /* the connection ends after the bytes */
	bool in_data;
	struct http_reader reader;
	struct http_head head;
};

static inline void story_span(struct story *s, const char *what, struct http_span span)
{
	buf_printf(&s->text, "%s", what);
	for (size_t i = 0; i < span.n; i++) {
		const unsigned char c = (unsigned char)span.p[i];

		if (c > ' ' && c < 0x7f)
			buf_u8(&s->text, c);
		else
			buf_printf(&s->text, c == ' ' ? " " : "\\x%02x", c);
	}
}

static inline void story_fields(struct story *s)
{
	const struct http_head *h = &s->head;

	for (uint16_t i = 0; i < h->n; i++) {
		story_span(s, h->fields[i].flags & HTTP_FIELD_HOP ? "\n~ " : "\n| ", http_field_name(h, &h->fields[i]));
		story_span(s, ": ", http_field_value(h, &h->fields[i]));
	}
	if (h->dropped > 0)
		buf_printf(&s->text, "\n| (%u dropped)", h->dropped);
	buf_printf(&s->text, "\n");
}

static inline void story_head(struct story *s)
{
	static const char *const bodies[] = { "", "", " chunked", " until-close" };
	const struct http_head *h = &s->head;

	if (h->status != 0) {
		buf_printf(&s->text, "%u", h->status);
	} else {
		story_span(s, "", http_head_part(h, h->method_at));
		story_span(s, " host=", http_head_part(h, h->host));
		if (h->port != 0)
			buf_printf(&s->text, ":%u", h->port);
		if (h->form != HTTP_AUTHORITY)
			story_span(s, " path=", http_head_path(h));
		if (h->query.n > 0)
			story_span(s, " query=", http_head_part(h, h->query));
	}
	buf_printf(&s->text, "%s%s%s", h->version == 10 ? " 1.0" : "", h->keep_alive ? " keep" : " close",
		bodies[h->body]);
	if (h->has_length)
		buf_printf(&s->text, " length=%llu", (unsigned long long)h->length);
	buf_printf(&s->text, "%s%s%s%s", h->upgrade ? " upgrade" : "", h->expects_100 ? " expects-100" : "",
		h->takes_trailers ? " trailers" : "", h->switches ? " switches" : "");
	story_fields(s);
}

/* The next response is asked for when the one before is over. */
static inline void story_ask(struct story *s)
{
	if (s->asked == NULL || *s->asked == '\0')
		return;
	http_reader_ask(&s->reader, &(struct http_asked){ *s->asked == 'h', *s->asked == 'c', *s->asked == 'u' });
	s->asked++;
}

/* False when nothing can follow. */
static inline bool story_event(struct story *s, enum http_event event, const struct http_piece *piece)
{
	const bool interim = s->head.status >= 100 && s->head.status < 200;

	if (event == HTTP_DATA) {
		story_span(s, s->in_data ? "" : "data ", piece->data);
		s->in_data = true;
		return true;
	}
	if (s->in_data)
		buf_printf(&s->text, "\n");
	s->in_data = false;
	switch (event) {
	case HTTP_HEAD_IN:
		story_head(s);
		if (s->body_max > 0)
			http_reader_limit_body(&s->reader, s->body_max);
		return true;
	case HTTP_TRAILERS:
		buf_printf(&s->text, "trailers");
		story_fields(s);
		return true;
	case HTTP_END:
		buf_printf(&s->text, "end\n");
		if (!interim)
			story_ask(s);
		return true;
	case HTTP_HOLD:
		buf_printf(&s->text, "hold\n");
		if (!s->resume || s->asked != NULL) /* a response's reader holds for good */
			return false;
		http_reader_resume(&s->reader);
		return true;
	default:
		buf_printf(&s->text, "fault %s %u\n", http_fault_name(piece->fault), http_fault_status(piece->fault));
		return false;
	}
}

/* All events of the bytes at p; what was not used stays in front of what comes next, and moves, as in a real buffer. */
static inline bool story_drain(struct story *s, uint8_t **p, size_t *n)
{
	struct http_piece piece;
	enum http_event event;
	size_t at = 0;
	uint8_t *rest;
	bool on = true;

	while (on && (event = http_reader_next(&s->reader, &s->head, *p + at, *n - at, &piece)) != HTTP_MORE) {
		on = story_event(s, event, &piece);
		at += piece.used;
	}
	at += on ? piece.used : 0;
	*n -= at;
	rest = malloc(*n + 1); /* of just this size: a read beyond the end is seen */
	if (rest == NULL)
		abort();
	memcpy(rest, *p + at, *n);
	free(*p);
	*p = rest;
	return on;
}

/* Tells everything about size bytes that come `step` at a time. The caller set what to read and frees s->text. */
static inline const char *story_tell(struct story *s, const uint8_t *bytes, size_t size, size_t step)
{
	uint8_t *p = malloc(1), *more;
	size_t n = 0, take;
	struct http_piece piece;
	enum http_event event;
	bool on = true;

	if (s->limits == NULL)
		s->limits = &http_limits_default;
	buf_init(&s->text, (size_t)1 << 24);
	s->in_data = false;
	if (s->asked != NULL)
		http_reader_init_response(&s->reader, s->limits);
	else
		http_reader_init_request(&s->reader, s->limits);
	story_ask(s);
	for (size_t i = 0; i < size && on; i += take) {
		take = MIN(step, size - i);
		more = malloc(n + take);
		if (more == NULL || p == NULL)
			abort();
		memcpy(more, p, n);
		memcpy(more + n, bytes + i, take);
		free(p);
		p = more;
		n += take;
		on = story_drain(s, &p, &n);
	}
	if (on && s->eof && (event = http_reader_eof(&s->reader, &piece)) != HTTP_MORE)
		story_event(s, event, &piece);
	if (s->in_data)
		buf_printf(&s->text, "\n");
	free(p);
	return buf_cstr(&s->text);
}

#endif
