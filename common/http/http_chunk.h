/*
 * http_chunk - the chunked coding, decoded as it comes (RFC 9112 section 7.1): chunk by chunk up to the trailer section,
 * which is fields and read by http_head.
 *
 * Owner:  whoever embeds it. Nothing is kept but a few numbers: every byte given is used up.
 */
#ifndef PORTWAY_HTTP_HTTP_CHUNK_H
#define PORTWAY_HTTP_HTTP_CHUNK_H

#include "common/http/http.h"

enum http_chunk_event {
	HTTP_CHUNK_MORE, /* all used */
	HTTP_CHUNK_DATA, /* *data in the input */
	HTTP_CHUNK_LAST, /* the line of the last chunk has been read */
	HTTP_CHUNK_BAD,  /* *why */
};

struct http_chunk {
	uint64_t left; /* of this chunk's data; while its size is read, the size */
	uint16_t ext_left;
	uint8_t digits;
	uint8_t state;
};

void http_chunk_init(struct http_chunk *c, uint16_t ext_max);
/* *used: bytes of p that are done with, those of *data included. */
enum http_chunk_event http_chunk_next(struct http_chunk *c, const uint8_t *p, size_t n, size_t *used,
	struct http_span *data, enum http_fault *why) MUST_CHECK;

#endif
