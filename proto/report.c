#include "proto/report.h"

#include "common/base/buf.h"

#include <assert.h>
#include <string.h>

/* A row names its non-zero counters in a bit set, so a side that knows more counters and one that knows fewer agree. */
#define REPORT_COUNTERS_MAX 32
#define REPORT_ROW_MIN      (8 + 2 + 1 + 4) /* bytes of the shortest row: an id has at least one character */

_Static_assert(METER_COUNTERS_N <= REPORT_COUNTERS_MAX, "a row's bit set has 32 bits");

void node_load_put(struct buf *b, const struct node_load *l)
{
	buf_str16(b, l->version);
	buf_u64(b, l->uptime_s);
	buf_u32(b, l->workers);
	buf_u32(b, l->fds);
	buf_u32(b, l->fds_max);
	buf_u32(b, l->connections);
	buf_u32(b, l->mappings);
	buf_u32(b, l->cpu_permille);
	buf_u64(b, l->rss_bytes);
	buf_u32(b, l->loop_lag_us);
	buf_str16(b, l->agents);
	buf_u16(b, l->http_port);
	buf_u16(b, l->tls_port);
	buf_str16(b, l->name);
}

void node_load_get(struct cursor *c, struct node_load *l)
{
	cursor_str16(c, l->version, sizeof l->version);
	l->uptime_s = cursor_u64(c);
	l->workers = cursor_u32(c);
	l->fds = cursor_u32(c);
	l->fds_max = cursor_u32(c);
	l->connections = cursor_u32(c);
	l->mappings = cursor_u32(c);
	l->cpu_permille = cursor_u32(c);
	l->rss_bytes = cursor_u64(c);
	l->loop_lag_us = cursor_u32(c);
	cursor_str16(c, l->agents, sizeof l->agents);
	l->http_port = cursor_u16(c);
	l->tls_port = cursor_u16(c);
	cursor_str16(c, l->name, sizeof l->name);
}

void msg_report_begin(struct buf *b, const struct msg_report *head, size_t *count_at)
{
	msg_begin(b, MSG_REPORT);
	buf_str16(b, head->boot);
	buf_u64(b, head->number);
	buf_u8(b, head->last);
	node_load_put(b, &head->load);
	node_state_put(b, &head->state);
	client_states_put(b, &head->clients);
	backend_states_put(b, &head->backends);
	*count_at = b->len;
	buf_u32(b, 0);
}

void msg_report_row(struct buf *b, const struct meter_row *row)
{
	uint32_t set = 0;

	for (uint32_t i = 0; i < METER_COUNTERS_N; i++)
		if (row->value[i] != 0)
			set |= BIT(i);
	buf_u64(b, row->slot);
	buf_str16(b, row->object);
	buf_u32(b, set);
	for (uint32_t i = 0; i < METER_COUNTERS_N; i++)
		if (row->value[i] != 0)
			buf_u64(b, row->value[i]);
}

void msg_report_end(struct buf *b, size_t count_at, uint32_t n_rows)
{
	buf_patch_u32(b, count_at, n_rows);
}

bool msg_report_next(struct cursor *it, struct meter_row *out)
{
	uint32_t set;

	memset(out, 0, sizeof *out);
	if (it->failed || it->left == 0)
		return false;
	out->slot = cursor_u64(it);
	msg_get_id(it, out->object);
	set = cursor_u32(it);
	for (uint32_t i = 0; i < REPORT_COUNTERS_MAX; i++) {
		uint64_t value;

		if (!(set & BIT(i)))
			continue;
		value = cursor_u64(it);
		if (value == 0) /* would have a second encoding */
			cursor_fail(it);
		if (i < METER_COUNTERS_N)
			out->value[i] = value;
	}
	return !it->failed;
}

/* Walks the rows once, so that nobody later meets one that is broken. */
static void report_check_rows(struct cursor *c, const struct msg_report *m)
{
	struct meter_row row;
	uint32_t n = 0;

	while (msg_report_next(c, &row))
		n++;
	if (n != m->n_rows || (n > 0 && m->boot[0] == '\0'))
		cursor_fail(c);
}

int msg_report_decode(struct msg_report *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_REPORT);
	cursor_str16(&c, m->boot, sizeof m->boot);
	m->number = cursor_u64(&c);
	m->last = msg_get_bool(&c);
	node_load_get(&c, &m->load);
	node_state_get(&c, &m->state);
	client_states_get(&c, &m->clients);
	backend_states_get(&c, &m->backends);
	m->n_rows = cursor_count(&c, PROTO_MSG_MAX / REPORT_ROW_MIN, REPORT_ROW_MIN);
	m->rows = c;
	report_check_rows(&c, m);
	if (cursor_done(&c) == 0)
		return 0;
	msg_report_fini(m);
	return -1;
}

void msg_report_fini(struct msg_report *m)
{
	node_state_fini(&m->state);
	client_states_fini(&m->clients);
	backend_states_fini(&m->backends);
	memset(m, 0, sizeof *m);
}

void msg_report_ack_encode(const struct msg_report_ack *m, struct buf *b)
{
	msg_begin(b, MSG_REPORT_ACK);
	buf_str16(b, m->boot);
	buf_u64(b, m->stored);
	buf_u8(b, m->forget);
}

int msg_report_ack_decode(struct msg_report_ack *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	msg_open(&c, MSG_REPORT_ACK);
	cursor_str16(&c, m->boot, sizeof m->boot);
	m->stored = cursor_u64(&c);
	m->forget = msg_get_bool(&c);
	return cursor_done(&c);
}
