/*
 * text - a value for a head, put together piece by piece in the bytes of an edit.
 *
 *	const size_t from = text_begin(e);
 *	text_str(e, "W/"); text_put(e, tag.p, tag.n);
 *	text_field(e, "etag", text_since(e, from));
 *
 * Fields are added by text_field() and text_set(), which check what they are given: nothing that a template, a cookie or a client says can
 * end a line. What is wrong, or does not fit, fails the whole edit.
 *
 * Thread: the worker's, whose edit it is.
 */
#ifndef PORTWAY_RELAYD_FILTER_TEXT_H
#define PORTWAY_RELAYD_FILTER_TEXT_H

#include "relayd/http/edit.h"

static inline struct http_span text_span(const char *s)
{
	return (struct http_span){ s, __builtin_strlen(s) };
}

static inline size_t text_begin(const struct edit *e)
{
	return e->used;
}

static inline struct http_span text_since(const struct edit *e, size_t from)
{
	return (struct http_span){ e->text + from, e->used - from };
}

void text_put(struct edit *e, const char *p, size_t n);
void text_str(struct edit *e, const char *s);
void text_u64(struct edit *e, uint64_t v);

/* name: in lower case and borrowed, as the edit's; blanks around the value are cut off. */
void text_field(struct edit *e, const char *name, struct http_span value);
void text_set(struct edit *e, const char *name, struct http_span value);
/* Adds to a list that may be there: "Vary: Origin" beside what the backend says. h: the head that is edited; NULL: our own answer. */
void text_token(struct edit *e, const struct http_head *h, enum http_name id, const char *token);

#endif
