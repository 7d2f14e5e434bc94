#include "controld/rest/conn.h"

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "controld/rest/conn_input.h"
#include "controld/rest/conns.h"
#include "controld/rest/errors.h"
#include "controld/rest/headers.h"
#include "controld/rest/server.h"
#include "controld/rest/strict.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#define CONN_LINGER_MS 1000  /* after a refusal: time to read the answer before the reset */
#define CONN_AHEAD_MAX 65536 /* bytes of further requests taken while one is answered */
#define CONN_COPY_MAX  8192  /* bytes of an answer that are cheaper to copy than to follow until they are sent */
#define CONN_EXTENTS   8
#define CONN_DOOMED    1 /* a deadline that is over */

static const struct sm_state conn_states[] = {
	[CONN_NEW] = { "new", BIT(CONN_IDLE) },
	[CONN_IDLE] = { "idle", BIT(CONN_HEAD) | BIT(CONN_BODY) | BIT(CONN_BUSY) },
	[CONN_HEAD] = { "head", BIT(CONN_BODY) | BIT(CONN_BUSY) },
	[CONN_BODY] = { "body", BIT(CONN_BUSY) },
	[CONN_BUSY] = { "busy", BIT(CONN_REPLY) | BIT(CONN_STREAM) },
	[CONN_STREAM] = { "stream", BIT(CONN_REPLY) },
	[CONN_REPLY] = { "reply", BIT(CONN_IDLE) | BIT(CONN_LINGER) },
	[CONN_LINGER] = { "linger", 0 },
};

struct conn {
	struct conns *owner;
	struct bufferevent *bev;
	struct evbuffer_cb_entry *input_cb;
	struct evhttp_connection *ev;
	struct evhttp_request *req; /* BUSY and REPLY */
	struct addr peer;
	int state;
	uint64_t deadline_ms;
	uint64_t requests;
	struct evbuffer *held;  /* bytes that evhttp may not see yet */
	size_t scanned;         /* of these, how many the reader has judged */
	struct evbuffer *given; /* empty, but while conn_hold() runs */
	bool passing;           /* we put bytes into the input ourselves */
	bool *gone;             /* where to note that this one ends, or NULL */
	bool streamed;          /* evhttp has the headers and waits for the body */
	bool refused;           /* the answer under way is the last one, and unread bytes may be left */
	bool asked_to_close;    /* the client wants no further answer */
	struct strict strict;
	void (*on_gone)(void *arg);
	void *arg;
	void (*taken)(void *arg); /* what was written of a stream */
	void *taken_arg;
};

/* ---- states ------------------------------------------------------------------------------------------------------ */

/* Only writer of c->state; each state has its deadline. */
static void conn_move(struct conn *c, enum conn_state to)
{
	const struct server_conf *conf = conns_conf(c->owner);
	const uint64_t ms[] = {
		[CONN_NEW] = 0,
		[CONN_IDLE] = c->requests == 0 ? conf->head_ms : conf->idle_ms,
		[CONN_HEAD] = conf->head_ms,
		[CONN_BODY] = conf->body_ms,
		[CONN_BUSY] = 0,
		[CONN_STREAM] = 0, /* who writes it watches how much waits */
		[CONN_REPLY] = conf->write_ms,
		[CONN_LINGER] = CONN_LINGER_MS,
	};

	sm_move(conn_states, &c->state, (int)to);
	c->deadline_ms = ms[to] == 0 ? 0 : clock_mono_ms() + ms[to];
}

void conn_doom(struct conn *c)
{
	c->deadline_ms = CONN_DOOMED;
}

enum conn_state conn_state(const struct conn *c)
{
	return (enum conn_state)c->state;
}

uint64_t conn_deadline_ms(const struct conn *c)
{
	return c->deadline_ms;
}

const struct addr *conn_peer(const struct conn *c)
{
	return &c->peer;
}

struct evhttp_connection *conn_ev(const struct conn *c)
{
	return c->ev;
}

/* ---- bytes in ---------------------------------------------------------------------------------------------------- */

