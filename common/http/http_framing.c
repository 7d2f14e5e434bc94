#include "common/http/http_framing.h"

#include "common/http/http_scan.h"

#include <string.h>
#include <strings.h>

#define OPTIONS_MAX 32 /* of Connection; each one is looked for among all fields */

/* ---- lists of tokens: #token of RFC 9110 section 5.6.1, empty elements allowed ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the next element off *list. 1: *token; 0: no more; -1: not a list of tokens. */
static int next_token(struct http_span *list, struct http_span *token)
{
	const char *p = list->p, *const end = p + list->n, *from;

	while (p < end && (is_blank(*p) || *p == ','))
		p++;
	from = p;
	while (p < end && http_is((uint8_t)*p, HTTP_IS_TOKEN))
		p++;
	*token = (struct http_span){ from, (size_t)(p - from) };
	while (p < end && is_blank(*p))
		p++;
	if (p < end && *p != ',')
		return -1;
	*list = (struct http_span){ p, (size_t)(end - p) };
	return token->n > 0;
}

static bool token_is(const struct http_span *token, const char *lower)
{
	return token->n == strlen(lower) && strncasecmp(token->p, lower, token->n) == 0;
}

/* ---- single fields ---- */

/* What the fields say about framing, before it is judged. */
struct framing {
	unsigned lengths, codings; /* how many fields */
	unsigned others;           /* codings that are not chunked */
	bool chunked;              /* is the last coding so far */
	bool bad_coding;
	unsigned options; /* of Connection */
	bool close, keep, upgrade, has_upgrade, to_h2c;
};

static enum http_fault read_length(struct http_head *h, const struct http_field *f)
{
	const uint8_t *p = h->base + f->value;
	uint64_t value = 0;

	if (f->value_len == 0)
		return HTTP_BAD_LENGTH;
	for (unsigned i = 0; i < f->value_len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return HTTP_BAD_LENGTH;
		if (value > (INT64_MAX - 9) / 10)
			value = UINT64_MAX; /* go on: a sign or a comma further back is the worse fault */
		else
			value = value * 10 + (uint64_t)(p[i] - '0');
	}
	h->length = value;
	h->has_length = true;
	return value > INT64_MAX ? HTTP_BAD_LENGTH_HUGE : HTTP_OK;
}

/* Parameters make it no list of tokens: of the codings that are known none has any. */
static void read_coding(struct framing *fr, struct http_span list)
{
	struct http_span token;
	int rc;

	fr->codings++;
	while ((rc = next_token(&list, &token)) > 0) {
		if (fr->chunked)
			fr->bad_coding = true;
		fr->chunked = token_is(&token, "chunked");
		fr->others += !fr->chunked;
	}
	if (rc < 0)
		fr->bad_coding = true;
}

/* A field that Connection names goes no further, unless it is one that we know to be for all (section 7.6.1). */
static void mark_hop(struct http_head *h, const struct http_span *name)
{
	if (http_name_find((const uint8_t *)name->p, name->n) != HTTP_NAME_UNKNOWN)
		return;
	for (struct http_field *f = h->fields; f < h->fields + h->n; f++)
		if (f->name_len == name->n && strncasecmp((const char *)h->base + f->name, name->p, name->n) == 0)
			f->flags |= HTTP_FIELD_HOP;
}

static enum http_fault read_connection(struct http_head *h, struct framing *fr, struct http_span list)
{
	struct http_span token;
	int rc;

	while ((rc = next_token(&list, &token)) > 0) {
		if (++fr->options > OPTIONS_MAX)
			return HTTP_BAD_CONNECTION;
		if (token_is(&token, "close"))
			fr->close = true;
		else if (token_is(&token, "keep-alive"))
			fr->keep = true;
		else if (token_is(&token, "upgrade"))
			fr->upgrade = true;
		else
			mark_hop(h, &token);
	}
	return rc < 0 ? HTTP_BAD_CONNECTION : HTTP_OK;
}

/*
 * HTTP/2 behind an upgrade would carry requests that nobody on the way sees. A server may ignore what it is asked for, so this is
 * asked of nobody: wherever the name stands, as backends may read the field less strictly.
 */
static void read_upgrade(struct framing *fr, struct http_span value)
{
	static const char name[] = "h2c";
	const size_t n = sizeof name - 1;

	fr->has_upgrade = value.n > 0;
	for (size_t i = 0; i + n <= value.n; i++)
		fr->to_h2c = fr->to_h2c || strncasecmp(value.p + i, name, n) == 0;
}

/* An expectation is for HTTP/1.1; an older sender cannot wait for 100 (RFC 9110 section 10.1.1). */
static enum http_fault read_expect(struct http_head *h, struct http_span value)
{
	if (h->version < 11 || h->status != 0)
		return HTTP_OK;
	if (!token_is(&value, "100-continue"))
		return HTTP_BAD_EXPECT;
	h->expects_100 = true;
	return HTTP_OK;
}

