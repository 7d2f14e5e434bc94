#include "common/tunnel/websocket.h"

#include "common/base/buf.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/http/http_reader.h"
#include "common/net/addr.h"
#include "common/tunnel/websocket_key.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#define PING_MAX 125

static const char refusal[] = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\n"
			      "Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n";

struct websocket {
	wslay_frame_context_ptr frames;
	bool client;
	bool asked; /* the request was sent */
	char key[WEBSOCKET_KEY];
	char *host, *path; /* the client's, until it was let in */
	struct buf head;   /* the request or its answer, until it is whole */
	const uint8_t *in; /* borrowed */
	size_t in_n;
	struct buf *out;    /* during one call */
	const uint8_t *got; /* payload that was not taken yet; wslay's */
	size_t got_n;
	uint8_t ping[PING_MAX]; /* that comes in pieces */
	size_t ping_n;
	const char *reason;
	char forwarded[ADDR_STRLEN];
};

/* ---- what wslay asks for ------------------------------------------------------------------------------------------ */

static ssize_t on_send(const uint8_t *p, size_t n, int flags, void *arg)
{
	struct websocket *w = arg;

	(void)flags;
	buf_put(w->out, p, n);
	return (ssize_t)n;
}

static ssize_t on_recv(uint8_t *p, size_t n, int flags, void *arg)
{
	struct websocket *w = arg;
	size_t part = MIN(n, w->in_n);

	(void)flags;
	if (part == 0)
		return -1;
	memcpy(p, w->in, part);
	w->in += part;
	w->in_n -= part;
	return (ssize_t)part;
}

static int on_mask(uint8_t *p, size_t n, void *arg)
{
	(void)arg;
	rand_bytes(p, n);
	return 0;
}

int websocket_new(struct websocket **out, const char *host, const char *path)
{
	static const struct wslay_frame_callbacks callbacks = { on_send, on_recv, on_mask };
	struct websocket *w = calloc(1, sizeof *w);

	if (w == NULL)
		return -1;
	w->client = host != NULL;
	buf_init(&w->head, WEBSOCKET_HEAD_MAX);
	if (wslay_frame_context_init(&w->frames, &callbacks, w) != 0)
		goto fail;
	if (host != NULL && ((w->host = strdup(host)) == NULL || (w->path = strdup(path)) == NULL))
		goto fail;
	*out = w;
	return 0;
fail:
	websocket_free(w);
	return -1;
}

void websocket_free(struct websocket *w)
{
	if (w == NULL)
		return;
	if (w->frames != NULL)
		wslay_frame_context_free(w->frames);
	buf_free(&w->head);
	free(w->host);
	free(w->path);
	free(w);
}

void websocket_feed(struct websocket *w, const uint8_t *p, size_t n)
{
	w->in = p;
	w->in_n = n;
}

const char *websocket_reason(const struct websocket *w)
{
	return w->reason != NULL ? w->reason : "the WebSocket broke";
}

static int fault(struct websocket *w, const char *reason)
{
	w->reason = reason;
	return -1;
}

/* ---- the request and its answer ----------------------------------------------------------------------------------- */

static void ask(struct websocket *w, struct buf *out)
{
	websocket_key_make(w->key);
	buf_printf(out,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
		"Sec-WebSocket-Version: 13\r\n\r\n",
		w->path, w->host, w->key);
	w->asked = true;
}

/* Up to the empty line: what is behind it stays in w->in. */
static int read_head(struct websocket *w)
{
	while (w->in_n > 0) {
		buf_put(&w->head, w->in, 1);
		w->in++;
		w->in_n--;
		if (w->head.failed)
			return fault(w, "a head that is too long");
		if (w->head.len >= 4 && memcmp(w->head.data + w->head.len - 4, "\r\n\r\n", 4) == 0)
			return 1;
	}
	return 0;
}

static bool has_value(const struct http_head *h, const struct http_field *f, const char *value)
{
	struct http_span v;

	if (f == NULL)
		return false;
	v = http_field_value(h, f);
	return v.n == strlen(value) && strncasecmp(v.p, value, v.n) == 0;
}

const char *websocket_forwarded(const struct websocket *w)
{
	return w->forwarded;
}

static bool is_named(const struct http_head *h, const struct http_field *f, const char *name)
{
	struct http_span n = http_field_name(h, f);

	return n.n == strlen(name) && strncasecmp(n.p, name, n.n) == 0;
}

/* Others before it may say what they like; who is in front adds to the end, of the last field or in one more. */
static void note_forwarded(struct websocket *w, const struct http_head *h)
{
	struct http_span v = { "", 0 };

	for (uint16_t i = 0; i < h->n; i++)
		if (is_named(h, &h->fields[i], "x-forwarded-for"))
			v = http_field_value(h, &h->fields[i]);
	for (size_t i = v.n; i > 0; i--) {
		if (v.p[i - 1] != ',' && v.p[i - 1] != ' ')
			continue;
		v.p += i;
		v.n -= i;
		break;
	}
	if (v.n < sizeof w->forwarded)
		str_fmt(w->forwarded, sizeof w->forwarded, "%.*s", (int)v.n, v.p);
}

