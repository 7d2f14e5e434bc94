/*
 * http_writer - heads and chunk framing, written into the caller's buffer with a sticky failure.
 *
 * Nothing that is written can end a line early: names and values are checked, and a bad one fails all of it. Straight down,
 * then one check: http_writer_done().
 *
 * Owner: whoever declares it. No heap.
 */
#ifndef PORTWAY_HTTP_HTTP_WRITER_H
#define PORTWAY_HTTP_HTTP_WRITER_H

#include "common/http/http_head.h"

struct http_writer {
	uint8_t *p;
	size_t n, cap;
	bool failed; /* no room, or something that may not stand in a head */
};

void http_writer_init(struct http_writer *w, void *dst, size_t cap);
/* "GET /path?query HTTP/1.1"; always origin-form, or '*'. query with its '?', may be empty. */
void http_writer_request(struct http_writer *w, struct http_span method, struct http_span path, struct http_span query);
/* "CONNECT host:port HTTP/1.1". */
void http_writer_connect(struct http_writer *w, struct http_span authority);
/* reason NULL: the usual one. */
void http_writer_status(struct http_writer *w, unsigned status, const char *reason);
void http_writer_status_as(struct http_writer *w, unsigned status, struct http_span reason);
void http_writer_field(struct http_writer *w, const char *name, struct http_span value);
/* A field that has a number; its value in n parts, one behind the other. */
void http_writer_known(struct http_writer *w, enum http_name name, const struct http_span *parts, size_t n);
void http_writer_known_u64(struct http_writer *w, enum http_name name, uint64_t value);
void http_writer_field_str(struct http_writer *w, const char *name, const char *value);
void http_writer_field_u64(struct http_writer *w, const char *name, uint64_t value);

/* A set of known names: HTTP_SET(HOST) | HTTP_SET(VIA). */
#define HTTP_SET(id) (UINT64_C(1) << HTTP_NAME_##id)
/*
 * The fields of a head, or of a trailer section, as they came: without those for one hop only (HTTP_FIELD_HOP), those of
 * `without`, and what says the length of the content, which http_writer_framing() writes.
 */
void http_writer_fields(struct http_writer *w, const struct http_head *h, uint64_t without);
/* One of them, unless it is one of those. */
void http_writer_line(struct http_writer *w, const struct http_head *h, uint16_t field, uint64_t without);
/*
 * Content-Length or Transfer-Encoding, for content that is passed on as it comes in. What came until the end of its
 * connection goes out chunked, or, to HTTP/1.0, until the end again (*until_close true then).
 */
void http_writer_framing(struct http_writer *w, const struct http_head *h, bool to_http10, bool *until_close);
/*
 * For whole lines that are sound because of what they are made of: where they go, if n bytes have room there, else NULL; then where they end.
 */
uint8_t *http_writer_room(struct http_writer *w, size_t n) MUST_CHECK;
void http_writer_wrote(struct http_writer *w, const uint8_t *end);
/* The empty line. Length of all, or -1. */
int http_writer_done(struct http_writer *w) MUST_CHECK;

/* "1f40\r\n" in front of a chunk of n > 0 bytes; HTTP_CHUNK_CRLF behind it; HTTP_CHUNK_LAST_LINE, trailers and CRLF end it. */
#define HTTP_CHUNK_HEAD_MAX  18
#define HTTP_CHUNK_CRLF      "\r\n"
#define HTTP_CHUNK_LAST_LINE "0\r\n"
size_t http_writer_chunk_head(uint8_t dst[HTTP_CHUNK_HEAD_MAX], uint64_t n);

const char *http_writer_reason(unsigned status); /* "" for one that has none */

#endif
