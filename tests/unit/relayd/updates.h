/*
 * updates - update messages for tests: deltas and snapshot pages made of lines, decoded again from their bytes.
 */
#ifndef PORTWAY_TESTS_RELAYD_UPDATES_H
#define PORTWAY_TESTS_RELAYD_UPDATES_H

#include "common/base/buf.h"
#include "common/base/str.h"
#include "proto/mapping_conf.h"
#include "proto/update.h"

#include <assert.h>
#include <string.h>

struct update_line {
	const char *id; /* NULL ends the list */
	uint64_t seq;
	enum { LINE_MAPPING, LINE_GONE, LINE_BAD_BODY, LINE_UNKNOWN_KIND } what;
	uint16_t port;
};
#define PUT(id, seq)                        \
	{                                   \
		id, seq, LINE_MAPPING, 1000 \
	}
#define PUT_PORT(id, seq, port)             \
	{                                   \
		id, seq, LINE_MAPPING, port \
	}
#define GONE(id, seq)                 \
	{                             \
		id, seq, LINE_GONE, 0 \
	}
#define BAD_BODY(id, seq)                 \
	{                                 \
		id, seq, LINE_BAD_BODY, 0 \
	}
#define UNKNOWN(id, seq)                      \
	{                                     \
		id, seq, LINE_UNKNOWN_KIND, 0 \
	}
#define NO_MORE                          \
	{                                \
		NULL, 0, LINE_MAPPING, 0 \
	}

static inline struct proto_revision revision_of(uint8_t log, uint64_t seq)
{
	struct proto_revision r = { .seq = seq };

	memset(r.log_id, log, sizeof r.log_id);
	return r;
}

static inline void put_line(struct buf *b, const struct update_line *line)
{
	struct mapping_conf m = { .protocol = MAPPING_TCP, .enabled = true, .target_port = 80 };
	struct buf body;

	buf_init(&body, 65536);
	m.port_first = m.port_last = line->port;
	str_copy(m.target_host, sizeof m.target_host, "127.0.0.1");
	mapping_conf_encode(&m, &body);
	if (line->what == LINE_GONE)
		msg_update_gone(b, OBJECT_MAPPING, line->id, line->seq);
	else if (line->what == LINE_BAD_BODY)
		msg_update_put(b, OBJECT_MAPPING, line->id, line->seq, "nonsense", 8);
	else
		msg_update_put(b, line->what == LINE_UNKNOWN_KIND ? 77 : OBJECT_MAPPING, line->id, line->seq, body.data,
			body.len);
	buf_free(&body);
}

/* Encodes and decodes: *m borrows from b, which the caller frees. */
static inline void update_make(
	struct buf *b, struct msg_update *m, const struct msg_update *head, const struct update_line *lines)
{
	size_t count_at;
	uint32_t n = 0;
	int r;

	buf_init(b, PROTO_MSG_MAX);
	msg_update_begin(b, head, &count_at);
	for (; lines[n].id != NULL; n++)
		put_line(b, &lines[n]);
	msg_update_end(b, count_at, n);
	assert(!b->failed);
	r = msg_update_decode(m, b->data, b->len);
	assert(r == 0);
	(void)r;
}

#endif
