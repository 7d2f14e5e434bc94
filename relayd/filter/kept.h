/*
 * kept - what rules about an answer want to know of its request ({header:X}, {cookie:x}, {path}, ...), kept as the request's head is gone by then.
 *
 * Which they are is known of a route (kept_names); of each of its requests the values are copied once, whatever their length: a head is
 * bounded, so they are. A route whose rules want none costs nothing.
 *
 * Owner: names: a route's filters, immutable; values: a request's state.
 */
#ifndef PORTWAY_RELAYD_FILTER_KEPT_H
#define PORTWAY_RELAYD_FILTER_KEPT_H

#include "relayd/filter/template.h"

struct header_rules;

struct kept_names {
	struct template_part *parts; /* places; their names lie in the configuration */
	unsigned n;
};

/* Of all the rules. -1: out of memory. */
int kept_names_init(struct kept_names *k, const struct header_rules *rules) MUST_CHECK;
void kept_names_fini(struct kept_names *k);

struct kept;
/* NULL: nothing is wanted, or no memory, then the places are empty. */
struct kept *kept_take(const struct kept_names *names, const struct filter_view *v);
void kept_free(struct kept *k);
/* "" for what is not there; k may be NULL. */
struct http_span kept_value(const struct kept *k, const struct template_part *place);

#endif
