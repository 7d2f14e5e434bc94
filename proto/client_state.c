#include "proto/client_state.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <stdlib.h>
#include <string.h>

#define STATE_FIXED        (2 + 2 + 2 + 2 + 1 + 4 + 8) /* bytes of one without its strings */
#define CLIENT_STATE_MIN   (STATE_FIXED + 2)           /* ids have at least one character */
#define CLIENT_TROUBLE_MIN (4 * 2 + 3)

static void state_put(struct buf *b, const struct client_state *s)
{
	buf_str16(b, s->client);
	buf_str16(b, s->instance);
	buf_str16(b, s->remote);
	buf_str16(b, s->version);
	buf_u8(b, s->state);
	buf_u32(b, s->links);
	buf_u64(b, (uint64_t)s->since_ms);
}

static void state_get(struct cursor *c, struct client_state *s)
{
	msg_get_id(c, s->client);
	msg_get_id(c, s->instance);
	cursor_str16(c, s->remote, sizeof s->remote);
	cursor_str16(c, s->version, sizeof s->version);
	s->state = msg_get_enum(c, CLIENT_STATE_ONLINE, CLIENT_STATE_ERROR);
	s->links = cursor_u32(c);
	s->since_ms = (int64_t)cursor_u64(c);
	if (s->since_ms < 0)
		cursor_fail(c);
}

static void trouble_put(struct buf *b, const struct client_trouble *t)
{
	buf_str16(b, t->client);
	buf_str16(b, t->instance);
	buf_str16(b, t->mapping);
	buf_str16(b, t->reason);
}

static void trouble_get(struct cursor *c, struct client_trouble *t)
{
	msg_get_id(c, t->client);
	msg_get_id(c, t->instance);
	msg_get_id(c, t->mapping);
	cursor_str16(c, t->reason, sizeof t->reason);
}

static size_t state_size(const struct client_state *s)
{
	return STATE_FIXED + strlen(s->client) + strlen(s->instance) + strlen(s->remote) + strlen(s->version);
}

/* How many fit. */
static uint32_t states_fit(const struct client_states *s)
{
	size_t bytes = 0;
	uint32_t n = 0;

	while (n < s->n && n < CLIENT_STATES_MAX && (bytes += state_size(&s->items[n])) <= CLIENT_STATES_BYTES)
		n++;
	return n;
}

void client_states_put(struct buf *b, const struct client_states *s)
{
	const uint32_t fit = states_fit(s), troubles = MIN(s->n_troubles, CLIENT_TROUBLES_MAX);

	buf_u8(b, s->told);
	if (!s->told)
		return;
	buf_u32(b, s->more + (s->n - fit));
	buf_u32(b, fit);
	for (uint32_t i = 0; i < fit; i++)
		state_put(b, &s->items[i]);
	buf_u32(b, s->more_troubles + (s->n_troubles - troubles));
	buf_u32(b, troubles);
	for (uint32_t i = 0; i < troubles; i++)
		trouble_put(b, &s->troubles[i]);
}

static void states_get_items(struct cursor *c, struct client_states *s)
{
	const uint32_t n = cursor_count(c, CLIENT_STATES_MAX, CLIENT_STATE_MIN);

	if (n == 0)
		return;
	s->items = calloc(n, sizeof *s->items);
	if (s->items == NULL) {
		cursor_fail(c);
		return;
	}
	s->n = n;
	for (uint32_t i = 0; i < n && !c->failed; i++)
		state_get(c, &s->items[i]);
	if (states_fit(s) != n) /* nobody sends that many bytes of it */
		cursor_fail(c);
}

static void states_get_troubles(struct cursor *c, struct client_states *s)
{
	const uint32_t n = cursor_count(c, CLIENT_TROUBLES_MAX, CLIENT_TROUBLE_MIN);

	if (n == 0)
		return;
	s->troubles = calloc(n, sizeof *s->troubles);
	if (s->troubles == NULL) {
		cursor_fail(c);
		return;
	}
	s->n_troubles = n;
	for (uint32_t i = 0; i < n && !c->failed; i++)
		trouble_get(c, &s->troubles[i]);
}

void client_states_get(struct cursor *c, struct client_states *s)
{
	memset(s, 0, sizeof *s);
	s->told = msg_get_bool(c);
	if (s->told) {
		s->more = cursor_u32(c);
		states_get_items(c, s);
		s->more_troubles = cursor_u32(c);
		states_get_troubles(c, s);
	}
	if (c->failed)
		client_states_fini(s);
}

void client_states_fini(struct client_states *s)
{
	free(s->items);
	free(s->troubles);
	memset(s, 0, sizeof *s);
}
