/*
 * error_page - the content of answers that the relay gives by itself: the route's own page for that status, or a short one in the form
 * that the client asks for (HTML, JSON, text).
 *
 * In a page of the route {status}, {reason} and {request_id} are put in; other braces stay what they are.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_FILTER_ERROR_PAGE_H
#define PORTWAY_RELAYD_FILTER_ERROR_PAGE_H

#include "relayd/filter/text.h"
#include "relayd/filter/view.h"

struct route_page;

/* What a request's Accept would rather have. */
enum filter_likes error_page_likes(const struct http_head *asked);
/* Fills e->body for v->status, and says its type. why: a sentence of ours without bytes of the client; may be "". */
void error_page_fill(
	const struct route_page *pages, unsigned n, const struct filter_view *v, const char *why, struct edit *e);

#endif
