#include "proto/health_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "proto/msg.h"

bool health_path_ok(const char *path)
{
	if (path[0] != '/')
		return false;
	for (; *path != '\0'; path++)
		if (*path <= ' ' || *path > '~')
			return false;
	return true;
}

void health_conf_put(struct buf *b, const struct health_conf *h)
{
	buf_u8(b, h->type);
	if (h->type == HEALTH_NONE)
		return;
	buf_u32(b, h->interval_ms);
	buf_u32(b, h->timeout_ms);
	buf_u32(b, h->rise);
	buf_u32(b, h->fall);
	buf_str16(b, h->path);
	buf_u32(b, h->expect);
}

static uint32_t get_range(struct cursor *c, uint32_t least, uint32_t most)
{
	const uint32_t v = cursor_u32(c);

	if (v < least || v > most)
		cursor_fail(c);
	return v;
}

void health_conf_get(struct cursor *c, struct health_conf *h)
{
	h->type = msg_get_enum(c, HEALTH_NONE, HEALTH_HTTP);
	if (h->type == HEALTH_NONE)
		return;
	h->interval_ms = get_range(c, HEALTH_INTERVAL_MIN_MS, HEALTH_INTERVAL_MAX_MS);
	h->timeout_ms = get_range(c, HEALTH_TIMEOUT_MIN_MS, HEALTH_TIMEOUT_MAX_MS);
	h->rise = get_range(c, 1, HEALTH_TURNS_MAX);
	h->fall = get_range(c, 1, HEALTH_TURNS_MAX);
	cursor_str16(c, h->path, sizeof h->path);
	h->expect = get_range(c, 0, 599);
	if (!health_path_ok(h->path) || (h->expect != 0 && h->expect < 100))
		cursor_fail(c);
}
