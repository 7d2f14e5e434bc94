/*
 * view - what filters may know of a request and its answer. Borrowed spans; nothing here is changed by a filter.
 *
 * Owner: whoever runs the chain, on its stack.
 */
#ifndef PORTWAY_RELAYD_FILTER_VIEW_H
#define PORTWAY_RELAYD_FILTER_VIEW_H

#include "common/http/http_head.h"

struct addr;
struct kept;

enum filter_likes { LIKES_TEXT, LIKES_HTML, LIKES_JSON }; /* as the relay's own answers can be */

struct filter_view {
	const struct http_head *head;       /* of the request; NULL: its bytes are gone */
	const struct kept *kept;            /* then: what rules want of it (kept.h); NULL: nothing */
	struct http_span host;              /* asked for, without port; "" if there is none */
	struct http_span path;              /* in the spelling in which it was routed (route_path.h) */
	struct http_span query;             /* with its '?'; may be empty */
	const struct addr *client;          /* who is believed to ask */
	const char *route;                  /* id */
	bool tls;                           /* it came through TLS */
	struct http_span origin;            /* of the page that asks; n == 0: none */
	bool takes_gzip;                    /* the client, of an answer with content */
	uint8_t likes;                      /* enum filter_likes */
	uint64_t now_ns;                    /* monotonic */
	struct http_span request_id, trace; /* once they are there: X-Request-ID, traceparent */
	const struct http_head *answer;     /* NULL before there is one */
	unsigned status;                    /* of the answer; 0 before */
};

#endif
