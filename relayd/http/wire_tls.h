/*
 * wire_tls - a wire through TLS: the session stands on top of a wire that was open in clear, and takes its place.
 *
 * Idle, it holds the session and no buffers. Bytes that are decrypted and not yet read keep side.readable true, as a socket with bytes does.
 *
 * Owner: the wire, whose close() frees it. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_WIRE_TLS_H
#define PORTWAY_RELAYD_HTTP_WIRE_TLS_H

#include "common/crypto/tls_server.h"
#include "relayd/http/wire.h"

/* w is open in clear, nothing was read from it. -1: out of memory, and it is as it was. */
int wire_tls_accept(struct wire *w, struct worker *on, struct tls_ctx *c, const struct tls_accept *a) MUST_CHECK;
/* The other end: name is what the peer has to prove and is told; NULL: only its CA counts. */
int wire_tls_connect(struct wire *w, struct worker *on, struct tls_ctx *c, const char *name) MUST_CHECK;
/* 0 when it is over, and the wire can be used; WIRE_AGAIN; WIRE_FAILED, then wire_tls_reason() says why. */
int wire_tls_handshake(struct wire *w);
const char *wire_tls_reason(const struct wire *w);
/* The session of a wire through TLS; NULL: it is in clear. Borrowed. */
struct tls_session *wire_tls_session(const struct wire *w);

/* A socket's open wire passes to another owner, to whose io events come from now on. */
void wire_move(struct wire *to, struct wire *from, struct worker *on);

#endif