static int let_in(struct websocket *w, struct buf *out)
{
	const struct http_field *key;
	struct http_reader r;
	struct http_piece piece;
	struct http_head h;
	struct http_span k;
	char signature[WEBSOCKET_SIGN];

	http_reader_init_request(&r, &http_limits_default);
	if (http_reader_next(&r, &h, w->head.data, w->head.len, &piece) != HTTP_HEAD_IN)
		return fault(w, "no request of HTTP/1.1");
	key = http_head_find_text(&h, "sec-websocket-key");
	k = key != NULL ? http_field_value(&h, key) : (struct http_span){ "", 0 };
	if (h.method != HTTP_GET || !h.upgrade || !has_value(&h, http_head_find(&h, HTTP_NAME_UPGRADE), "websocket") ||
		!has_value(&h, http_head_find_text(&h, "sec-websocket-version"), "13") ||
		websocket_key_sign(signature, k.p, k.n) != 0) {
		buf_put(out, refusal, sizeof refusal - 1);
		return fault(w, "a request for something else than a WebSocket");
	}
	note_forwarded(w, &h);
	buf_printf(out,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n\r\n",
		signature);
	return 1;
}

static int come_in(struct websocket *w)
{
	const struct http_asked asked = { .upgrade = true };
	struct http_reader r;
	struct http_piece piece;
	struct http_head h;
	char signature[WEBSOCKET_SIGN];

	http_reader_init_response(&r, &http_limits_default);
	http_reader_ask(&r, &asked);
	if (http_reader_next(&r, &h, w->head.data, w->head.len, &piece) != HTTP_HEAD_IN)
		return fault(w, "the web server's answer is no HTTP/1.1");
	if (h.status != 101)
		return fault(w, h.status == 404   ? "the web server has no such path (404)"
				: h.status >= 500 ? "the web server does not reach the relay (5xx)"
						  : "the web server passes no WebSocket there");
	if (websocket_key_sign(signature, w->key, WEBSOCKET_KEY - 1) != 0 ||
		!has_value(&h, http_head_find_text(&h, "sec-websocket-accept"), signature))
		return fault(w, "the web server's answer is to another request");
	return 1;
}

int websocket_shake(struct websocket *w, struct buf *out)
{
	int r;

	if (w->client && !w->asked)
		ask(w, out);
	r = read_head(w);
	if (r > 0)
		r = w->client ? come_in(w) : let_in(w, out);
	if (r != 0)
		buf_free(&w->head);
	return r;
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static void put(struct websocket *w, uint8_t opcode, const uint8_t *p, size_t n, struct buf *out)
{
	struct wslay_frame_iocb f = {
		.fin = 1, .opcode = opcode, .payload_length = n, .mask = w->client, .data = p, .data_length = n
	};

	w->out = out;
	do {
		ssize_t sent = wslay_frame_send(w->frames, &f);

		if (sent < 0) {
			out->failed = true;
			return;
		}
		f.data += sent;
		f.data_length -= (size_t)sent;
	} while (f.data_length > 0);
}

void websocket_put(struct websocket *w, const uint8_t *p, size_t n, struct buf *out)
{
	put(w, WSLAY_BINARY_FRAME, p, n, out);
}

/* A piece of a ping; answered when it is whole. wslay has checked that it is short. */
static void on_ping(struct websocket *w, const struct wslay_frame_iocb *f, struct buf *out)
{
	size_t n = MIN(f->data_length, PING_MAX - w->ping_n);

	if (n > 0)
		memcpy(w->ping + w->ping_n, f->data, n);
	w->ping_n += n;
	if (w->ping_n < f->payload_length)
		return;
	put(w, WSLAY_PONG, w->ping, w->ping_n, out);
	w->ping_n = 0;
}

/* 1: something was used; 0: more bytes are needed. */
static int next_piece(struct websocket *w, struct buf *out)
{
	struct wslay_frame_iocb f = { .fin = 0 };
	ssize_t r = wslay_frame_recv(w->frames, &f);

	if (r == WSLAY_ERR_WANT_READ)
		return 0;
	if (r < 0 || f.rsv != 0 || f.mask != (w->client ? 0 : 1))
		return fault(w, "no frame of a WebSocket");
	switch (f.opcode) {
	case WSLAY_BINARY_FRAME:
	case WSLAY_CONTINUATION_FRAME:
		w->got = f.data;
		w->got_n = f.data_length;
		return 1;
	case WSLAY_PING:
		on_ping(w, &f, out);
		return 1;
	case WSLAY_PONG:
		return 1;
	case WSLAY_CONNECTION_CLOSE:
		return fault(w, "the peer closed");
	default:
		return fault(w, "text in a WebSocket that carries bytes");
	}
}

ssize_t websocket_take(struct websocket *w, uint8_t *p, size_t n, struct buf *out)
{
	size_t part;

	while (w->got_n == 0) {
		int r = next_piece(w, out);

		if (r <= 0)
			return r;
	}
	part = MIN(n, w->got_n);
	memcpy(p, w->got, part);
	w->got += part;
	w->got_n -= part;
	return (ssize_t)part;
}
