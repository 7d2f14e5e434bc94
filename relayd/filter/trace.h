/*
 * trace - traceparent (W3C Trace Context): which trace a request belongs to. What a client brought is passed on if it is one; else it
 * is made.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_FILTER_TRACE_H
#define PORTWAY_RELAYD_FILTER_TRACE_H

#include "relayd/filter/text.h"
#include "relayd/filter/view.h"

#define TRACE_SIZE 56 /* "00-" 32 "-" 16 "-" 2, and NUL */

/* v->request_id and v->now_ns are what a new one is made of. */
void trace_take(char trace[TRACE_SIZE], const struct filter_view *v, struct edit *e);
/* A traceparent of version 00 as it stands in the standard, or of a later version that begins like one. */
bool trace_is(struct http_span s);

#endif
