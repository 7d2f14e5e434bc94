/*
 * template - a text with places that a request fills in: "https://{host}{path}{query}".
 *
 *	{host} {path} {query} {method} {scheme} {client_ip} {route} {status} {reason}
 *	{request_id} {trace_id} {header:Name} {cookie:name} {answer:Name}        {{ is a brace
 *
 * {query} has its '?', {header:} and {cookie:} are of the request, {answer:} of its answer; what is not there is "". What fills a place comes from a head that was read strictly, so it has no
 * control characters; what makes a head of it checks it again.
 *
 * Owner: a route's filters; immutable, the text is borrowed from the configuration.
 */
#ifndef PORTWAY_RELAYD_FILTER_TEMPLATE_H
#define PORTWAY_RELAYD_FILTER_TEMPLATE_H

#include "relayd/filter/text.h"
#include "relayd/filter/view.h"

#define TEMPLATE_PARTS_MAX 16

struct err;

struct template_part {
	uint8_t what;         /* private: which place; 0: text */
	struct http_span arg; /* the text, or the name behind a colon */
};

struct template
{
	uint8_t n;
	struct template_part parts[TEMPLATE_PARTS_MAX];
};

/* 0, or -1 and *e: a place that there is not, a brace that is not closed, too many parts. text is borrowed. */
int template_read(struct template *t, const char *text, struct err *e) MUST_CHECK;
/* Filled in, in e's text; e->failed if it does not fit. */
struct http_span template_fill(const struct template *t, const struct filter_view *v, struct edit *e);
/* What a request says, whose bytes are gone when there is an answer (kept.h): {header:}, {cookie:}, {host}, ... */
bool template_part_is_asked(const struct template_part *p);
bool template_part_is_field(const struct template_part *p); /* {header:} */
struct http_span template_part_asked(
	const struct template_part *p, const struct filter_view *v); /* its head is there */
/* Only text: the same for every request. */
bool template_is_plain(const struct template *t);

#endif
