/*
 * http_head - the start line and the fields of one message, as offsets into the bytes that they came in.
 *
 * Owner:  the caller; filled by a reader (http_reader.h). No heap. While a head is incomplete it belongs to its bytes: keep
 *         both or neither. Spans are good as long as the bytes stay where they were when the event came.
 * Thread: one at a time.
 */
#ifndef PORTWAY_HTTP_HTTP_HEAD_H
#define PORTWAY_HTTP_HTTP_HEAD_H

#include "common/http/http.h"
#include "common/http/http_names.h"

#define HTTP_FIELD_HOP 1 /* for the next neighbour only: a HTTP_NAME_HOP, or named by Connection */

struct http_field {
	uint16_t name; /* offset; its line begins here, too */
	uint16_t value;
	uint16_t value_len; /* without white space around */
	uint8_t name_len;
	uint8_t id;    /* enum http_name */
	uint8_t flags; /* HTTP_FIELD_* */
};

enum http_form { HTTP_ORIGIN, HTTP_ABSOLUTE, HTTP_AUTHORITY, HTTP_ASTERISK };

/* How the end of the content is found (RFC 9112 section 6.3). */
enum http_body { HTTP_NO_BODY, HTTP_BY_LENGTH, HTTP_CHUNKED, HTTP_UNTIL_CLOSE };

struct http_part { /* of the head's bytes */
	uint16_t at;
	uint16_t n;
};

struct http_head {
	const uint8_t *base;
	uint16_t pos;    /* read so far; of a whole head its length */
	uint16_t n;      /* fields */
	uint8_t version; /* 10 or 11 */
	/* of a request */
	uint8_t method;                                        /* enum http_method */
	uint8_t form;                                          /* enum http_form */
	uint16_t port;                                         /* of the host; 0: none was given */
	struct http_part method_at, target, path, query, host; /* path n == 0: "/"; query with its '?' */
	/* of a response */
	uint16_t status; /* 0 in a request */
	struct http_part reason;
	/* of both, when it is whole */
	uint8_t body;    /* enum http_body */
	uint64_t length; /* HTTP_BY_LENGTH; also what a response to HEAD says */
	bool has_length;
	bool keep_alive;     /* the sender would keep the connection */
	bool upgrade;        /* request: asks for another protocol, the fields say which */
	bool expects_100;    /* request: waits for 100 before its content */
	bool takes_trailers; /* request: TE: trailers */
	bool switches;       /* response: what follows is no HTTP any more */
	uint16_t dropped;    /* trailer fields that may not be there */
	struct http_field fields[HTTP_FIELDS_MAX];
};

static inline struct http_span http_head_part(const struct http_head *h, struct http_part part)
{
	return (struct http_span){ (const char *)h->base + part.at, part.n };
}

static inline struct http_span http_field_name(const struct http_head *h, const struct http_field *f)
{
	return (struct http_span){ (const char *)h->base + f->name, f->name_len };
}

static inline struct http_span http_field_value(const struct http_head *h, const struct http_field *f)
{
	return (struct http_span){ (const char *)h->base + f->value, f->value_len };
}

/* The path as it came, without query; "/" where an absolute target has none. */
struct http_span http_head_path(const struct http_head *h);
/* The first field with that name, or NULL. */
const struct http_field *http_head_find(const struct http_head *h, enum http_name id);
/* The same for names that have no number; name in lower case. */
const struct http_field *http_head_find_text(const struct http_head *h, const char *name);
/* From a line's begin to the next line's. */
struct http_span http_head_line(const struct http_head *h, uint16_t field);

/* ---- for http_reader.c ---- */

enum http_lines { HTTP_REQUEST_LINES, HTTP_RESPONSE_LINES, HTTP_TRAILER_LINES };

void http_head_begin(struct http_head *h, enum http_lines kind);
/* p: all bytes from the head's first on. 1: whole, h->pos long; 0: more bytes are needed; -1: *why. */
int http_head_lines(struct http_head *h, enum http_lines kind, const struct http_limits *limits, const uint8_t *p,
	size_t n, enum http_fault *why) MUST_CHECK;

#endif
