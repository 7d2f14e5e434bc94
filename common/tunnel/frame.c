#include "common/tunnel/frame.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

enum { ON_LINK = 1, ON_STREAM = 2 };

/* What each type may be, by its number. */
static const struct {
	uint32_t max; /* of the payload */
	uint8_t where;
} types[FRAME_TYPES_END] = {
	[FRAME_HELLO] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_WELCOME] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_REFUSED] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_PING] = { 8, ON_LINK },
	[FRAME_PONG] = { 8, ON_LINK },
	[FRAME_GOAWAY] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_OPEN] = { FRAME_CONTROL_MAX, ON_STREAM },
	[FRAME_OPENED] = { 1, ON_STREAM },
	[FRAME_DATA] = { FRAME_DATA_MAX, ON_STREAM },
	[FRAME_WINDOW] = { 4, ON_STREAM },
	[FRAME_FIN] = { 0, ON_STREAM },
	[FRAME_RESET] = { FRAME_CONTROL_MAX, ON_STREAM },
	[FRAME_DATAGRAM] = { FRAME_DATAGRAM_MAX, ON_STREAM },
	[FRAME_CHECK] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_HEALTH] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_RESERVE] = { 2, ON_LINK },
	[FRAME_ZIPPED] = { FRAME_ZIPPED_MAX, ON_STREAM },
	[FRAME_OFFER] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_WITHDRAW] = { FRAME_CONTROL_MAX, ON_LINK },
	[FRAME_RULES] = { 5, ON_LINK },
	[FRAME_NARROW] = { 4, ON_STREAM },
	[FRAME_NARROWED] = { 4, ON_STREAM },
};

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void frame_put_head(uint8_t out[FRAME_HEAD], enum frame_type type, uint32_t n, uint32_t stream)
{
	put_u32(out, (uint32_t)type << 24 | n);
	put_u32(out + 4, stream);
}

int frame_get_head(struct frame_head *out, const uint8_t in[FRAME_HEAD])
{
	struct frame_head h = { .type = in[0], .n = get_u32(in) & 0xffffff, .stream = get_u32(in + 4) };

	if (h.type == 0 || h.type >= FRAME_TYPES_END || h.n > types[h.type].max)
		return -1;
	if ((types[h.type].where == ON_STREAM) != (h.stream != 0))
		return -1;
	*out = h;
	return 0;
}

size_t frame_start(struct buf *b)
{
	buf_reserve(b, FRAME_HEAD);
	if (!b->failed) {
		memset(b->data + b->len, 0, FRAME_HEAD);
		b->len += FRAME_HEAD;
	}
	return b->len;
}

void frame_done(struct buf *b, size_t payload, enum frame_type type, uint32_t stream)
{
	if (!b->failed)
		frame_put_head(b->data + payload - FRAME_HEAD, type, (uint32_t)(b->len - payload), stream);
}

void frame_get_id(struct cursor *c, char dst[FRAME_ID_SIZE])
{
	cursor_str16(c, dst, FRAME_ID_SIZE);
	if (dst[0] == '\0')
		cursor_fail(c);
}

void frame_rules_put(struct buf *b, const struct frame_rules *r)
{
	size_t at = frame_start(b);

	buf_u32(b, r->ping_ms);
	buf_u8(b, r->reconnect);
	frame_done(b, at, FRAME_RULES, 0);
}

int frame_rules_get(struct frame_rules *r, const void *p, size_t n)
{
	struct cursor c;
	uint8_t reconnect;

	cursor_init(&c, p, n);
	r->ping_ms = cursor_u32(&c);
	reconnect = cursor_u8(&c);
	r->reconnect = reconnect == 1;
	if (r->ping_ms == 0 || reconnect > 1)
		cursor_fail(&c);
	return cursor_done(&c);
}

void frame_end_put(struct buf *b, enum frame_type type, uint32_t stream, const struct frame_end *f)
{
	size_t at = frame_start(b);

	buf_u16(b, f->code);
	buf_u32(b, f->retry_ms);
	buf_str16(b, f->reason);
	frame_done(b, at, type, stream);
}

int frame_end_get(struct frame_end *f, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	f->code = cursor_u16(&c);
	f->retry_ms = cursor_u32(&c);
	cursor_str16(&c, f->reason, sizeof f->reason);
	return cursor_done(&c);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

void frame_open_put(struct buf *b, uint32_t stream, const struct frame_open *o)
{
	size_t at = frame_start(b);

	buf_u8(b, o->kind);
	buf_str16(b, o->mapping);
	buf_str16(b, o->host);
	buf_u16(b, o->port);
	buf_str16(b, o->source);
	buf_u8(b, o->zip);
	buf_str16(b, o->within);
	frame_done(b, at, FRAME_OPEN, stream);
}

/* One way to say each of the two. */
static bool get_flag(struct cursor *c)
{
	uint8_t v = cursor_u8(c);

	if (v > 1)
		cursor_fail(c);
	return v == 1;
}

int frame_open_get(struct frame_open *o, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	o->kind = cursor_u8(&c);
	frame_get_id(&c, o->mapping);
	cursor_str16(&c, o->host, sizeof o->host);
	o->port = cursor_u16(&c);
	cursor_str16(&c, o->source, sizeof o->source);
	o->zip = get_flag(&c);
	cursor_str16(&c, o->within, sizeof o->within);
	if ((o->kind != FRAME_TCP && o->kind != FRAME_UDP) || o->host[0] == '\0' || o->port == 0)
		cursor_fail(&c);
	return cursor_done(&c);
}

void frame_ping_put(struct buf *b, enum frame_type type, uint64_t stamp)
{
	size_t at = frame_start(b);

	buf_u64(b, stamp);
	frame_done(b, at, type, 0);
}

int frame_ping_get(uint64_t *stamp, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	*stamp = cursor_u64(&c);
	return cursor_done(&c);
}

void frame_window_put(struct buf *b, uint32_t stream, uint32_t more)
{
	size_t at = frame_start(b);

	buf_u32(b, more);
	frame_done(b, at, FRAME_WINDOW, stream);
}

int frame_window_get(uint32_t *more, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	*more = cursor_u32(&c);
	if (*more == 0)
		cursor_fail(&c);
	return cursor_done(&c);
}

void frame_narrow_put(struct buf *b, enum frame_type type, uint32_t stream, uint32_t bytes)
{
	size_t at = frame_start(b);

	buf_u32(b, bytes);
	frame_done(b, at, type, stream);
}

int frame_narrow_get(uint32_t *bytes, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	*bytes = cursor_u32(&c);
	return cursor_done(&c);
}

void frame_opened_put(struct buf *b, uint32_t stream, bool zip)
{
	size_t at = frame_start(b);

	buf_u8(b, zip);
	frame_done(b, at, FRAME_OPENED, stream);
}

int frame_opened_get(bool *zip, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	*zip = get_flag(&c);
	return cursor_done(&c);
}

void frame_reserve_put(struct buf *b, uint16_t links)
{
	size_t at = frame_start(b);

	buf_u16(b, links);
	frame_done(b, at, FRAME_RESERVE, 0);
}

int frame_reserve_get(uint16_t *links, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	*links = cursor_u16(&c);
	return cursor_done(&c);
}

void frame_bare_put(struct buf *b, enum frame_type type, uint32_t stream)
{
	size_t at = frame_start(b);

	frame_done(b, at, type, stream);
}
