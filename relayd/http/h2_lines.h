/*
 * h2_lines - heads between HTTP/2 and the lines of HTTP/1.1, in which the rest of the relay reads and writes them. One codec, and all that
 * is strict in it, reads every message there is.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_LINES_H
#define PORTWAY_RELAYD_HTTP_H2_LINES_H

#include "common/base/macros.h"
#include "common/http/http.h"
#include "relayd/http/block.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#define H2_LINES_MAX 192 /* fields of a head that is written */

/* Nothing of it ends a line. */
bool h2_lines_is_line(struct http_span s);
/* The same, and no blank is in it. */
bool h2_lines_is_word(struct http_span s);
static inline struct http_span h2_lines_span(const struct block *b)
{
	return b != NULL ? (struct http_span){ (const char *)b->bytes + b->at, block_waiting(b) }
	                 : (struct http_span){ "", 0 };
}
/* "name: value" CRLF. -1: out of memory. */
int h2_lines_put(struct blocks *bs, struct block **b, struct http_span name, struct http_span value) MUST_CHECK;
/*
 * Lines, up to an empty one or the end, as fields that lie in them; names become lower case there, and what is for one hop only is left out.
 * The number of fields, at most max.
 */
size_t h2_lines_fields(nghttp2_nv *to, size_t max, uint8_t *p, size_t n);

#endif
