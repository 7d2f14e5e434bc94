#include "proto/join.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

void msg_join_encode(const struct msg_join *m, struct buf *b)
{
	msg_begin(b, MSG_JOIN);
	buf_str16(b, m->token_id);
	buf_str16(b, m->secret);
	buf_str16(b, m->name);
	buf_str16(b, m->version);
	buf_str16(b, m->request_pem);
}

int msg_join_decode(struct msg_join *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	if (n > PROTO_JOIN_MAX)
		return -1;
	cursor_init(&c, p, n);
	msg_open(&c, MSG_JOIN);
	msg_get_id(&c, m->token_id);
	cursor_str16(&c, m->secret, sizeof m->secret);
	cursor_str16(&c, m->name, sizeof m->name);
	cursor_str16(&c, m->version, sizeof m->version);
	cursor_str16(&c, m->request_pem, sizeof m->request_pem);
	return cursor_done(&c);
}

void msg_renew_encode(const struct msg_renew *m, struct buf *b)
{
	msg_begin(b, MSG_RENEW);
	buf_str16(b, m->request_pem);
}

int msg_renew_decode(struct msg_renew *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_RENEW);
	cursor_str16(&c, m->request_pem, sizeof m->request_pem);
	return cursor_done(&c);
}

void msg_joined_encode(const struct msg_joined *m, struct buf *b)
{
	msg_begin(b, MSG_JOINED);
	buf_str16(b, m->node_id);
	buf_str16(b, m->name);
	buf_str16(b, m->cert_pem);
	buf_str16(b, m->ca_pem);
}

int msg_joined_decode(struct msg_joined *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_JOINED);
	msg_get_id(&c, m->node_id);
	cursor_str16(&c, m->name, sizeof m->name);
	cursor_str16(&c, m->cert_pem, sizeof m->cert_pem);
	cursor_str16(&c, m->ca_pem, sizeof m->ca_pem);
	return cursor_done(&c);
}

void msg_refused_encode(const struct msg_refused *m, struct buf *b)
{
	msg_begin(b, MSG_REFUSED);
	buf_u16(b, m->code);
	buf_u32(b, m->retry_ms);
	buf_str16(b, m->reason);
}

int msg_refused_decode(struct msg_refused *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_REFUSED);
	m->code = cursor_u16(&c);
	m->retry_ms = cursor_u32(&c);
	cursor_str16(&c, m->reason, sizeof m->reason);
	return cursor_done(&c);
}