static enum strict_verdict conn_scan(struct conn *c)
{
	while (c->scanned < evbuffer_get_length(c->held)) {
		struct evbuffer_iovec part[CONN_EXTENTS];
		struct evbuffer_ptr at;
		int n;

		if (evbuffer_ptr_set(c->held, &at, c->scanned, EVBUFFER_PTR_SET) != 0)
			return STRICT_BAD;
		n = evbuffer_peek(c->held, -1, &at, part, CONN_EXTENTS);
		for (int i = 0; i < MIN(n, CONN_EXTENTS); i++) {
			size_t used;
			const enum strict_verdict v = strict_feed(&c->strict, part[i].iov_base, part[i].iov_len, &used);

			c->scanned += used;
			if (v != STRICT_MORE)
				return v;
		}
	}
	return STRICT_MORE;
}

/* Moves n bytes into the bufferevent's input, behind what evhttp has not taken yet. */
static void conn_give(struct conn *c, struct evbuffer *from, size_t n)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	const bool frozen =
		conns_conf(c->owner)->tls == NULL; /* a plain bufferevent guards its end, a TLS one does not */

	c->passing = true;
	if (frozen)
		evbuffer_unfreeze(in, 0);
	evbuffer_remove_buffer(from, in, n);
	if (frozen)
		evbuffer_freeze(in, 0);
	c->passing = false;
}

/* Gives evhttp what was judged so far. */
static void conn_pass(struct conn *c)
{
	conn_give(c, c->held, c->scanned);
	c->scanned = 0;
}

/* Takes the last n bytes of the input; what is before them was given to evhttp, which has not come to it yet. */
static void conn_hold(struct conn *c, size_t n)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	const size_t given = evbuffer_get_length(in) - n;

	if (given == 0) {
		evbuffer_add_buffer(c->held, in);
		return;
	}
	c->passing = true;
	evbuffer_remove_buffer(in, c->given, given);
	evbuffer_add_buffer(c->held, in);
	c->passing = false;
	conn_give(c, c->given, given);
}

/*
 * A request that is refused: evhttp gets a harmless one in its place, so that the refusal is answered in its turn.
 * If it has the headers already, there is nothing to answer with.
 */
static void conn_refuse(struct conn *c)
{
	static const char stand_in[] = "GET /refused HTTP/1.1\r\nHost: refused\r\n\r\n";

	if (c->strict.code == ERR_NONE)
		c->strict.code = ERR_INTERNAL;
	c->refused = true;
	if (c->streamed) {
		conn_doom(c);
		return;
	}
	evbuffer_drain(c->held, evbuffer_get_length(c->held));
	c->scanned = sizeof stand_in - 1;
	if (evbuffer_add(c->held, stand_in, c->scanned) != 0) {
		conn_doom(c);
		return;
	}
	conn_move(c, CONN_BUSY);
	conn_pass(c);
}

static void conn_whole(struct conn *c)
{
	conn_move(c, CONN_BUSY);
	conn_pass(c);
}

static void conn_partial(struct conn *c)
{
	if (c->strict.head_done && c->state != CONN_BODY)
		conn_move(c, CONN_BODY);
	else if (c->state == CONN_IDLE && c->scanned > 0)
		conn_move(c, CONN_HEAD);
	/* evhttp says "100 Continue" when it has seen the headers and no body. */
	if (c->strict.expect) {
		c->streamed = true;
		conn_pass(c);
	}
}

static void conn_feed(struct conn *c)
{
	if (c->state == CONN_LINGER) {
		evbuffer_drain(c->held, evbuffer_get_length(c->held));
		return;
	}
	if (c->state == CONN_BUSY || c->state == CONN_STREAM || c->state == CONN_REPLY || c->state == CONN_NEW) {
		if (evbuffer_get_length(c->held) > CONN_AHEAD_MAX)
			bufferevent_disable(c->bev, EV_READ);
		return;
	}
	if (evbuffer_get_length(c->held) == 0)
		return;
	switch (conn_scan(c)) {
	case STRICT_DONE:
		conn_whole(c);
		break;
	case STRICT_BAD:
		conn_refuse(c);
		break;
	case STRICT_MORE:
		conn_partial(c);
		break;
	}
}

/* Called by the bufferevent for every change of its input; evhttp's own reading comes afterwards. */
static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *c = arg;

	(void)in;
	if (c->passing || info->n_added == 0)
		return;
	conn_hold(c, info->n_added);
	conn_feed(c);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* A refused client may still be sending: closing now would reset the connection before it has read the answer. */
