/*
 * h2_back - a connection to a backend that speaks HTTP/2: the same as one of HTTP/1.1 (h1_back.h), but that many requests share it, each
 * with a back of its own (h2_out.h). The connection's own back has no exchange.
 *
 *   NAME --> DIAL --> BUSY <--> IDLE        BUSY: it has requests. As long as it has room for more, it is in the seat's `shared`
 *
 * A connection that begins with a PROXY header is its client's alone, for one request.
 *
 * Owner, thread, end: as h1_back.h says.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_BACK_H
#define PORTWAY_RELAYD_HTTP_H2_BACK_H

#include "relayd/http/h1_back.h"

struct h2_call;

/* A place on a connection that has room, or a new one. NULL: no memory or descriptor. */
struct back *h2_back_start(struct http_desk *d, struct backend *to, struct exchange *x);
/* Whose client a PROXY header names: of the first request; NULL: it is gone. */
const struct exchange *h2_back_first(const struct h1_back *b);
/* It is connected: the requests go. */
void h2_back_begin(struct h1_back *b);
void h2_back_on_event(struct h1_back *b);
void h2_back_on_task(struct h1_back *b);
/* The backend has not said what it takes. */
void h2_back_on_due(struct h1_back *b);
/* The connection is lost: all its requests are told. */
void h2_back_tell_failure(struct h1_back *b);
/* It is closed: what it has is let go of. */
void h2_back_end(struct h1_back *b);

/* ---- for its requests (h2_call.c, h2_out.c) ---- */
void h2_back_go(struct h1_back *b, struct h2_call *c);
/* At the end of the round what waits is sent, and told. */
void h2_back_kick(struct h1_back *b);
/* One request fewer. */
void h2_back_on_released(struct h1_back *b);
/* The backend takes another number of them, or no more. */
void h2_back_on_limits(struct h1_back *b);

#endif
