#include "proto/spend.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

#define SPEND_MIN (2 + 1 + 8 + 8 + 1)
#define GRANT_MIN (2 + 1 + 8 + 1 + 8)

void msg_spend_encode(const struct msg_spend *m, struct buf *b)
{
	msg_begin(b, MSG_SPEND);
	buf_str16(b, m->boot);
	buf_u32(b, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		buf_str16(b, m->items[i].account);
		buf_u64(b, m->items[i].held);
		buf_u64(b, m->items[i].settled);
		buf_u8(b, m->items[i].wants);
	}
}

int msg_spend_decode(struct msg_spend *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_SPEND);
	msg_get_id(&c, m->boot);
	m->n = cursor_count(&c, SPEND_ACCOUNTS_MAX, SPEND_MIN);
	for (uint32_t i = 0; i < m->n && !c.failed; i++) {
		struct spend_item *s = &m->items[i];

		msg_get_id(&c, s->account);
		s->held = cursor_u64(&c);
		s->settled = cursor_u64(&c);
		s->wants = msg_get_bool(&c);
		if (s->held > INT64_MAX || s->settled > INT64_MAX)
			cursor_fail(&c);
	}
	return cursor_done(&c);
}

void msg_grant_encode(const struct msg_grant *m, struct buf *b)
{
	msg_begin(b, MSG_GRANT);
	buf_u32(b, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		buf_str16(b, m->items[i].account);
		buf_u64(b, m->items[i].limit);
		buf_u8(b, m->items[i].used_up);
		buf_u64(b, (uint64_t)m->items[i].resets_ms);
	}
}

int msg_grant_decode(struct msg_grant *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_GRANT);
	m->n = cursor_count(&c, SPEND_ACCOUNTS_MAX, GRANT_MIN);
	for (uint32_t i = 0; i < m->n && !c.failed; i++) {
		struct grant_item *g = &m->items[i];

		msg_get_id(&c, g->account);
		g->limit = cursor_u64(&c);
		g->used_up = msg_get_bool(&c);
		g->resets_ms = (int64_t)cursor_u64(&c);
		if (g->limit > INT64_MAX || g->resets_ms < 0)
			cursor_fail(&c);
	}
	return cursor_done(&c);
}
