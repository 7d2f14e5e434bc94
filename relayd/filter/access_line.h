/*
 * access_line - one request as a line of JSON.
 *
 *	{"time":"2026-11-28T10:00:00.123Z","request_id":"...","trace_id":"...","client":"192.0.2.1","client_port":4711,
 *	 "method":"GET","scheme":"https","host":"a.example","path":"/x","query":"y=1","protocol":"HTTP/2","tls":"TLSv1.3",
 *	 "route":"rte_...","pool":"pol_...","backend":"bck_...","upstream":"10.0.0.1:80","status":200,"upstream_status":200,
 *	 "bytes_in":120,"bytes_out":5120,"duration_ms":12.345,"queue_ms":0.000,"connect_ms":0.210,"first_byte_ms":11.200,"attempts":1,
 *	 "referer":"...","user_agent":"...","reason":"down","error":"..."}
 *
 * What is not known is left out. Texts of a client are cut, and what is no UTF-8 becomes '?'. Cookies, credentials and bodies are
 * never in it.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_FILTER_ACCESS_LINE_H
#define PORTWAY_RELAYD_FILTER_ACCESS_LINE_H

#include "common/http/http.h"

struct addr;
struct buf;

#define ACCESS_TEXT_MAX 1024 /* bytes of each of a client's texts */

struct access_line {
	int64_t wall_ms;                /* when the request began */
	const char *request_id, *trace; /* X-Request-ID, traceparent; NULL: none */
	const struct addr *client;
	struct http_span method, host, path, query, referer, user_agent; /* p NULL: none */
	bool tls;
	const char *protocol;                          /* "HTTP/1.1", "HTTP/2" */
	const char *tls_version;                       /* NULL: none, as of the following */
	const char *route, *pool, *backend, *upstream; /* ids; host:port */
	unsigned status, upstream_status;              /* 0: none */
	uint64_t bytes_in, bytes_out;                  /* heads and contents, as the client sent and got them */
	/* In all; in wait for a place; for a connection, with the last attempt; until the backend's head. UINT64_MAX: it did not come to that */
	uint64_t duration_ns, queue_ns, connect_ns, first_byte_ns;
	unsigned attempts;
	bool aborted;       /* the answer is not whole */
	const char *reason; /* a word, if no backend answered it whole (relayd/http/trouble.h) */
	const char *error;  /* why it did not go well, a word of ours; NULL: it did */
};

/* Appends it, with its end of line. */
void access_line_put(struct buf *b, const struct access_line *l);

#endif