static void conn_linger(struct conn *c)
{
	conn_move(c, CONN_LINGER);
	(void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	conn_feed(c);
}

static void on_answered(struct evhttp_request *req, void *arg)
{
	struct conn *c = arg;

	(void)req;
	c->req = NULL;
	c->streamed = false;
	if (c->refused) {
		conn_linger(c);
		return;
	}
	conn_move(c, CONN_IDLE);
	strict_begin(&c->strict, conns_limits(c->owner));
	conn_feed(c); /* the next one may be there already */
}

void conn_take(struct conn *c, struct evhttp_request *req)
{
	struct conn_input in = { .bad = c->strict.code, .bad_reason = c->strict.reason };
	const bool whole = in.bad == ERR_NONE;

	c->req = req;
	c->requests++;
	evhttp_request_set_on_complete_cb(req, on_answered, c);
	conn_input_take(&in, req);
	if (whole)
		c->asked_to_close = headers_has_token(conn_input_header(&in, "Connection"), "close");
	conns_request(c->owner, c, &in);
}

void conn_on_gone(struct conn *c, void (*on_gone)(void *arg), void *arg)
{
	c->on_gone = on_gone;
	c->arg = arg;
}

static void on_body_sent(const void *data, size_t n, void *arg)
{
	(void)data;
	(void)n;
	free(arg);
}

static bool conn_ends(const struct conn *c)
{
	const struct server_conf *conf = conns_conf(c->owner);

	return c->asked_to_close || conns_draining(c->owner) ||
	       (conf->requests_per_connection != 0 && c->requests >= conf->requests_per_connection);
}

/*
 * One entry of the list holds all that is the same for every answer; evhttp only looks for its "Date".
 * evhttp closes at once when it sees "Connection: close" among the headers. A refused client is told so where evhttp does
 * not look, because we stay to read what it still sends.
 */
static int conn_answer_headers(struct conn *c, const struct conn_output *out, struct evkeyvalq *headers)
{
	char text[CONN_STANDING_MAX + 64];
	char length[24];

	if (!c->refused && conn_ends(c) && evhttp_add_header(headers, "Connection", "close") != 0)
		return -1;
	if (out->head_only && (str_fmt(length, sizeof length, "%zu", out->body_len) != 0 ||
				      evhttp_add_header(headers, "Content-Length", length) != 0))
		return -1;
	if (str_fmt(text, sizeof text, "%s\r\n%s%s", conns_date(c->owner), out->standing,
		    c->refused ? "\r\nConnection: close" : "") != 0)
		return -1;
	return headers_add_block(headers, "Date", text);
}

static int conn_answer_body(struct evbuffer *body, struct conn_output *out)
{
	if (out->body_len <= CONN_COPY_MAX)
		return evbuffer_add(body, out->body, out->body_len);
	if (evbuffer_add_reference(body, out->body, out->body_len, on_body_sent, out->body) != 0)
		return -1;
	out->body = NULL;
	return 0;
}

/*
 * A bufferevent would ask the kernel to be told when the socket takes bytes, write in the next turn of the loop, and ask
 * not to be told any more. Almost every socket takes an answer at once; what is left goes that way.
 */
static void conn_write_now(struct conn *c)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	if (conns_conf(c->owner)->tls != NULL)
		return;
	evbuffer_unfreeze(out, 1); /* a plain bufferevent guards its end */
	(void)evbuffer_write_atmost(out, bufferevent_getfd(c->bev), CONNS_WRITE_MAX);
	evbuffer_freeze(out, 1);
	if (evbuffer_get_length(out) == 0)
		bufferevent_trigger(c->bev, EV_WRITE, 0); /* may free c */
}

/* Until the next call: *gone is set when the connection ends. */
static void conn_watch(struct conn *c, bool *gone)
{
	c->gone = gone;
}

void conn_answer(struct conn *c, struct conn_output *out)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(c->req);
	struct evbuffer *body = evhttp_request_get_output_buffer(c->req);
	const bool apart = out->apart;
	bool gone = false;

	c->on_gone = NULL;
	conn_move(c, CONN_REPLY);
	headers_move(headers, out->headers);
	if (conn_answer_headers(c, out, headers) != 0)
		conn_doom(c);
	if (!out->head_only && conn_answer_body(body, out) != 0)
		conn_doom(c);
	conn_watch(c, &gone);
	evhttp_send_reply(c->req, out->status, errors_phrase(out->status), NULL); /* may free c */
	if (gone)
		return;
	conn_watch(c, NULL);
	if (apart)
		conn_write_now(c);
}

void conn_stream(struct conn *c, struct conn_output *out)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(c->req);

	conn_move(c, CONN_STREAM);
	c->asked_to_close = true;
	headers_move(headers, out->headers);
	if (conn_answer_headers(c, out, headers) != 0)
		conn_doom(c);
	evhttp_send_reply_start(c->req, out->status, errors_phrase(out->status));
}

