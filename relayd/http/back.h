/*
 * back - the backend's side of an exchange: a connection to a backend, or a stream of one, that has one request at a time.
 *
 * A back is started for an exchange; go() makes it send the request's head as soon as it is connected; then it calls exchange_on_room(), and what
 * the backend answers is told by the calls below. It lets go of the exchange at back_release(), or after exchange_on_failed().
 *
 * Owner: the desk; a back lives on after an exchange if its connection can serve another one. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_BACK_H
#define PORTWAY_RELAYD_HTTP_BACK_H

#include "common/http/http_framing.h"
#include "relayd/site/backend.h"

struct back;
struct exchange;
struct http_desk;
struct conn_info;
struct pipe;

enum back_failure {
	BACK_NO_CONNECTION, /* unreachable, for another reason than the following */
	BACK_UNRESOLVED,    /* its name says nothing, or not in time */
	BACK_NOT_LISTENING, /* it refused the connection */
	BACK_CONNECT_LATE,  /* no connection in time */
	BACK_NO_TLS,        /* the handshake failed, or did not end in time */
	BACK_NO_AGENT,      /* of its client none is here */
	BACK_AGENT_DOWN,    /* some are, and it works at none of them */
	BACK_AGENT_SHUT,    /* its client's config does not let the port through */
	BACK_AGENT_FAILED,  /* the agents that were asked did not reach it */
	BACK_FORBIDDEN,     /* no address of it may be dialled */
	BACK_CLIENT_FULL,   /* its client has as many connections as it may have */
	BACK_REFUSED,       /* the backend has not looked at it, and will not on this connection */
	BACK_RESET,         /* ended before a whole answer */
	BACK_TIMED_OUT,     /* did not begin to answer */
	BACK_BAD,           /* its answer breaks the rules */
	BACK_NO_WEBSOCKET,  /* it takes none */
	BACK_RESOURCE,      /* no memory or descriptor here */
};

struct back_ops {
	void (*go)(struct back *b); /* once, when the exchange knows it */
	void (*content)(struct back *b, struct http_span p);
	void (*content_end)(struct back *b, const struct http_head *trailers); /* NULL: none */
	bool (*full)(const struct back *b);
	void (*resume)(struct back *b);              /* the client has room again; it reads later, not now */
	void (*flush)(struct back *b);               /* what was given in this turn may go */
	void (*release)(struct back *b, bool whole); /* the exchange ends; whole: request and answer both are */
};

struct back {
	const struct back_ops *ops;
	struct exchange *x; /* NULL: idle, or ending */
	struct backend *backend;
	bool reused; /* it has served another request before */
};

/* One that waits, or a new one. NULL: no memory or descriptor. Failures are told later, never within this or go(). */
struct back *back_start(struct http_desk *d, struct backend *backend, struct exchange *x);
/* A new one in any case, for an exchange without a request (exchange_has_request()): when it is connected that is the end of it. */
struct back *back_start_new(struct http_desk *d, struct backend *backend, struct exchange *x);

/* ---- what a back calls (exchange.c) ---------------------------------------------------------------------------------- */
struct exchange_sending {
	struct http_span head;   /* the request's, as HTTP/1.1; kept until the answer begins */
	struct http_asked asked; /* for the reader of the answer */
	bool content, chunked;   /* some follows; of unknown length */
};
bool exchange_has_request(
	const struct exchange *x); /* else it is told exchange_on_end() as soon as there is a connection */
struct exchange_sending exchange_sending(const struct exchange *x);
void exchange_on_sent(struct exchange *x); /* the head went out: content may follow; time runs for the answer */
void exchange_on_room(struct exchange *x); /* content may be given (again) */
void exchange_on_head(struct exchange *x, const struct http_head *head);
void exchange_on_content(struct exchange *x, struct http_span p);
/*
 * For content that nobody has to look at: a pipe for up to *most bytes of it, which is given to exchange_on_piped() with the n bytes in it,
 * or taken back (stock.h). NULL: content is to be given as it is.
 */
struct pipe *exchange_lend_pipe(struct exchange *x, size_t *most);
void exchange_on_piped(struct exchange *x, struct pipe *pipe, size_t n);
void exchange_on_end(struct exchange *x, const struct http_head *trailers); /* may close it: last */
void exchange_on_failed(struct exchange *x, enum back_failure why);         /* may close it: last */
void exchange_flush_client(struct exchange *x);                             /* what it was given in this turn may go */
void exchange_addrs(
	const struct exchange *x, struct addr *from, struct addr *to); /* the client's, for a PROXY header */
bool exchange_client_full(struct exchange *x);
void exchange_received(struct exchange *x, uint64_t n); /* bytes that the backend's kernel took of the request */

#endif
