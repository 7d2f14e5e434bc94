/*
 * h2_back - a connection to a backend that speaks HTTP/2: the same as one of HTTP/1.1 (h1_back.h) but for what passes on it, for which it
 * has an h2_out (h2_out.h).
 *
 * Owner, thread, end: as h1_back.h says.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_BACK_H
#define PORTWAY_RELAYD_HTTP_H2_BACK_H

#include "relayd/http/h1_back.h"

extern const struct back_ops h2_back_ops;

/* It is connected: the first request goes. */
void h2_back_begin(struct h1_back *b);
/* The request of its exchange goes out. */
void h2_back_ask(struct h1_back *b);
/* One read of the wire, and what comes of it. */
void h2_back_read(struct h1_back *b);
/* Between two requests: pings and the like; it is closed when it can serve no more. */
void h2_back_on_idle_event(struct h1_back *b);
/* What waits goes as far as the wire takes it. */
void h2_back_write(struct h1_back *b);

#endif
