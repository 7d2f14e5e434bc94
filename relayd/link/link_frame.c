#include "relayd/link/link_frame.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

void link_frame_put(struct buf *b, enum link_frame_kind kind, int line, const void *p, size_t n)
{
	buf_u32(b, (uint32_t)(n + (line >= 0)));
	buf_u8(b, (uint8_t)kind);
	if (line >= 0)
		buf_u8(b, (uint8_t)line);
	buf_put(b, p, n);
}

ssize_t link_frame_get(struct link_frame *out, const void *p, size_t n)
{
	struct cursor c;
	uint32_t len;

	if (n < LINK_FRAME_HEAD)
		return 0;
	cursor_init(&c, p, n);
	len = cursor_u32(&c);
	out->kind = cursor_u8(&c);
	if (len > LINK_FRAME_MAX || out->kind < LINK_FRAME_OPEN || out->kind > LINK_FRAME_DOWN)
		return -1;
	if (c.left < len)
		return 0;
	out->p = c.p;
	out->n = len;
	return (ssize_t)(LINK_FRAME_HEAD + len);
}

void link_frame_open_put(struct buf *b, const struct link_frame_open *o)
{
	const size_t at = b->len;

	link_frame_put(b, LINK_FRAME_OPEN, -1, NULL, 0);
	buf_str16(b, o->address);
	buf_u32(b, o->turn);
	buf_str16(b, o->cert_pem);
	buf_str16(b, o->key_pem);
	buf_str16(b, o->ca_pem);
	buf_str16(b, o->ca_fingerprint);
	if (!b->failed)
		buf_patch_u32(b, at, (uint32_t)(b->len - at - LINK_FRAME_HEAD));
}

int link_frame_open_get(struct link_frame_open *o, const void *p, size_t n)
{
	struct cursor c;

	memset(o, 0, sizeof *o);
	cursor_init(&c, p, n);
	cursor_str16(&c, o->address, sizeof o->address);
	o->turn = cursor_u32(&c);
	cursor_str16(&c, o->cert_pem, sizeof o->cert_pem);
	cursor_str16(&c, o->key_pem, sizeof o->key_pem);
	cursor_str16(&c, o->ca_pem, sizeof o->ca_pem);
	cursor_str16(&c, o->ca_fingerprint, sizeof o->ca_fingerprint);
	return cursor_done(&c);
}
