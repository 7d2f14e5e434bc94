/*
 * filter - where what is done to messages comes in: one table of functions for the whole chain (relayd/filter), in its fixed order.
 *
 *   begin() -> request() -> [ the request goes to a backend ] -> response() -> content()... -> end()
 *
 * begin() is told each request that a route takes, also one that is refused before request() is asked. Of one that no route takes it is
 * told with `route` NULL, if its head could be read, and end() in any case; nothing else.
 * request() may answer itself (edit.status). response() also sees answers of the relay's own, with head NULL, so error pages are made there.
 * content() is called only after response() has set edit.recoded. begin() says which of the rest it is for: response() is told an answer of a
 * backend only if it FILTER_SEES_ANSWER, end() comes, once, if it FILTER_SEES_END; so a request of which nobody wants to know costs nothing.
 *
 * Thread: route_new(), route_free(): control thread; the others: a worker.
 */
#ifndef PORTWAY_RELAYD_HTTP_FILTER_H
#define PORTWAY_RELAYD_HTTP_FILTER_H

#include "common/http/http_head.h"
#include "relayd/http/edit.h"

#include <stdint.h>

struct addr;
struct block;
struct blocks;
struct err;
struct route_conf;
struct worker;

/* What a filter may know of a request; all borrowed for the call, but for what it copies. */
struct filter_request {
	void *arg; /* the table's */
	struct worker *worker;
	const struct http_head *head; /* of the request: in begin() and request() alone, then its bytes are gone */
	const struct addr *client;    /* who sent it, behind the proxies that are trusted */
	const char *host;             /* in the spelling of host_name_take(); "": an address */
	struct http_span path;        /* in the spelling of route_path_take() */
	struct http_span request_id;  /* as it goes to the backend */
	bool tls;
	const char *why;  /* of an answer of the relay's own; "": nothing to say */
	const char *told; /* the same, if no backend answers, for whoever asked: nothing of the inside; else "" */
	void *route;      /* what route_new() made; NULL: no route takes it */
	void *state;      /* state_size bytes of this request, zeroed before request() */
};

/* How it went; complete when end() is called. */
struct filter_outcome {
	uint16_t status; /* 0: the client was gone before there was any */
	bool aborted;    /* the answer is not whole */
	bool own;        /* the relay's own answer */
	unsigned attempts;
	const char *pool, *backend; /* ids; "": none */
	const char *upstream;       /* the backend's host; "": none */
	uint16_t upstream_port;
	const char *protocol;         /* of the client: "HTTP/1.1", "HTTP/2" */
	const char *tls_version;      /* of the client; NULL: in clear */
	const char *why;              /* of an own answer, or an abort; "": nothing was wrong */
	const char *reason;           /* if no backend answered it whole: its word in trouble.h; else "" */
	uint64_t bytes_in, bytes_out; /* of content and heads */
	uint64_t took_us, backend_us; /* in all; until the backend's head, 0: there was none */
	uint64_t queue_us;            /* waited for a place at a backend; 0: it did not */
	uint64_t connect_us;          /* until the last attempt had a connection; UINT64_MAX: it had none */
};

struct http_filter_route {
	const char *id;
	const struct route_conf *conf; /* both borrowed as long as what is made of them */
	const void *before;
};

enum filter_verdict { FILTER_PASS, FILTER_ANSWER };
enum { FILTER_SEES_ANSWER = 1, FILTER_SEES_END = 2 }; /* bits of what begin() answers */

struct http_filters {
	void *arg;
	size_t state_size;
	/* *out NULL: no filter looks at this route. before: of the route as it was, or NULL: what it has counted goes on. */
	int (*route_new)(void *arg, void **out, const struct http_filter_route *route, struct err *e);
	void (*route_free)(void *route);
	unsigned (*begin)(const struct filter_request *r);
	enum filter_verdict (*request)(const struct filter_request *r, struct edit *e);
	/* status and head of what goes to the client; head NULL: an answer of the relay's own, whose body is e->body. */
	void (*response)(const struct filter_request *r, unsigned status, const struct http_head *head, struct edit *e);
	/* Content in, content out (appended to *out); last: no more comes. -1: it failed, and the answer is aborted. */
	int (*content)(
		const struct filter_request *r, struct http_span in, bool last, struct blocks *bs, struct block **out);
	void (*end)(const struct filter_request *r, const struct filter_outcome *how);
};

#endif
