/*
 * exchange - one request and its answer, between a client's side and a backend's. It knows neither sockets nor versions of HTTP: the client
 * (h1_front.c; a stream of HTTP/2) and the backend (back.h) are each behind a table of functions.
 *
 *   request:    HEAD --routed--> WAIT --sent--> CONTENT --end--> DONE       the client gives: request, content, content_end
 *                 |                |               |
 *                 +----------------+---------------+--> DROPPED             answered before it was whole; the rest is not read
 *
 *   response:   NONE --head--> CONTENT --end--> DONE                        the client is given: head, content, end
 *                 |               |-----------> RAW (Upgrade, CONNECT: bytes both ways, no messages any more)
 *                 +---------------+-----------> FAILED
 *
 * Whoever is given bytes takes all of them, and says when he is full; then no more is read for him until he has room again. So what waits
 * is never more than one read each way, or what is in one pipe, whatever the length of the content.
 *
 * Owner: the client's side; it calls exchange_close() when it has passed on the end, or is gone. The memory goes at the end of the round.
 * Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_EXCHANGE_H
#define PORTWAY_RELAYD_HTTP_EXCHANGE_H

#include "common/http/http_head.h"
#include "common/net/addr.h"
#include "relayd/http/edit.h"

struct exchange;
struct http_desk;
struct list;
struct pipe;
struct site_seat;
struct tls_session;

/* A head for the client. */
struct answer {
	uint16_t status;
	const struct http_head *head; /* the backend's; NULL: the relay's own */
	const struct edit *edit;      /* what is changed; may be NULL */
	bool interim;                 /* 1xx: another one follows */
	bool raw;                     /* bytes both ways follow */
	bool close;                   /* the request was not read whole: its connection cannot serve another one */
	uint8_t body;                 /* enum http_body; HTTP_CHUNKED, HTTP_UNTIL_CLOSE: of unknown length */
	bool has_length;
	uint64_t length;
	const char *request_id;
};

struct http_client_ops {
	void (*head)(struct exchange *x, const struct answer *a);
	void (*content)(struct exchange *x, struct http_span p);
	/* Whether content may be given in a pipe, which the client's side takes with the n bytes in it. Both NULL: never. */
	bool (*splices)(const struct exchange *x);
	void (*piped)(struct exchange *x, struct pipe *pipe, size_t n);
	void (*end)(struct exchange *x, const struct http_head *trailers); /* NULL: none */
	void (*abort)(struct exchange *x); /* the answer cannot be finished, and the client must see that */
	bool (*full)(const struct exchange *x);
	void (*resume)(struct exchange *x); /* exchange_takes() again. It reads later, not now: worker_finish() */
	void (*local)(const struct exchange *x, struct addr *to); /* where it connected to */
	void (*flush)(struct exchange *x);                        /* what was given in this turn may go */
};

/* What the client's side says of itself, once for each request. */
struct exchange_origin {
	const struct http_client_ops *ops;
	void *client;
	struct addr from;        /* who asks: behind trusted proxies, once the head was read */
	const struct addr *peer; /* who connected */
	bool tls;
	struct tls_session *session; /* NULL: in clear */
	const char *proto;           /* "1.1", "2": for Via */
	bool copy; /* of a request (mirror.h), or a probe: no client waits for it, and it has no route */
};

/* NULL: out of memory. */
struct exchange *exchange_open(struct http_desk *d, const struct exchange_origin *origin);
/*
 * The request's head, borrowed for the call; where: the host's routes. Content follows if head->body says so, then
 * exchange_content_end() in any case. Calls ops.head and so on at once if it is answered here.
 */
void exchange_request(
	struct exchange *x, const struct site_seat *where, const char *host, const struct http_head *head);
/* Answers without a route: what came is no request that can be served. The body of it is not read. */
void exchange_refuse(struct exchange *x, unsigned status, const char *why);
bool exchange_takes(struct exchange *x); /* content may be given */
void exchange_content(struct exchange *x, struct http_span p);
void exchange_content_end(struct exchange *x, const struct http_head *trailers);
/* The request's content breaks the rules, is too long or too slow: answered, if it can be still. */
void exchange_content_bad(struct exchange *x, unsigned status, const char *why);
/* What was given in this turn may go. */
void exchange_flush(struct exchange *x);
/* The client has room again. */
void exchange_drained(struct exchange *x);
/* So many bytes more were taken by the client's kernel; were received from it. */
void exchange_sent(struct exchange *x, uint64_t n);
/* Nothing of it is called any more; the caller has forgotten it afterwards. Any number of times. */
void exchange_close(struct exchange *x);

void *exchange_client(const struct exchange *x);
uint64_t exchange_body_max(const struct exchange *x);
bool exchange_has_content(const struct exchange *x); /* a request with some */
bool exchange_is_raw(const struct exchange *x);
bool exchange_was_raw(const struct exchange *x); /* also when a way has ended */
bool exchange_back_full(const struct exchange *x);
void exchange_route_id(const struct exchange *x, char id[]); /* PROTO_ID_SIZE; "": none */
void exchange_target_text(const struct exchange *x, char *dst, size_t size);
void exchange_raw_over(struct exchange *x);           /* both ways have ended */
void exchange_cut_in_route(struct list *in_route);    /* its route is off: by its place in http_route_seat.exchanges */
bool exchange_request_done(const struct exchange *x); /* nothing of the request is missing */
bool exchange_dropped(const struct exchange *x);      /* the rest of the request is not wanted */

#endif
