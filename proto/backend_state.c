#include "proto/backend_state.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <stdlib.h>
#include <string.h>

#define STATE_MIN (3 + 3 + 1 + 4 + 8 + 2) /* bytes of the shortest: ids have at least one character */
#define PANIC_MIN (3 + 8)

static int64_t get_time(struct cursor *c)
{
	const int64_t ms = (int64_t)cursor_u64(c);

	if (ms < 0)
		cursor_fail(c);
	return ms;
}

static void state_put(struct buf *b, const struct backend_state *s)
{
	buf_str16(b, s->pool);
	buf_str16(b, s->backend);
	buf_u8(b, s->state);
	buf_u32(b, s->flaps);
	buf_u64(b, (uint64_t)s->since_ms);
	buf_str16(b, s->reason);
}

static void state_get(struct cursor *c, struct backend_state *s)
{
	msg_get_id(c, s->pool);
	msg_get_id(c, s->backend);
	s->state = msg_get_enum(c, BACKEND_HEALTHY, BACKEND_UNKNOWN);
	s->flaps = cursor_u32(c);
	s->since_ms = get_time(c);
	cursor_str16(c, s->reason, sizeof s->reason);
}

void backend_states_put(struct buf *b, const struct backend_states *s)
{
	const uint32_t n = MIN(s->n, BACKEND_STATES_MAX), panics = MIN(s->n_panics, POOL_PANICS_MAX);

	buf_u8(b, s->told);
	if (!s->told)
		return;
	buf_u32(b, s->more + (s->n - n));
	buf_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		state_put(b, &s->items[i]);
	buf_u32(b, panics);
	for (uint32_t i = 0; i < panics; i++) {
		buf_str16(b, s->panics[i].pool);
		buf_u64(b, (uint64_t)s->panics[i].since_ms);
	}
}

/* Room for as many as the count says; NULL and *n = 0 for none, or for no memory, which fails the cursor. */
static void *get_list(struct cursor *c, uint32_t max, size_t wire_min, size_t size, uint32_t *n)
{
	const uint32_t count = cursor_count(c, max, wire_min);
	void *items = count > 0 ? calloc(count, size) : NULL;

	if (count > 0 && items == NULL)
		cursor_fail(c);
	*n = items != NULL ? count : 0;
	return items;
}

void backend_states_get(struct cursor *c, struct backend_states *s)
{
	memset(s, 0, sizeof *s);
	s->told = msg_get_bool(c);
	if (s->told) {
		s->more = cursor_u32(c);
		s->items = get_list(c, BACKEND_STATES_MAX, STATE_MIN, sizeof *s->items, &s->n);
		for (uint32_t i = 0; i < s->n && !c->failed; i++)
			state_get(c, &s->items[i]);
		s->panics = get_list(c, POOL_PANICS_MAX, PANIC_MIN, sizeof *s->panics, &s->n_panics);
		for (uint32_t i = 0; i < s->n_panics && !c->failed; i++) {
			msg_get_id(c, s->panics[i].pool);
			s->panics[i].since_ms = get_time(c);
		}
	}
	if (c->failed)
		backend_states_fini(s);
}

void backend_states_fini(struct backend_states *s)
{
	free(s->items);
	free(s->panics);
	memset(s, 0, sizeof *s);
}
