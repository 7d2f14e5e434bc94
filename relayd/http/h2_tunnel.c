#include "common/http/http_reader.h"
#include "relayd/http/h2_inside.h"
#include "relayd/http/h2_lines.h"

#include <stdlib.h>
#include <string.h>

/*
 * Bytes both ways on one stream: CONNECT (RFC 9113 section 8.5), and a WebSocket (RFC 8441), which is asked for as HTTP/1.1 does it, so that
 * routes and backends see what they know. What the client sends before the answer waits in its window.
 */

static int put(struct blocks *bs, struct block **b, const char *s)
{
	return block_append(bs, b, s, strlen(s));
}

static int put_websocket(struct h2_stream *s, struct block **text)
{
	struct blocks *bs = &s->front->desk->blocks;
	const struct h2_asking *a = s->asking;
	const struct http_span path = h2_lines_span(a->path);

	websocket_key_make(s->tunnel->key);
	if (put(bs, text, "GET ") != 0 || block_append(bs, text, path.p, path.n) != 0 ||
		put(bs, text, " HTTP/1.1\r\nhost: ") != 0 || put(bs, text, a->authority) != 0)
		return -1;
	if (put(bs, text, "\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ") != 0 ||
		put(bs, text, s->tunnel->key) != 0)
		return -1;
	return put(bs, text, "\r\n");
}

static int put_connect(struct h2_stream *s, struct block **text)
{
	struct blocks *bs = &s->front->desk->blocks;
	const struct h2_asking *a = s->asking;

	if (put(bs, text, "CONNECT ") != 0 || put(bs, text, a->authority) != 0 ||
		put(bs, text, " HTTP/1.1\r\nhost: ") != 0 || put(bs, text, a->authority) != 0)
		return -1;
	return put(bs, text, "\r\n");
}

int h2_tunnel_begin(struct h2_stream *s, struct block **text)
{
	s->tunnel = calloc(1, sizeof *s->tunnel);
	if (s->tunnel == NULL)
		return -1;
	s->tunnel->websocket = s->asking->protocol[0] != '\0';
	return s->tunnel->websocket ? put_websocket(s, text) : put_connect(s, text);
}

bool h2_tunnel_is_open(const struct h2_stream *s, const struct answer *a)
{
	const struct h2_tunnel *t = s->tunnel;
	const struct http_field *f;
	char sign[WEBSOCKET_SIGN];

	if (t == NULL || !t->websocket)
		return t != NULL;
	f = http_head_find_text(a->head, "sec-websocket-accept");
	return f != NULL && websocket_key_sign(sign, t->key, WEBSOCKET_KEY - 1) == 0 &&
	       f->value_len == sizeof sign - 1 && memcmp(http_field_value(a->head, f).p, sign, sizeof sign - 1) == 0;
}

size_t h2_tunnel_fields(nghttp2_nv *nv, size_t n)
{
	static const char accept[] = "sec-websocket-accept";
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (nv[i].namelen != sizeof accept - 1 || memcmp(nv[i].name, accept, sizeof accept - 1) != 0)
			nv[k++] = nv[i];
	return k;
}

bool h2_tunnel_lingers(struct h2_stream *s)
{
	if (s->tunnel == NULL || s->x == NULL || !s->request_ended || !s->ended || !exchange_is_raw(s->x) ||
		(s->held == NULL && !exchange_back_full(s->x)))
		return false;
	s->tunnel->gone = true;
	return true;
}
