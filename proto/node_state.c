#include "proto/node_state.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NODE_REFUSAL_MIN (1 + 2 + 1 + 8 + 2 + 2) /* bytes of the shortest one: an id has at least one character */

static void node_refusal_put(struct buf *b, const struct node_refusal *r)
{
	buf_u8(b, r->kind);
	buf_str16(b, r->id);
	buf_u64(b, r->seq);
	buf_u16(b, r->code);
	buf_str16(b, r->reason);
}

static void node_refusal_get(struct cursor *c, struct node_refusal *r)
{
	r->kind = cursor_u8(c); /* one that this side does not know is shown by id all the same */
	msg_get_id(c, r->id);
	r->seq = cursor_u64(c);
	r->code = cursor_u16(c);
	cursor_str16(c, r->reason, sizeof r->reason);
}

void node_state_put(struct buf *b, const struct node_state *s)
{
	assert(s->n <= NODE_REFUSALS_MAX);
	msg_put_revision(b, &s->applied);
	buf_u64(b, s->serial);
	buf_u32(b, s->more);
	buf_u32(b, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		node_refusal_put(b, &s->refusals[i]);
}

static void node_state_get_refusals(struct cursor *c, struct node_state *s)
{
	const uint32_t n = cursor_count(c, NODE_REFUSALS_MAX, NODE_REFUSAL_MIN);

	if (n == 0)
		return;
	s->refusals = calloc(n, sizeof *s->refusals);
	if (s->refusals == NULL) {
		cursor_fail(c);
		return;
	}
	s->n = n;
	for (uint32_t i = 0; i < n && !c->failed; i++)
		node_refusal_get(c, &s->refusals[i]);
}

void node_state_get(struct cursor *c, struct node_state *s)
{
	memset(s, 0, sizeof *s);
	msg_get_revision(c, &s->applied);
	s->serial = cursor_u64(c);
	s->more = cursor_u32(c);
	node_state_get_refusals(c, s);
	if (c->failed)
		node_state_fini(s);
}

void node_state_fini(struct node_state *s)
{
	free(s->refusals);
	memset(s, 0, sizeof *s);
}