static void read_te(struct http_head *h, struct http_span list)
{
	struct http_span token;

	while (next_token(&list, &token) > 0)
		if (token_is(&token, "trailers"))
			h->takes_trailers = true;
}

static enum http_fault read_field(struct http_head *h, struct framing *fr, const struct http_field *f)
{
	const struct http_span value = http_field_value(h, f);

	switch ((enum http_name)f->id) {
	case HTTP_NAME_CONTENT_LENGTH:
		fr->lengths++;
		return fr->lengths > 1 ? HTTP_BAD_LENGTH_TWICE : read_length(h, f);
	case HTTP_NAME_TRANSFER_ENCODING:
		read_coding(fr, value);
		return HTTP_OK;
	case HTTP_NAME_CONNECTION:
		return read_connection(h, fr, value);
	case HTTP_NAME_UPGRADE:
		read_upgrade(fr, value);
		return HTTP_OK;
	case HTTP_NAME_EXPECT:
		return read_expect(h, value);
	case HTTP_NAME_TE:
		read_te(h, value);
		return HTTP_OK;
	default:
		return HTTP_OK;
	}
}

/* The names that read_field() knows come first in HTTP_NAMES. */
static enum http_fault read_fields(struct http_head *h, struct framing *fr)
{
	for (const struct http_field *f = h->fields; f < h->fields + h->n; f++) {
		enum http_fault fault;

		if (f->id == HTTP_NAME_UNKNOWN || f->id > HTTP_NAME_TE)
			continue;
		fault = read_field(h, fr, f);
		if (fault != HTTP_OK)
			return fault;
	}
	h->keep_alive = !fr->close && (h->version >= 11 || fr->keep);
	return HTTP_OK;
}

/*
 * chunked once, last and alone, or nothing. A response that has other codings would end with the connection, a request
 * with both fields would be chunked by section 6.3: both are where readers differ, so both are refused.
 */
static enum http_fault judge_coding(const struct http_head *h, const struct framing *fr)
{
	if (fr->codings == 0)
		return HTTP_OK;
	if (h->version < 11)
		return HTTP_BAD_CODING_VERSION;
	if (fr->lengths > 0)
		return HTTP_BAD_LENGTH_CODED;
	if (fr->bad_coding || !fr->chunked)
		return HTTP_BAD_CODING;
	return fr->others > 0 ? HTTP_BAD_CODING_UNKNOWN : HTTP_OK;
}

/* ---- whole heads ---- */

enum http_fault http_framing_request(struct http_head *h)
{
	struct framing fr = { 0 };
	enum http_fault fault = read_fields(h, &fr);

	if (fault == HTTP_OK)
		fault = judge_coding(h, &fr);
	if (fault != HTTP_OK)
		return fault;
	h->upgrade = fr.has_upgrade && fr.upgrade && !fr.to_h2c && h->version >= 11;
	if (fr.chunked)
		h->body = HTTP_CHUNKED;
	else
		h->body = h->length > 0 ? HTTP_BY_LENGTH : HTTP_NO_BODY;
	if (h->method == HTTP_CONNECT && h->body != HTTP_NO_BODY)
		return HTTP_BAD_CONTENT;
	return HTTP_OK;
}

/* 1xx, 204 and 304 end with their head, and so does what answers HEAD. */
static bool has_no_body(const struct http_head *h, const struct http_asked *asked)
{
	return h->status < 200 || h->status == 204 || h->status == 304 || asked->head;
}

/* Fields that a response of this kind must not have: what follows it may be the content that they promised. */
static bool promises_too_much(const struct http_head *h, const struct framing *fr)
{
	return (h->status < 200 || h->status == 204) && (fr->codings > 0 || h->length > 0);
}

static enum http_fault judge_switch(struct http_head *h, const struct http_asked *asked)
{
	if (h->status == 101) {
		if (!asked->upgrade || h->version < 11)
			return HTTP_BAD_SWITCH_UNASKED;
		h->switches = true;
	} else if (asked->connect && h->status >= 200 && h->status < 300) {
		h->switches = true;
	}
	return HTTP_OK;
}

enum http_fault http_framing_response(struct http_head *h, const struct http_asked *asked)
{
	struct framing fr = { 0 };
	enum http_fault fault = read_fields(h, &fr);

	if (fault == HTTP_OK)
		fault = judge_coding(h, &fr);
	if (fault == HTTP_OK)
		fault = judge_switch(h, asked);
	if (fault != HTTP_OK)
		return fault;
	if (h->switches || has_no_body(h, asked))
		h->body = HTTP_NO_BODY;
	else if (fr.chunked)
		h->body = HTTP_CHUNKED;
	else if (!h->has_length)
		h->body = HTTP_UNTIL_CLOSE;
	else
		h->body = h->length > 0 ? HTTP_BY_LENGTH : HTTP_NO_BODY;
	if (h->body == HTTP_UNTIL_CLOSE || promises_too_much(h, &fr))
		h->keep_alive = false;
	return HTTP_OK;
}
