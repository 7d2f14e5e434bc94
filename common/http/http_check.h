/*
 * http_check - a question to an HTTP server whether it works, and what its answer says. Bytes out, bytes in.
 *
 * The answer is read by the strict reader: a server whose answers a relay would refuse is not up. It is over with the final
 * head, or, when a text has to be in the content, with that text or the end of what is looked at.
 *
 * Owner:  whoever asks; http_check_fini() at any time. No socket, no clock.
 * Limit:  HTTP_CHECK_HEAD bytes of a head, HTTP_CHECK_BODY of content.
 */
#ifndef PORTWAY_HTTP_HTTP_CHECK_H
#define PORTWAY_HTTP_HTTP_CHECK_H

#include "common/base/buf.h"
#include "common/http/http_reader.h"

#define HTTP_CHECK_HEAD (16 * 1024)
#define HTTP_CHECK_BODY (64 * 1024)
#define HTTP_CHECK_TEXT 256 /* the longest text that is looked for, and NUL */

struct http_check_conf { /* borrowed as long as it is asked */
	const char *method, *path;
	const char *host; /* for the Host field; an IPv6 literal without brackets */
	uint16_t port;    /* 0: none in the Host field */
	const char *agent;
	const struct http_check_status {
		uint16_t first, last;
	} * statuses;        /* expected ones */
	uint32_t n_statuses; /* 0: 200 to 399 */
	const char *text;    /* has to be in the content; "": it is not looked at */
};

enum http_check_says { HTTP_CHECK_MORE, HTTP_CHECK_GOOD, HTTP_CHECK_BAD };

struct http_check {
	const struct http_check_conf *conf;
	struct http_reader reader;
	struct http_head head;
	struct buf in;    /* of a head that is not whole */
	size_t looked_at; /* of the content */
	size_t n_tail;    /* its last bytes, in which the text may have begun */
	char tail[HTTP_CHECK_TEXT];
	unsigned status; /* 0: no head yet */
	char why[128];   /* it is bad: a sentence without bytes of the server */
};

void http_check_init(struct http_check *c, const struct http_check_conf *conf);
void http_check_fini(struct http_check *c);
/* The request, appended. */
void http_check_request(const struct http_check *c, struct buf *out);
enum http_check_says http_check_feed(struct http_check *c, const void *p, size_t n) MUST_CHECK;
/* The connection ended. */
enum http_check_says http_check_eof(struct http_check *c) MUST_CHECK;

#endif
