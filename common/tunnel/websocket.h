/*
 * websocket - a link's bytes inside a WebSocket (RFC 6455), so that a web server or proxy carries them: bytes in, bytes out.
 *
 * First one HTTP request and its answer (websocket_shake()), then binary frames, whose borders mean nothing. Pings are
 * answered. What is inside is TLS of its own: nothing here protects anything.
 *
 * Owner:  the link's carrier. Thread: the link's.
 */
#ifndef PORTWAY_TUNNEL_WEBSOCKET_H
#define PORTWAY_TUNNEL_WEBSOCKET_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct websocket;

#define WEBSOCKET_HEAD_MAX 8192 /* of the request, or its answer */

/* host NULL: the server's side. Else what the request names: "host" or "host:port", and a path that begins with '/'. */
int websocket_new(struct websocket **out, const char *host, const char *path) MUST_CHECK;
void websocket_free(struct websocket *w); /* NULL is fine */

/* What has come; borrowed until all of it was used: by websocket_shake() while it answers 0, then by websocket_take(). */
void websocket_feed(struct websocket *w, const uint8_t *p, size_t n);
/* Appends to out what is to be sent. 1: frames may pass; 0: more is needed; -1: websocket_reason(), after out was sent. */
int websocket_shake(struct websocket *w, struct buf *out) MUST_CHECK;
/* > 0 bytes of what the peer put in; 0: more is needed; -1: the end, or a fault. Answers to pings are appended to out. */
ssize_t websocket_take(struct websocket *w, uint8_t *p, size_t n, struct buf *out) MUST_CHECK;
/* One frame with these bytes, appended to out. */
void websocket_put(struct websocket *w, const uint8_t *p, size_t n, struct buf *out);
const char *websocket_reason(const struct websocket *w);
/* Who asked, in the words of whoever is in front (the last of X-Forwarded-For, which that one has added); "": nobody said. */
const char *websocket_forwarded(const struct websocket *w);

#endif
