#include "controld/fleet/line/peer_msg.h"

#include "common/base/buf.h"
#include "proto/node_state.h"

#include <string.h>

#define PEER_ID_MIN    3                     /* bytes of the shortest id */
#define PEER_STATE_MIN (PEER_ID_MIN + 1 + 4) /* and of a state */
#define PEER_LOAD_MIN  (PEER_ID_MIN + 2 + 8) /* and of a load, less than that */

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

void peer_msg_begin(struct buf *b, enum peer_msg_type type)
{
	buf_u8(b, (uint8_t)type);
	buf_u8(b, PEER_MSG_VERSION);
}

void peer_msg_list_begin(struct buf *b, size_t *count_at)
{
	*count_at = b->len;
	buf_u32(b, 0);
}

void peer_msg_list_end(struct buf *b, size_t count_at, uint32_t n)
{
	if (!b->failed)
		buf_patch_u32(b, count_at, n);
}

void peer_msg_state(struct buf *b, const char *node, bool online, const void *state, size_t n)
{
	buf_str16(b, node);
	buf_u8(b, online);
	buf_blob32(b, state, n);
}

void peer_msg_id(struct buf *b, const char *node)
{
	buf_str16(b, node);
}

void peer_msg_load(struct buf *b, const struct peer_load *l)
{
	buf_str16(b, l->node);
	buf_str16(b, l->address);
	buf_u64(b, l->seen_ms);
	node_load_put(b, &l->load);
}

void peer_msg_ask(struct buf *b, const struct ask *a)
{
	peer_msg_begin(b, PEER_ASK);
	ask_put(b, a);
}

void peer_msg_of(struct buf *b, enum peer_msg_type type, const char *node, const void *p, size_t n)
{
	peer_msg_begin(b, type);
	buf_str16(b, node);
	buf_blob32(b, p, n);
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

static void get_state(struct cursor *c, struct peer_state *s)
{
	msg_get_id(c, s->node);
	s->online = msg_get_bool(c);
	s->state = cursor_blob32(c, &s->n);
}

static bool is_state(const struct peer_state *s)
{
	struct node_state state;
	struct cursor c;
	bool sound;

	cursor_init(&c, s->state, s->n);
	node_state_get(&c, &state);
	sound = cursor_done(&c) == 0;
	node_state_fini(&state);
	return sound;
}

/* Walks the list to its end; what follows reads it again without looking at errors. */
static void check_states(struct cursor *c)
{
	for (uint32_t n = cursor_count(c, PEER_MSG_LIST_MAX, PEER_STATE_MIN); n > 0 && !c->failed; n--) {
		struct peer_state s;

		get_state(c, &s);
		if (!c->failed && !is_state(&s))
			cursor_fail(c);
	}
}

static void get_load(struct cursor *c, struct peer_load *l)
{
	msg_get_id(c, l->node);
	cursor_str16(c, l->address, sizeof l->address);
	l->seen_ms = cursor_u64(c);
	node_load_get(c, &l->load);
}

static void check_loads(struct cursor *c)
{
	struct peer_load l;

	for (uint32_t n = cursor_count(c, PEER_MSG_LIST_MAX, PEER_LOAD_MIN); n > 0 && !c->failed; n--)
		get_load(c, &l);
}

static void check_ids(struct cursor *c)
{
	char id[PROTO_ID_SIZE];

	for (uint32_t n = cursor_count(c, PEER_MSG_LIST_MAX, PEER_ID_MIN); n > 0 && !c->failed; n--)
		msg_get_id(c, id);
}

/* The list at c: its rows stay to be read, c goes on behind it. */
static void take_list(struct peer_msg *m, struct cursor *c, void (*check)(struct cursor *c))
{
	m->rows = *c;
	check(c);
	(void)cursor_u32(&m->rows);
	m->rows.left -= MIN(c->left, m->rows.left);
}

int peer_msg_decode(struct peer_msg *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	m->type = msg_get_enum(&c, PEER_HELLO, PEER_LOADS);
	if (cursor_u8(&c) != PEER_MSG_VERSION)
		cursor_fail(&c);
	switch (m->type) {
	case PEER_HELLO:
	case PEER_BYE:
		break;
	case PEER_STATES:
		take_list(m, &c, check_states);
		break;
	case PEER_HEARD:
		take_list(m, &c, check_ids);
		break;
	case PEER_LOADS:
		take_list(m, &c, check_loads);
		break;
	case PEER_ASK:
		ask_get(&c, &m->ask);
		take_list(m, &c, check_ids);
		break;
	case PEER_ANSWER:
	case PEER_CLIENTS:
		msg_get_id(&c, m->of.node);
		m->of.state = cursor_blob32(&c, &m->of.n);
		break;
	}
	return cursor_done(&c);
}

bool peer_msg_next_state(struct cursor *rows, struct peer_state *out)
{
	if (rows->left == 0)
		return false;
	get_state(rows, out);
	return !rows->failed;
}

bool peer_msg_next_load(struct cursor *rows, struct peer_load *out)
{
	if (rows->left == 0)
		return false;
	get_load(rows, out);
	return !rows->failed;
}

bool peer_msg_next_id(struct cursor *rows, char node[PROTO_ID_SIZE])
{
	if (rows->left == 0)
		return false;
	msg_get_id(rows, node);
	return !rows->failed;
}
