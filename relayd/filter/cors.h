/*
 * cors - which other sites' pages may read a route's answers (the Fetch standard, section 3.2).
 *
 * A preflight is answered here and never reaches a backend; an answer gets the fields that the route says, instead of those of
 * the backend.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_FILTER_CORS_H
#define PORTWAY_RELAYD_FILTER_CORS_H

#include "relayd/filter/text.h"
#include "relayd/filter/view.h"

struct route_cors;

/* True: it is a preflight, and e is its answer (without permission if the origin has none). */
bool cors_preflight(const struct route_cors *c, const struct filter_view *v, struct edit *e);
void cors_answer(const struct route_cors *c, const struct filter_view *v, struct edit *e);

#endif
