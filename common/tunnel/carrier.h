/*
 * carrier - what carries a link where only web traffic passes: a WebSocket, itself inside TLS with a web server or not.
 *
 * The link's own TLS is inside and the same as always. So nothing that a web server, a proxy or whoever breaks the outer TLS
 * open can see or do is more than what anybody on the way of a bare link can; the outer certificate is not checked.
 *
 * Owner: tunnel_link. Thread: the link's. Bytes for the socket are appended to `wire`.
 */
#ifndef PORTWAY_TUNNEL_CARRIER_H
#define PORTWAY_TUNNEL_CARRIER_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct carrier;
struct err;
struct tls_ctx;

struct carrier_conf {
	const char *host; /* for the request; NULL: this side accepted the connection */
	const char *path;
	struct tls_ctx *outer;                         /* NULL: none */
	ssize_t (*recv)(void *arg, void *p, size_t n); /* from the socket, as tls_io.recv */
	void *arg;
};

int carrier_new(struct carrier **out, const struct carrier_conf *conf, struct err *e) MUST_CHECK;
void carrier_free(struct carrier *c); /* NULL is fine */
/* 0: bytes of the link may pass; or TLS_AGAIN, TLS_CLOSED, TLS_FAILED. Again with every event until it is 0. */
int carrier_open(struct carrier *c, struct buf *wire) MUST_CHECK;
/* > 0, or a TLS_ code. */
ssize_t carrier_recv(struct carrier *c, void *p, size_t n, struct buf *wire) MUST_CHECK;
int carrier_put(struct carrier *c, const uint8_t *p, size_t n, struct buf *wire) MUST_CHECK;
/* Why the last call answered TLS_CLOSED or TLS_FAILED, if it was not the socket. */
const char *carrier_reason(const struct carrier *c);
/* As websocket_forwarded(). */
const char *carrier_forwarded(const struct carrier *c);

#endif
