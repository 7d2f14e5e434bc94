/*
 * rewrite - another path prefix, another host: what the backend is asked for instead.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_FILTER_REWRITE_H
#define PORTWAY_RELAYD_FILTER_REWRITE_H

#include "relayd/filter/text.h"
#include "relayd/filter/view.h"

/* The path, with prefix replaced by `by`; it begins with one '/' in any case. The path is one that the prefix takes. */
void rewrite_path(struct edit *e, const struct filter_view *v, struct http_span prefix, struct http_span by);
void rewrite_host(struct edit *e, struct http_span host);

#endif
