#include "proto/ticket_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <assert.h>
#include <string.h>

#define TICKET_BODY_VERSION 1
#define TICKET_KEY_BYTES    (TICKET_NAME_SIZE + 2 * TICKET_KEY_SIZE + 8 + 8)

void ticket_conf_encode(const struct ticket_conf *c, struct buf *b)
{
	assert(c->n <= TICKET_KEYS_MAX);
	buf_u8(b, TICKET_BODY_VERSION);
	buf_u32(b, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		buf_put(b, c->keys[i].name, TICKET_NAME_SIZE);
		buf_put(b, c->keys[i].cipher, TICKET_KEY_SIZE);
		buf_put(b, c->keys[i].mac, TICKET_KEY_SIZE);
		buf_u64(b, (uint64_t)c->keys[i].from_ms);
		buf_u64(b, (uint64_t)c->keys[i].until_ms);
	}
}

static void get_bytes(struct cursor *from, uint8_t *dst, size_t n)
{
	const uint8_t *p = cursor_bytes(from, n);

	if (p != NULL)
		memcpy(dst, p, n);
}

static void get_key(struct cursor *from, struct ticket_key *k)
{
	get_bytes(from, k->name, TICKET_NAME_SIZE);
	get_bytes(from, k->cipher, TICKET_KEY_SIZE);
	get_bytes(from, k->mac, TICKET_KEY_SIZE);
	k->from_ms = (int64_t)cursor_u64(from);
	k->until_ms = (int64_t)cursor_u64(from);
	if (k->from_ms < 0 || k->until_ms <= k->from_ms)
		cursor_fail(from);
}

int ticket_conf_decode(struct ticket_conf *c, const void *p, size_t n)
{
	struct cursor from;

	memset(c, 0, sizeof *c);
	cursor_init(&from, p, n);
	msg_get_enum(&from, TICKET_BODY_VERSION, TICKET_BODY_VERSION);
	c->n = cursor_count(&from, TICKET_KEYS_MAX, TICKET_KEY_BYTES);
	for (uint32_t i = 0; i < c->n; i++)
		get_key(&from, &c->keys[i]);
	if (cursor_done(&from) == 0)
		return 0;
	memset(c, 0, sizeof *c);
	return -1;
}
