#include "proto/update.h"

#include "common/base/buf.h"

#include <assert.h>
#include <string.h>

#define UPDATE_ENTRY_MIN (1 + 1 + 2 + 1 + 8) /* bytes of the shortest entry: an id has at least one character */
#define UPDATE_ASK_MIN   (8 + 1 + 2 + 8 + 4)

static void update_entry_head(struct buf *b, bool gone, uint8_t kind, const char *id, uint64_t seq)
{
	buf_u8(b, gone);
	buf_u8(b, kind);
	buf_str16(b, id);
	buf_u64(b, seq);
}

void msg_update_begin(struct buf *b, const struct msg_update *head, size_t *count_at)
{
	assert(head->n_asks <= ASKS_MAX);
	msg_begin(b, MSG_UPDATE);
	buf_u8(b, head->kind);
	msg_put_revision(b, &head->from);
	msg_put_revision(b, &head->to);
	buf_u64(b, head->next_page);
	buf_u32(b, head->retry_ms);
	buf_u32(b, head->n_asks);
	for (uint32_t i = 0; i < head->n_asks; i++)
		ask_put(b, &head->asks[i]);
	*count_at = b->len;
	buf_u32(b, 0);
}

void msg_update_put(struct buf *b, uint8_t kind, const char *id, uint64_t seq, const void *body, size_t n)
{
	update_entry_head(b, false, kind, id, seq);
	buf_blob32(b, body, n);
}

void msg_update_gone(struct buf *b, uint8_t kind, const char *id, uint64_t seq)
{
	update_entry_head(b, true, kind, id, seq);
}

void msg_update_end(struct buf *b, size_t count_at, uint32_t n_entries)
{
	buf_patch_u32(b, count_at, n_entries);
}

bool msg_update_next(struct cursor *it, struct update_entry *out)
{
	memset(out, 0, sizeof *out);
	if (it->failed || it->left == 0)
		return false;
	out->gone = msg_get_bool(it);
	out->kind = cursor_u8(it);
	msg_get_id(it, out->id);
	out->seq = cursor_u64(it);
	if (!out->gone)
		out->body = cursor_blob32(it, &out->body_n);
	return !it->failed;
}

/* Only a delta takes objects away; an update that brings nothing has no entries. */
static bool update_entry_allowed(uint8_t update_kind, const struct update_entry *entry)
{
	return update_kind == UPDATE_DELTA || (update_kind == UPDATE_SNAPSHOT && !entry->gone);
}

/* Walks the entries once, so that nobody later meets one that is broken. */
static void update_check_entries(struct cursor *c, const struct msg_update *m)
{
	struct update_entry entry;
	uint32_t n = 0;

	while (msg_update_next(c, &entry)) {
		n++;
		if (!update_entry_allowed(m->kind, &entry))
			cursor_fail(c);
	}
	if (n != m->n_entries)
		cursor_fail(c);
}

int msg_update_decode(struct msg_update *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_UPDATE);
	m->kind = msg_get_enum(&c, UPDATE_NOTHING, UPDATE_LATER);
	msg_get_revision(&c, &m->from);
	msg_get_revision(&c, &m->to);
	m->next_page = cursor_u64(&c);
	m->retry_ms = cursor_u32(&c);
	m->n_asks = cursor_count(&c, ASKS_MAX, UPDATE_ASK_MIN);
	for (uint32_t i = 0; i < m->n_asks; i++)
		ask_get(&c, &m->asks[i]);
	m->n_entries = cursor_count(&c, PROTO_MSG_MAX / UPDATE_ENTRY_MIN, UPDATE_ENTRY_MIN);
	m->entries = c;
	update_check_entries(&c, m);
	if (cursor_done(&c) == 0)
		return 0;
	memset(m, 0, sizeof *m);
	return -1;
}
