/*
 * gzip - answers that are made smaller on their way, piece by piece.
 *
 * Only what the client takes and what gets smaller: text and what is like it, from some size on, whole (no ranges), not coded
 * already, and never with no-transform. What is compressed has no length that is known, and another ETag than the original:
 * a strong one becomes weak.
 *
 * Owner:  a request, from gzip_open() to gzip_free(). Memory: 70 KiB while it goes on; a worker has a limit of them,
 *         beyond which answers go out as they are.
 */
#ifndef PORTWAY_RELAYD_FILTER_GZIP_H
#define PORTWAY_RELAYD_FILTER_GZIP_H

#include "relayd/filter/text.h"
#include "relayd/filter/view.h"
#include "relayd/http/block.h"

#define GZIP_STREAMS_MAX 256 /* of a worker */

struct gzip;
struct route_gzip;

/*
 * Looks at v->takes_gzip and the answer (v->answer), and changes the head for it. False: it goes out as it is (the head may have got a Vary
 * all the same, so that caches keep both).
 */
bool gzip_wanted(const struct route_gzip *conf, const struct filter_view *v, struct edit *e);
/* Whether the answer to that request may be compressed. */
bool gzip_taken(const struct http_head *asked);
/* Whether an Accept-Encoding takes gzip (RFC 9110 section 12.5.3). */
bool gzip_accepted(struct http_span accept);
/* Of a Content-Type, without its parameters; types as in the configuration, "" for the usual ones. */
bool gzip_is_type(const char *types, struct http_span type);

/* NULL: no memory. */
struct gzip *gzip_open(unsigned level) MUST_CHECK;
void gzip_free(struct gzip *g);                     /* NULL is fine */
enum gzip_how { GZIP_MORE, GZIP_FLUSH, GZIP_LAST }; /* FLUSH: nothing else is there now, so what was taken goes out */
/* Appends to *out. -1: no memory, or zlib failed; the answer cannot go on. */
int gzip_put(struct gzip *g, struct http_span in, enum gzip_how how, struct blocks *bs, struct block **out) MUST_CHECK;

#endif
