#include "proto/poll.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <string.h>

void msg_poll_encode(const struct msg_poll *m, struct buf *b)
{
	msg_begin(b, MSG_POLL);
	msg_put_revision(b, &m->have);
	buf_u64(b, m->page_token);
	node_state_put(b, &m->state);
}

int msg_poll_decode(struct msg_poll *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_POLL);
	msg_get_revision(&c, &m->have);
	m->page_token = cursor_u64(&c);
	node_state_get(&c, &m->state);
	if (cursor_done(&c) == 0)
		return 0;
	msg_poll_fini(m);
	return -1;
}

void msg_poll_fini(struct msg_poll *m)
{
	node_state_fini(&m->state);
	memset(m, 0, sizeof *m);
}
