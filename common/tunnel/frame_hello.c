#include "common/tunnel/frame_hello.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

static void hello_put_fields(struct buf *b, const struct frame_hello *h)
{
	buf_u8(b, FRAME_VERSION);
	buf_str16(b, h->client);
	buf_str16(b, h->instance);
	buf_u64(b, h->epoch);
	buf_str16(b, h->version);
	buf_u8(b, h->role);
	buf_u16(b, h->lane);
}

void frame_hello_signed(const struct frame_hello *h, const uint8_t exported[FRAME_EXPORTED], struct buf *out)
{
	buf_put(out, exported, FRAME_EXPORTED);
	hello_put_fields(out, h);
}

void frame_hello_put(struct buf *b, const struct frame_hello *h)
{
	size_t at = frame_start(b);

	hello_put_fields(b, h);
	buf_put(b, h->signature, FRAME_SIGNATURE);
	frame_done(b, at, FRAME_HELLO, 0);
}

int frame_hello_version(const void *p, size_t n)
{
	return n > 0 ? *(const uint8_t *)p : -1;
}

int frame_hello_get(struct frame_hello *h, const void *p, size_t n)
{
	const uint8_t *signature;
	struct cursor c;

	cursor_init(&c, p, n);
	if (cursor_u8(&c) != FRAME_VERSION)
		cursor_fail(&c);
	frame_get_id(&c, h->client);
	frame_get_id(&c, h->instance);
	h->epoch = cursor_u64(&c);
	cursor_str16(&c, h->version, sizeof h->version);
	h->role = cursor_u8(&c);
	h->lane = cursor_u16(&c);
	if (h->role > FRAME_FOR_ONE)
		cursor_fail(&c);
	signature = cursor_bytes(&c, FRAME_SIGNATURE);
	if (signature != NULL)
		memcpy(h->signature, signature, FRAME_SIGNATURE);
	return cursor_done(&c);
}

void frame_welcome_put(struct buf *b, const struct frame_welcome *w)
{
	size_t at = frame_start(b);

	buf_str16(b, w->node);
	buf_u16(b, w->links);
	buf_u32(b, w->ping_ms);
	buf_u32(b, w->window);
	buf_u32(b, w->backoff_ms);
	buf_u16(b, w->lane);
	frame_done(b, at, FRAME_WELCOME, 0);
}

int frame_welcome_get(struct frame_welcome *w, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	cursor_str16(&c, w->node, sizeof w->node);
	w->links = cursor_u16(&c);
	w->ping_ms = cursor_u32(&c);
	w->window = cursor_u32(&c);
	w->backoff_ms = cursor_u32(&c);
	w->lane = cursor_u16(&c);
	if (w->links == 0 || w->ping_ms == 0 || w->window == 0)
		cursor_fail(&c);
	return cursor_done(&c);
}
