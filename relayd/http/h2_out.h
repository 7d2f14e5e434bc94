/*
 * h2_out - HTTP/2 (RFC 9113) on a connection to a backend: what takes the place of the codec of HTTP/1.1 in a back (h1_back.h).
 *
 * A connection has one request at a time, as it would in HTTP/1.1, and is kept for the next one: backpressure is then that of the
 * connection, and a backend is loaded as the balancer means it. Trailers pass both ways, as gRPC needs them.
 *
 *   request    head (as HTTP/1.1 bytes), content -> h2_out -> bytes for the outbox
 *   answer     bytes of the wire -> h2_out -> exchange_on_head(), exchange_on_content(), exchange_on_end()
 *
 * Owner: the back. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_OUT_H
#define PORTWAY_RELAYD_HTTP_H2_OUT_H

#include "common/base/macros.h"
#include "common/http/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct back;
struct h2_out;
struct http_desk;
struct http_head;
struct outbox;
struct wire;

/* Scheme: "https" or "http". -1: out of memory. */
int h2_out_new(struct h2_out **out, struct http_desk *d, struct back *b, bool tls) MUST_CHECK;
void h2_out_free(struct h2_out *o); /* NULL is fine; not within h2_out_read() */

/* The request of the back's exchange, whose head is whole. content: some follows. -1: it cannot be sent so. */
int h2_out_request(struct h2_out *o, struct http_span head, bool content) MUST_CHECK;
void h2_out_content(struct h2_out *o, struct http_span p);
void h2_out_content_end(struct h2_out *o, const struct http_head *trailers);
bool h2_out_is_full(const struct h2_out *o);
/* The request is not wanted any more. */
void h2_out_reset(struct h2_out *o);

enum h2_out_read { H2_OUT_GOES_ON, H2_OUT_ANSWERED, H2_OUT_RESET, H2_OUT_BAD };
/* Bytes that came; calls exchange_on_*(), which may let go of the back, but not of this. */
enum h2_out_read h2_out_read(struct h2_out *o, const uint8_t *p, size_t n) MUST_CHECK;
/* What waits goes into the outbox, until that is full. */
void h2_out_write(struct h2_out *o, struct outbox *out, struct wire *w);
/* The answer to the last request came whole. */
bool h2_out_is_answered(const struct h2_out *o);
/* Another request may follow. */
bool h2_out_keeps(const struct h2_out *o);

#endif
