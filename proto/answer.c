#include "proto/answer.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "proto/mapping_conf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_CONN_MIN (8 + 2 + 1 + 1 + 2 + 2 + 2 + 8 + 8 + 8) /* bytes of the shortest connection */

static void conn_info_put(struct buf *b, const struct conn_info *conn)
{
	buf_u64(b, conn->id);
	buf_str16(b, conn->mapping);
	buf_u8(b, conn->protocol);
	buf_str16(b, conn->remote);
	buf_str16(b, conn->local);
	buf_str16(b, conn->target);
	buf_u64(b, conn->bytes_in);
	buf_u64(b, conn->bytes_out);
	buf_u64(b, (uint64_t)conn->opened_ms);
}

static void conn_info_get(struct cursor *c, struct conn_info *conn)
{
	conn->id = cursor_u64(c);
	msg_get_id(c, conn->mapping);
	conn->protocol = msg_get_enum(c, MAPPING_TCP, MAPPING_UDP);
	cursor_str16(c, conn->remote, sizeof conn->remote);
	cursor_str16(c, conn->local, sizeof conn->local);
	cursor_str16(c, conn->target, sizeof conn->target);
	conn->bytes_in = cursor_u64(c);
	conn->bytes_out = cursor_u64(c);
	conn->opened_ms = (int64_t)cursor_u64(c);
}

static void answer_get_conns(struct cursor *c, struct msg_answer *m)
{
	const uint32_t n = cursor_count(c, ANSWER_CONNS_MAX, ANSWER_CONN_MIN);

	if (n == 0)
		return;
	m->conns = calloc(n, sizeof *m->conns);
	if (m->conns == NULL) {
		cursor_fail(c);
		return;
	}
	m->n = n;
	for (uint32_t i = 0; i < n && !c->failed; i++)
		conn_info_get(c, &m->conns[i]);
}

void msg_answer_encode(const struct msg_answer *m, struct buf *b)
{
	assert(m->n <= ANSWER_CONNS_MAX);
	msg_begin(b, MSG_ANSWER);
	buf_u64(b, m->ask);
	buf_u16(b, m->code);
	buf_u8(b, m->truncated);
	buf_u32(b, m->n);
	for (uint32_t i = 0; i < m->n; i++)
		conn_info_put(b, &m->conns[i]);
}

int msg_answer_decode(struct msg_answer *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_ANSWER);
	m->ask = cursor_u64(&c);
	m->code = cursor_u16(&c);
	m->truncated = msg_get_bool(&c);
	answer_get_conns(&c, m);
	if (cursor_done(&c) == 0)
		return 0;
	msg_answer_fini(m);
	return -1;
}

void msg_answer_fini(struct msg_answer *m)
{
	free(m->conns);
	memset(m, 0, sizeof *m);
}

void msg_answer_ack_encode(struct buf *b)
{
	msg_begin(b, MSG_ANSWER_ACK);
}

int msg_answer_ack_decode(const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	msg_open(&c, MSG_ANSWER_ACK);
	return cursor_done(&c);
}
