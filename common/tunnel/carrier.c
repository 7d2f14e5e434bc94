#include "common/tunnel/carrier.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/crypto/tls.h"
#include "common/tunnel/websocket.h"

#include <stdlib.h>

#define IN_SIZE    16384
#define RECORD_MAX ((size_t)16 * 1024)
#define FRAMES_MAX ((size_t)512 * 1024)

struct carrier {
	struct websocket *ws;
	struct tls_session *outer; /* NULL: none */
	ssize_t (*recv)(void *arg, void *p, size_t n);
	void *arg;
	bool outer_open;
	struct buf *wire;  /* during a call */
	struct buf frames; /* on their way into the outer TLS; empty between calls */
	const char *reason;
	uint8_t in[IN_SIZE]; /* what the WebSocket was fed with */
};

static ssize_t on_outer_send(void *arg, const void *p, size_t n)
{
	struct carrier *c = arg;

	buf_put(c->wire, p, n);
	return c->wire->failed ? TLS_FAILED : (ssize_t)n;
}

static ssize_t on_outer_recv(void *arg, void *p, size_t n)
{
	struct carrier *c = arg;

	return c->recv(c->arg, p, n);
}

int carrier_new(struct carrier **out, const struct carrier_conf *conf, struct err *e)
{
	struct carrier *c = calloc(1, sizeof *c);
	const struct tls_io io = { .send = on_outer_send, .recv = on_outer_recv, .arg = c };

	if (c == NULL || websocket_new(&c->ws, conf->host, conf->path) != 0) {
		err_set(e, ERR_NOMEM, NULL, "a link: out of memory");
		goto fail;
	}
	c->recv = conf->recv;
	c->arg = conf->arg;
	buf_init(&c->frames, FRAMES_MAX);
	if (conf->outer != NULL && tls_session_new(&c->outer, conf->outer, &io, e) != 0)
		goto fail;
	*out = c;
	return 0;
fail:
	carrier_free(c);
	return -1;
}

void carrier_free(struct carrier *c)
{
	if (c == NULL)
		return;
	websocket_free(c->ws);
	tls_session_free(c->outer);
	buf_free(&c->frames);
	free(c);
}

const char *carrier_reason(const struct carrier *c)
{
	return c->reason != NULL ? c->reason : "the connection broke";
}

static int fail(struct carrier *c, const char *reason)
{
	c->reason = reason;
	return TLS_FAILED;
}

/* Where the WebSocket writes to. */
static struct buf *begin(struct carrier *c, struct buf *wire)
{
	c->wire = wire;
	return c->outer != NULL ? &c->frames : wire;
}

/* And the way of that to the wire. */
static int end(struct carrier *c)
{
	int r = c->frames.failed || c->wire->failed ? -1 : 0;

	for (size_t done = 0; r == 0 && done < c->frames.len;) {
		ssize_t n = tls_session_write(c->outer, c->frames.data + done, MIN(c->frames.len - done, RECORD_MAX));

		if (n <= 0)
			r = -1;
		else
			done += (size_t)n;
	}
	buf_free(&c->frames);
	return r == 0 ? 0 : fail(c, "the connection broke");
}

/* Feeds the WebSocket, which has used up all that it had. */
static int feed(struct carrier *c)
{
	ssize_t n = c->outer != NULL ? tls_session_read(c->outer, c->in, sizeof c->in)
	                             : c->recv(c->arg, c->in, sizeof c->in);

	if (n > 0) {
		websocket_feed(c->ws, c->in, (size_t)n);
		return 0;
	}
	if (c->outer != NULL && n != TLS_AGAIN)
		c->reason = n == TLS_CLOSED ? "the peer closed" : tls_session_reason(c->outer);
	return (int)n;
}

static int open_outer(struct carrier *c)
{
	int r = c->outer != NULL && !c->outer_open ? tls_session_handshake(c->outer) : 0;

	if (r == 0)
		c->outer_open = true;
	else if (r != TLS_AGAIN)
		c->reason = tls_session_reason(c->outer);
	return r;
}

int carrier_open(struct carrier *c, struct buf *wire)
{
	struct buf *to = begin(c, wire);
	int r = open_outer(c), shaken;

	while (r == 0) {
		shaken = websocket_shake(c->ws, to);
		if (end(c) != 0)
			return TLS_FAILED;
		if (shaken != 0)
			return shaken > 0 ? 0 : fail(c, websocket_reason(c->ws));
		r = feed(c);
	}
	return r;
}

ssize_t carrier_recv(struct carrier *c, void *p, size_t n, struct buf *wire)
{
	struct buf *to = begin(c, wire);
	ssize_t got;
	int r = 0;

	while ((got = websocket_take(c->ws, p, n, to)) == 0 && r == 0)
		r = feed(c);
	if (end(c) != 0 || got < 0)
		return fail(c, websocket_reason(c->ws));
	return got > 0 ? got : r;
}

int carrier_put(struct carrier *c, const uint8_t *p, size_t n, struct buf *wire)
{
	websocket_put(c->ws, p, n, begin(c, wire));
	return end(c);
}

const char *carrier_forwarded(const struct carrier *c)
{
	return websocket_forwarded(c->ws);
}
