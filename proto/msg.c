#include "proto/msg.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

static bool msg_type_known(unsigned type)
{
	return type >= MSG_POLL && type <= MSG_GRANT;
}

void msg_begin(struct buf *b, enum msg_type type)
{
	buf_u8(b, (uint8_t)type);
	buf_u8(b, PROTO_VERSION);
}

unsigned msg_type_of(const void *p, size_t n)
{
	struct cursor c;
	unsigned type, version;

	cursor_init(&c, p, n);
	type = cursor_u8(&c);
	version = cursor_u8(&c);
	return !c.failed && n <= PROTO_MSG_MAX && version == PROTO_VERSION && msg_type_known(type) ? type : 0;
}

void msg_open(struct cursor *c, enum msg_type type)
{
	if (msg_type_of(c->p, c->left) != (unsigned)type)
		cursor_fail(c);
	cursor_bytes(c, 2);
}

void msg_put_revision(struct buf *b, const struct proto_revision *r)
{
	buf_put(b, r->log_id, sizeof r->log_id);
	buf_u64(b, r->seq);
}

void msg_get_revision(struct cursor *c, struct proto_revision *r)
{
	const uint8_t *log_id = cursor_bytes(c, sizeof r->log_id);

	memset(r, 0, sizeof *r);
	if (log_id != NULL)
		memcpy(r->log_id, log_id, sizeof r->log_id);
	r->seq = cursor_u64(c);
}

uint8_t msg_get_enum(struct cursor *c, uint8_t min, uint8_t max)
{
	const uint8_t v = cursor_u8(c);

	if (v < min || v > max)
		cursor_fail(c);
	return c->failed ? 0 : v;
}

bool msg_get_bool(struct cursor *c)
{
	return msg_get_enum(c, 0, 1) != 0;
}

void msg_get_id(struct cursor *c, char dst[PROTO_ID_SIZE])
{
	cursor_str16(c, dst, PROTO_ID_SIZE);
	if (dst[0] == '\0')
		cursor_fail(c);
}
