/*
 * h1_front_inside - what the parts of a client's connection share: h1_front.c (the connection), h1_request.c (requests), h1_answer.c
 * (answers). For them alone.
 *
 * Owner: a connection. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_H1_FRONT_INSIDE_H
#define PORTWAY_RELAYD_HTTP_H1_FRONT_INSIDE_H

#include "common/http/http_reader.h"
#include "common/net/addr.h"
#include "proto/msg.h"
#include "relayd/http/desk.h"
#include "relayd/http/exchange.h"
#include "relayd/http/h1_front.h"
#include "relayd/http/inbox.h"
#include "relayd/http/outbox.h"

enum front_state { FRONT_OPEN, FRONT_LINGER, FRONT_CLOSED };

struct h1_front {
	int state;
	struct http_desk *desk;
	struct front_seat *seat;
	struct wire wire;
	struct inbox in;
	struct outbox out;
	struct http_reader reader;
	struct exchange *x; /* NULL: between two requests */
	uint64_t told;      /* of out.sent */
	bool tls;
	bool spoken;    /* bytes were read */
	bool proxied;   /* a PROXY header is still to come */
	bool keeps;     /* another request may follow this one */
	bool http10;    /* it is one of HTTP/1.0 */
	bool chunked;   /* the answer's content goes in chunks */
	bool answered;  /* the answer was given whole */
	bool unparsed;  /* what is kept has not been looked at yet */
	bool parsing;   /* within parse() */
	bool in_ended;  /* the client has ended its way */
	bool finishing; /* no more will be written behind what waits */
	uint64_t due_ns;
	struct timer timer;
	struct task task, grave;
	struct list link;
	struct desk_rest rest;
	struct addr from;
	uint64_t id, opened_ns;
	char route[PROTO_ID_SIZE]; /* of the last request */
};

/* ---- h1_front.c ------------------------------------------------------------------------------------------------------ */
/* Its due time is so far from now; 0: none. */
void h1_front_due_in(struct h1_front *f, uint64_t ms);
void h1_front_drop_exchange(struct h1_front *f);
/* If it has nothing to do. */
void h1_front_rest(struct h1_front *f);
/* Nothing will be read any more: at once if there is nothing to read, else in two steps. */
void h1_front_leave(struct h1_front *f, bool unread);

/* ---- h1_request.c ---------------------------------------------------------------------------------------------------- */
/* What is there to read, and may be, of this turn. */
void h1_request_read(struct h1_front *f);
/* An exchange for what comes next. False: there was no memory, and the connection is closed. */
bool h1_request_begin(struct h1_front *f);

/* ---- h1_answer.c ----------------------------------------------------------------------------------------------------- */
extern const struct http_client_ops h1_answer_ops;
void h1_answer_flush(struct h1_front *f);
/* It was given whole, and the client has not taken the last of it: for body_timeout at most without a byte (slow_client). */
bool h1_answer_waits(const struct h1_front *f);
/* When the answer is with the client's kernel: what comes next. */
void h1_answer_try_finish(struct h1_front *f);

#endif
