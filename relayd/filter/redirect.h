/*
 * redirect - a route that sends its clients elsewhere.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_FILTER_REDIRECT_H
#define PORTWAY_RELAYD_FILTER_REDIRECT_H

#include "relayd/filter/template.h"

struct redirect {
	uint16_t status; /* 0: it does not */
	struct template to;
};

/* An answer with Location in e; e->failed if it would not be one. */
void redirect_answer(const struct redirect *r, const struct filter_view *v, struct edit *e);

#endif
