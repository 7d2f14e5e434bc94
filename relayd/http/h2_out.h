/*
 * h2_out - HTTP/2 (RFC 9113) on a connection to a backend: what takes the place of the codec of HTTP/1.1 in it (h1_back.h), with many
 * requests at once. Each of them is an h2_call, which is the back of its exchange.
 *
 *   request    head (as HTTP/1.1 bytes), content -> h2_call -> bytes for the outbox
 *   answer     bytes of the wire -> h2_out -> exchange_on_head(), exchange_on_content(), exchange_on_end()
 *
 * How many there may be is the backend's to say (SETTINGS_MAX_CONCURRENT_STREAMS), at most H2_CALLS_MAX; until it has said so one is sent,
 * and the others wait for that. What was never sent, or was refused unseen (REFUSED_STREAM, GOAWAY), goes another way, whatever its method.
 *
 * A WebSocket is asked for as HTTP/1.1 does it, and goes as a CONNECT with ":protocol" (RFC 8441), which waits until the backend has said that
 * it takes such ones; its 2xx comes back as the 101 that was asked for.
 *
 * Backpressure is that of each stream: content of a request is taken while less than H2_CALL_FULL waits for the backend's window; of an
 * answer, a stream's window is opened again when its client has room, so at most H2_CALL_WINDOW waits for a client that is slow, and no other
 * one waits for it.
 *
 * Owner: the connection; a call: its exchange, until it is released, or has failed. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_OUT_H
#define PORTWAY_RELAYD_HTTP_H2_OUT_H

#include "common/tunnel/websocket_key.h"
#include "common/uv/worker.h"
#include "relayd/http/back.h"
#include "relayd/http/block.h"

#include <nghttp2/nghttp2.h>

#define H2_CALLS_MAX    100
#define H2_CALL_FULL    (64 * 1024)
#define H2_CALL_WINDOW  (256 * 1024)
#define H2_CALLS_WINDOW (1024 * 1024) /* of the connection: what is on its way at once */

struct h1_back;
struct http_desk;
struct outbox;
struct wire;

struct h2_out {
	struct http_desk *desk;
	struct h1_back *connection;
	nghttp2_session *ng;
	bool tls;
	bool settled; /* the backend has said how many there may be */
	struct list calls;
	unsigned n_calls;
};

struct h2_call {
	struct back base; /* first */
	struct h2_out *on;
	struct list in_out;
	int32_t id;           /* of its stream; 0: none yet, or none any more */
	int failure;          /* enum back_failure that is to be told, or -1 */
	struct block *out;    /* content of the request that waits for the backend's window */
	struct block *trails; /* its trailers */
	struct block *fields; /* of the head or the trailers that come in, as lines */
	size_t size;          /* of these */
	size_t unread;        /* of the answer: given to the client, and not yet to the window */
	unsigned status;
	uint16_t interims; /* heads that came before the final one */
	bool connect;      /* bytes both ways, if the backend agrees */
	bool websocket;    /* these, asked for with ":protocol" */
	bool sent;         /* the head has gone */
	bool room;         /* its exchange is to be told that there is some */
	bool touched;      /* its client was given something */
	bool ended;        /* the request's content is whole */
	bool all_sent;     /* and has gone */
	bool deferred;     /* nghttp2 waits for it */
	bool head_in;      /* the final head came */
	bool answered;     /* the answer is whole */
	bool in_trailers;  /* the fields are of the trailer section */
	bool has_length;   /* one of them is the length of the content */
	bool bad;          /* the answer breaks the rules */
	struct http_asked asked;
	char accept[WEBSOCKET_SIGN]; /* what its client's key has to be answered with */
	struct task grave;
};

/* ---- h2_out.c: the connection ---- */
/* -1: out of memory. tls: for ":scheme". */
int h2_out_new(struct h2_out **out, struct http_desk *d, struct h1_back *connection, bool tls) MUST_CHECK;
void h2_out_free(struct h2_out *o); /* NULL is fine; it has no calls, and nothing of it is running */
/* Bytes that came; calls exchange_on_*(), which may let go of calls, and may end the connection. -1: they break the rules. */
int h2_out_read(struct h2_out *o, const uint8_t *p, size_t n) MUST_CHECK;
/* What waits goes into the outbox, until that is full. */
void h2_out_write(struct h2_out *o, struct outbox *out, struct wire *w);
/* Calls that it may have now. */
unsigned h2_out_limit(const struct h2_out *o);
/* It is good for further requests. */
bool h2_out_keeps(const struct h2_out *o);

/* ---- h2_call.c: one request ---- */
size_t h2_call_size(void);
/* NULL: out of memory. */
struct h2_call *h2_call_new(struct h2_out *o, struct backend *to, struct exchange *x);
/* The connection is there, or the backend has said what it takes: it goes when its turn comes. Again is no harm. */
void h2_call_submit(struct h2_call *c);
/* Told at the end of this round; the first reason counts. */
void h2_call_fail(struct h2_call *c, enum back_failure why);
/* What its client has taken may come again. */
void h2_call_open_window(struct h2_call *c);
/* Without a word to its exchange. */
void h2_call_end(struct h2_call *c);

/* ---- h2_answer.c: what comes back ---- */
/* One HEADERS frame begins, has this field, is whole; ended: the stream, too. */
void h2_answer_begin(struct h2_call *c);
void h2_answer_field(struct h2_call *c, struct http_span name, struct http_span value);
void h2_answer_fields_end(struct h2_call *c, bool ended);
void h2_answer_content(struct h2_call *c, struct http_span p);
void h2_answer_end(struct h2_call *c);

#endif
