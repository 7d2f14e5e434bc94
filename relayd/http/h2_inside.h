/*
 * h2_inside - what h2_front.c, h2_stream.c and h2_tunnel.c know of each other. For these alone.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_INSIDE_H
#define PORTWAY_RELAYD_HTTP_H2_INSIDE_H

#include "common/net/addr.h"
#include "common/tunnel/websocket_key.h"
#include "proto/msg.h"
#include "relayd/http/desk.h"
#include "relayd/http/exchange.h"
#include "relayd/http/h2_front.h"
#include "relayd/http/inbox.h"
#include "relayd/http/outbox.h"

#include <nghttp2/nghttp2.h>

#define H2_METHOD_SIZE    32
#define H2_PROTOCOL_SIZE  32
#define H2_AUTHORITY_SIZE 320

/* A request's head until it is whole. */
struct h2_asking {
	char method[H2_METHOD_SIZE];
	char authority[H2_AUTHORITY_SIZE];
	char protocol[H2_PROTOCOL_SIZE];       /* ":protocol"; "": there is none */
	struct block *path, *fields, *cookies; /* fields as lines of HTTP/1.1 */
	size_t size;                           /* as RFC 9113 section 10.5.1 counts */
	bool bad, large, has_length;
};

/* A stream that is to carry bytes and no messages. */
struct h2_tunnel {
	bool websocket; /* asked for with ":protocol" */
	bool gone;      /* the stream is closed; the backend has not taken all yet */
	char key[WEBSOCKET_KEY];
};

struct h2_stream {
	struct h2_front *front;
	int32_t id;
	struct list in_front;
	struct exchange *x;       /* NULL: none was opened, or it is closed */
	struct h2_tunnel *tunnel; /* NULL: an ordinary request */
	struct h2_asking *asking; /* NULL: the head is whole */
	struct block *more;       /* trailers of the request, as lines */
	struct block *held;       /* content of the request that its backend has no room for yet */
	struct block *out;        /* content of the answer that waits for the client's window */
	struct block *trailers;   /* of the answer, as lines; behind its content */
	uint64_t active_ns;       /* something of the request came */
	uint64_t taken_ns;        /* something of the answer went, or it became whole */
	size_t more_size;         /* of them, as RFC 9113 section 10.5.1 counts */
	bool more_bad;            /* they cannot be passed on */
	bool request_ended;       /* the client's END_STREAM came */
	bool told_end;            /* the exchange knows */
	bool answered;            /* the final head went to nghttp2 */
	bool ended;               /* the answer is whole */
	bool deferred;            /* nghttp2 waits for content */
	bool early;               /* answered before the request was whole: the client is told to stop */
};

struct h2_front {
	struct wire wire;
	struct http_desk *desk;
	struct h2_opening opening;
	struct addr from;
	nghttp2_session *ng;
	struct outbox out;
	struct list in_desk;
	struct desk_rest rest;
	struct list streams;
	unsigned n_streams;
	struct timer timer;
	struct task pump, more, grave;
	uint64_t idle_ns, head_ns, blocked_ns; /* since when; 0: not */
	uint64_t notice_ns; /* when it was told that it will end; 0: it was not, or knows which stream is the last */
	int64_t budget;
	uint64_t budget_ns;
	uint32_t earned, waste; /* bytes that are not worth 1 yet; that small frames cost */
	bool draining, over;
	uint64_t id, opened_ns;
	char route[PROTO_ID_SIZE]; /* of the last request; "": none yet */
};

/* ---- h2_front.c ---- */
/* It has no streams any more. */
void h2_front_rest(struct h2_front *f);
/* At the end of the round what waits is sent. */
void h2_front_kick(struct h2_front *f);
/* Costs the client something; false: it has spent all it had, and is told so. */
bool h2_front_pay(struct h2_front *f, int64_t cost);

/* ---- h2_stream.c ---- */
struct h2_stream *h2_stream_open(struct h2_front *f, int32_t id); /* NULL: out of memory */
void h2_stream_close(struct h2_stream *s);
/* Its answer is whole, and the client's window keeps the rest of it here. */
bool h2_stream_waits(const struct h2_stream *s);
void h2_stream_give_up(struct h2_stream *s);
void h2_stream_field(struct h2_stream *s, struct http_span name, struct http_span value);
void h2_stream_trailer(struct h2_stream *s, struct http_span name, struct http_span value);
/* Its head is whole: it becomes an exchange. */
void h2_stream_ask(struct h2_stream *s, bool ended);
void h2_stream_content(struct h2_stream *s, struct http_span p);
void h2_stream_content_end(struct h2_stream *s);
/* Gives on what was held, as far as there is room. */
void h2_stream_give(struct h2_stream *s);

/* ---- h2_tunnel.c ---- */
/* It is to be one: what it asks for, but for its fields, as HTTP/1.1 would have it. -1: out of memory. */
int h2_tunnel_begin(struct h2_stream *s, struct block **text) MUST_CHECK;
/* The answer opens the tunnel that was asked for. */
bool h2_tunnel_is_open(const struct h2_stream *s, const struct answer *a);
/* Without the fields that HTTP/2 has no use for. */
size_t h2_tunnel_fields(nghttp2_nv *nv, size_t n);
/* Its stream is closed, and it goes on until its backend has taken all. */
bool h2_tunnel_lingers(struct h2_stream *s);

#endif
