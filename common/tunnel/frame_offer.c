#include "common/tunnel/frame_offer.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

void frame_offer_put(struct buf *b, const struct frame_offer *o)
{
	size_t at = frame_start(b);

	buf_u8(b, o->kind);
	buf_str16(b, o->mapping);
	buf_str16(b, o->bind);
	buf_u16(b, o->first);
	buf_u16(b, o->last);
	frame_done(b, at, FRAME_OFFER, 0);
}

int frame_offer_get(struct frame_offer *o, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	o->kind = cursor_u8(&c);
	frame_get_id(&c, o->mapping);
	cursor_str16(&c, o->bind, sizeof o->bind);
	o->first = cursor_u16(&c);
	o->last = cursor_u16(&c);
	if ((o->kind != FRAME_TCP && o->kind != FRAME_UDP) || o->first == 0 || o->last < o->first)
		cursor_fail(&c);
	return cursor_done(&c);
}

void frame_withdraw_put(struct buf *b, const char *mapping)
{
	size_t at = frame_start(b);

	buf_str16(b, mapping);
	frame_done(b, at, FRAME_WITHDRAW, 0);
}

int frame_withdraw_get(char mapping[FRAME_ID_SIZE], const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	frame_get_id(&c, mapping);
	return cursor_done(&c);
}
