/*
 * http_reader - one direction of an HTTP/1.1 connection: bytes in, events out. Requests and responses each have one.
 *
 * Owner:  whoever embeds it (one session side). No heap, no clock; 72 bytes.
 * Use:    give it the bytes that are not used yet, from the front, and drop `used` of them after each event:
 *
 *	while ((event = http_reader_next(&r, &head, p, n, &piece)) != HTTP_MORE) {
 *		... act on event; HTTP_FAULT and HTTP_HOLD end the loop ...
 *		p += piece.used; n -= piece.used;
 *	}
 *	p += piece.used; n -= piece.used;        (chunk framing; keep the rest in front of what comes next)
 *
 * The same bytes make the same events however they were cut, but for the cuts of HTTP_DATA. A head is given when it is
 * whole; it and its spans are good until the bytes go. With HTTP_MORE and n > 0 left the struct http_head belongs to
 * these bytes: give the same one again (it may be on the stack, or shared by many connections, otherwise).
 */
#ifndef PORTWAY_HTTP_HTTP_READER_H
#define PORTWAY_HTTP_HTTP_READER_H

#include "common/http/http_chunk.h"
#include "common/http/http_framing.h"
#include "common/http/http_head.h"

enum http_event {
	HTTP_MORE,     /* nothing to tell until more bytes come */
	HTTP_HEAD_IN,  /* head is whole: a request, an interim or a final response */
	HTTP_DATA,     /* piece.data: content, decoded, inside the input */
	HTTP_TRAILERS, /* head.fields are the trailer fields that may pass; the head's own are gone */
	HTTP_END,      /* of the message, or of an interim response */
	HTTP_HOLD,     /* no HTTP until http_reader_resume(): see there */
	HTTP_FAULT,    /* piece.fault; for good */
};

struct http_piece {
	size_t used;
	struct http_span data;
	enum http_fault fault;
};

struct http_reader {
	const struct http_limits *limits; /* borrowed */
	uint64_t left;                    /* of a body by length, while it is read */
	uint64_t body_max;                /* content that is still allowed */
	struct http_chunk chunk;
	struct http_asked asked;
	uint8_t state;
	uint8_t fault;
	bool response;
	bool began; /* bytes of the next message wait for more */
	bool hold;  /* after this message */
	bool interim;
	uint8_t blank;
	uint16_t interims;
};

void http_reader_init_request(struct http_reader *r, const struct http_limits *limits);
/* Reads nothing until http_reader_ask(). */
void http_reader_init_response(struct http_reader *r, const struct http_limits *limits);
/* A request was sent: its response is read next, to its HTTP_END. */
void http_reader_ask(struct http_reader *r, const struct http_asked *asked);
/* After HTTP_HEAD_IN: more content than this is a fault. Without it, until the next head, there is no limit. */
void http_reader_limit_body(struct http_reader *r, uint64_t max);

/* How much content comes next that is neither coded nor too long: the caller may pass it on without having it read. 0: none. */
static inline uint64_t http_reader_plain(const struct http_reader *r)
{
	return r->left <= r->body_max ? r->left : 0;
}
/* n bytes of that went by, not more. */
void http_reader_pass(struct http_reader *r, uint64_t n);

enum http_event http_reader_next(
	struct http_reader *r, struct http_head *h, const uint8_t *p, size_t n, struct http_piece *piece) MUST_CHECK;
/*
 * The bytes have ended. HTTP_MORE: between two messages; HTTP_END: the content was to end like this; HTTP_FAULT:
 * within a message.
 */
enum http_event http_reader_eof(struct http_reader *r, struct http_piece *piece) MUST_CHECK;
/*
 * A request with CONNECT or Upgrade is followed by HTTP only if its response says so: its reader gives HTTP_HOLD then.
 * Call this if the protocol stays; if not, drop the reader. A response's reader holds for good when the protocol changes.
 */
void http_reader_resume(struct http_reader *r);

#endif
