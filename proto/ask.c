#include "proto/ask.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

void ask_put(struct buf *b, const struct ask *a)
{
	buf_u64(b, a->id);
	buf_u8(b, a->kind);
	buf_str16(b, a->object);
	buf_u64(b, a->conn);
	buf_u32(b, a->limit);
}

void ask_get(struct cursor *c, struct ask *a)
{
	a->id = cursor_u64(c);
	a->kind = msg_get_enum(c, ASK_CONNECTIONS, ASK_RENEW);
	cursor_str16(c, a->object, sizeof a->object);
	a->conn = cursor_u64(c);
	a->limit = cursor_u32(c);
}
