#include "common/tunnel/frame_check.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/str.h"

#include <string.h>

void frame_check_put(struct buf *b, const struct frame_check *c)
{
	const struct frame_check_spec *s = &c->spec;
	size_t at = frame_start(b);

	buf_str16(b, c->mapping);
	buf_u8(b, s->type);
	if (s->type != FRAME_CHECK_NONE) {
		buf_str16(b, s->host);
		buf_u16(b, s->port);
		buf_u32(b, s->interval_ms);
		buf_u32(b, s->timeout_ms);
		buf_u8(b, s->rise);
		buf_u8(b, s->fall);
		buf_str16(b, s->path);
		buf_u16(b, s->expect);
	}
	frame_done(b, at, FRAME_CHECK, 0);
}

static bool path_ok(const char *path)
{
	for (const char *p = path; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return path[0] == '/';
}

static void spec_get(struct cursor *c, struct frame_check_spec *s)
{
	s->type = cursor_u8(c);
	if (s->type == FRAME_CHECK_NONE)
		return;
	cursor_str16(c, s->host, sizeof s->host);
	s->port = cursor_u16(c);
	s->interval_ms = cursor_u32(c);
	s->timeout_ms = cursor_u32(c);
	s->rise = cursor_u8(c);
	s->fall = cursor_u8(c);
	cursor_str16(c, s->path, sizeof s->path);
	s->expect = cursor_u16(c);
	if (s->type > FRAME_CHECK_HTTP || s->host[0] == '\0' || s->port == 0 || s->interval_ms < FRAME_INTERVAL_MIN ||
		s->timeout_ms == 0 || s->timeout_ms > FRAME_TIMEOUT_MAX_MS || s->rise == 0 ||
		s->rise > FRAME_TURNS_MAX || s->fall == 0 || s->fall > FRAME_TURNS_MAX || !path_ok(s->path))
		cursor_fail(c);
}

bool frame_check_same(const struct frame_check_spec *a, const struct frame_check_spec *b)
{
	return a->type == b->type && str_eq(a->host, b->host) && a->port == b->port &&
	       a->interval_ms == b->interval_ms && a->timeout_ms == b->timeout_ms && a->rise == b->rise &&
	       a->fall == b->fall && str_eq(a->path, b->path) && a->expect == b->expect;
}

int frame_check_get(struct frame_check *out, const void *p, size_t n)
{
	struct cursor c;

	memset(out, 0, sizeof *out);
	cursor_init(&c, p, n);
	frame_get_id(&c, out->mapping);
	spec_get(&c, &out->spec);
	return cursor_done(&c);
}

void frame_health_put(struct buf *b, const struct frame_health *h)
{
	size_t at = frame_start(b);

	buf_str16(b, h->mapping);
	buf_u8(b, h->up);
	buf_str16(b, h->reason);
	frame_done(b, at, FRAME_HEALTH, 0);
}

int frame_health_get(struct frame_health *out, const void *p, size_t n)
{
	struct cursor c;
	uint8_t up;

	cursor_init(&c, p, n);
	frame_get_id(&c, out->mapping);
	up = cursor_u8(&c);
	cursor_str16(&c, out->reason, sizeof out->reason);
	out->up = up == 1;
	if (up > 1 || (out->up && out->reason[0] != '\0'))
		cursor_fail(&c);
	return cursor_done(&c);
}
