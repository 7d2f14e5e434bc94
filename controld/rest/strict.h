/*
 * strict - is this HTTP/1.1 request beyond doubt? Bytes in, verdict out; no sockets, no memory of its own.
 *
 * evhttp forgives what proxies in front of us read otherwise (two lengths, bare LF, blanks before a colon, trailers that
 * become headers), and such doubt is how requests are smuggled. So every byte passes here first, and evhttp only gets
 * whole requests that have one meaning (RFC 9112, its SHOULD-be-lenient parts left out).
 *
 * Owner: a conn embeds it. One strict_begin() per request.
 */
#ifndef PORTWAY_CONTROLD_REST_STRICT_H
#define PORTWAY_CONTROLD_REST_STRICT_H

#include "common/base/err.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strict_line;

struct strict_limits {
	size_t head_max;    /* bytes of request line and headers */
	uint64_t body_max;  /* bytes of the body, without chunk framing */
	unsigned lines_max; /* headers */
};

enum strict_verdict {
	STRICT_MORE, /* all bytes used, the request goes on */
	STRICT_DONE, /* the request ends after *used bytes */
	STRICT_BAD,  /* s->code and s->reason say why; the connection cannot go on */
};

#define STRICT_NAME_MAX  20  /* the longest header name that matters, and a bit */
#define STRICT_VALUE_MAX 256 /* a Host value; longer is refused */

struct strict {
	const struct strict_limits *limits;
	int state;
	size_t head_len;   /* so far; whole when head_done */
	uint64_t body_len; /* so far, without chunk framing */
	uint64_t left;     /* of the body or the chunk */
	unsigned lines;
	unsigned digits; /* of the chunk size being read */
	bool head_done;  /* the body, if any, follows */
	bool http10;
	bool expect; /* the client waits for "100 Continue" */
	bool seen_host, seen_length, seen_chunked;
	size_t name_len, value_len;
	char name[STRICT_NAME_MAX];       /* of the current line, lower case, cut */
	const struct strict_line *line;   /* what is asked of the current line; NULL: nothing */
	char value[STRICT_VALUE_MAX + 1]; /* of such a line */
	enum err_code code;
	const char *reason;
};

void strict_begin(struct strict *s, const struct strict_limits *limits);
enum strict_verdict strict_feed(struct strict *s, const uint8_t *p, size_t n, size_t *used);
/* host[:port] as a Host header may name us: a DNS name, an IPv4 or a bracketed IPv6 literal. */
bool strict_host_ok(const char *host);

#endif