size_t conn_stream_waiting(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void on_part_taken(struct evhttp_connection *ev, void *arg)
{
	struct conn *c = arg;

	(void)ev;
	if (c->deadline_ms != CONN_DOOMED)
		c->deadline_ms = 0;
	c->taken(c->taken_arg);
}

/* taken: it has the place in conn already; or NULL. */
static void conn_stream_part(
	struct conn *c, const void *p, size_t n, void (*taken)(struct evhttp_connection *ev, void *arg))
{
	struct evbuffer *part = evbuffer_new();

	if (part == NULL || evbuffer_add(part, p, n) != 0)
		conn_doom(c);
	else
		evhttp_send_reply_chunk_with_cb(c->req, part, taken, c);
	if (part != NULL)
		evbuffer_free(part);
}

void conn_stream_write(struct conn *c, const void *p, size_t n)
{
	conn_stream_part(c, p, n, NULL);
}

void conn_stream_write_then(struct conn *c, const void *p, size_t n, void (*taken)(void *arg), void *arg)
{
	c->taken = taken;
	c->taken_arg = arg;
	c->deadline_ms = clock_mono_ms() + conns_conf(c->owner)->write_ms;
	conn_stream_part(c, p, n, on_part_taken);
}

void conn_stream_end(struct conn *c)
{
	conn_move(c, CONN_REPLY);
	evhttp_send_reply_end(c->req); /* may free c */
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void conn_free(struct conn *c)
{
	if (c->input_cb != NULL)
		evbuffer_remove_cb_entry(bufferevent_get_input(c->bev), c->input_cb);
	if (c->held != NULL)
		evbuffer_free(c->held);
	if (c->given != NULL)
		evbuffer_free(c->given);
	if (c->gone != NULL)
		*c->gone = true;
	free(c);
}

static void on_closed(struct evhttp_connection *ev, void *arg)
{
	struct conn *c = arg;

	(void)ev;
	/* evhttp lets go of a request that was not answered when the client leaves first: it is ours to free. */
	if (c->req != NULL && evhttp_request_get_connection(c->req) == NULL)
		evhttp_request_free(c->req);
	if (c->on_gone != NULL)
		c->on_gone(c->arg);
	conns_remove(c->owner, c);
	conn_free(c);
}

void conn_close(struct conn *c)
{
	evhttp_connection_free(c->ev); /* on_closed frees c */
}

/* evhttp makes its connection after it got the bufferevent, and is then the argument of its callbacks. */
static bool conn_find_ev(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	void *ev = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, NULL, &ev);
	if (ev == NULL)
		return false;
	c->ev = ev;
	evhttp_connection_set_closecb(c->ev, on_closed, c);
	if (getpeername(bufferevent_getfd(c->bev), (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr(&c->peer, (struct sockaddr *)&ss, len);
	return true;
}

/* The same turn of the loop, after evhttp is done with the new connection and before its first byte is read. */
static void on_admit(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	const bool there = conn_find_ev(c);

	(void)fd;
	(void)what;
	bufferevent_decref(c->bev);
	if (!there) {
		c->input_cb = NULL; /* went with the bufferevent */
		conn_free(c);
		return;
	}
	conn_move(c, CONN_IDLE);
	if (conns_add(c->owner, c) != 0) {
		c->on_gone = NULL;
		conn_close(c);
	} else {
		conn_feed(c);
	}
}

int conn_open(struct conns *owner, struct bufferevent *bev)
{
	const struct timeval now = { 0, 0 };
	struct conn *c = calloc(1, sizeof *c);

	if (c == NULL)
		return -1;
	*c = (struct conn){ .owner = owner, .bev = bev, .state = CONN_NEW };
	strict_begin(&c->strict, conns_limits(owner));
	c->held = evbuffer_new();
	c->given = evbuffer_new();
	if (c->held != NULL && c->given != NULL)
		c->input_cb = evbuffer_add_cb(bufferevent_get_input(bev), on_input, c);
	if (c->input_cb == NULL || event_base_once(bufferevent_get_base(bev), -1, EV_TIMEOUT, on_admit, c, &now) != 0) {
		conn_free(c);
		return -1;
	}
	bufferevent_incref(bev); /* until it is admitted, nobody tells us of its end */
	return 0;
}
