#include "proto/client_state.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <stdlib.h>
#include <string.h>

#define STATE_FIXED        (2 + 2 + 2 + 2 + 1 + 4 + 8) /* bytes of one without its strings */
#define CLIENT_STATE_MIN   (STATE_FIXED + 2)           /* ids have at least one character */
#define CLIENT_TROUBLE_MIN (1 + 4 * 2 + 3)

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
	buf_u8(b, t->kind);
	buf_str16(b, t->client);
	buf_str16(b, t->instance);
	buf_str16(b, t->mapping);
	buf_str16(b, t->reason);
}

static void trouble_get(struct cursor *c, struct client_trouble *t)
{
	t->kind = msg_get_enum(c, CLIENT_TROUBLE_DOWN, CLIENT_TROUBLE_DOUBT);
	msg_get_id(c, t->client);
	msg_get_id(c, t->instance);
	msg_get_id(c, t->mapping);
	cursor_str16(c, t->reason, sizeof t->reason);
}

static size_t state_size(const struct client_state *s)
{
	return STATE_FIXED + strlen(s->client) + strlen(s->instance) + strlen(s->remote) + strlen(s->version);
}

/* How many of them fit into a message, from one on. */
static uint32_t states_fit(const struct client_states *s, uint32_t from)
{
	size_t bytes = 0;
	uint32_t n = 0;

	while (from + n < s->n && n < CLIENT_STATES_MAX &&
		(bytes += state_size(&s->items[from + n])) <= CLIENT_STATES_BYTES)
		n++;
	return n;
}

void client_states_put(struct buf *b, const struct client_states *s)
{
	const uint32_t fit = states_fit(s, 0), troubles = MIN(s->n_troubles, CLIENT_TROUBLES_MAX);

	buf_u8(b, s->told);
	if (!s->told)
		return;
	buf_u32(b, s->part);
	buf_u8(b, s->goes_on);
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
	if (states_fit(s, 0) != n) /* nobody sends that many bytes of it */
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
		s->part = cursor_u32(c);
		s->goes_on = msg_get_bool(c);
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

/* ---- in parts ----------------------------------------------------------------------------------------------------- */

/* Appends n of `size` bytes to what is there. */
static int grow(void **items, uint32_t had, const void *more, uint32_t n, size_t size)
{
	uint8_t *p;

	if (n == 0)
		return 0;
	p = realloc(*items, ((size_t)had + n) * size);
	if (p == NULL)
		return -1;
	memcpy(p + had * size, more, n * size);
	*items = p;
	return 0;
}

static int append(struct client_states *to, const struct client_states *from)
{
	const uint32_t n = MIN(from->n, CLIENT_STATES_ALL - to->n);
	const uint32_t troubles = MIN(from->n_troubles, CLIENT_TROUBLES_ALL - to->n_troubles);
	void *items = to->items, *list = to->troubles;
	int r = grow(&items, to->n, from->items, n, sizeof *to->items);

	to->items = items;
	if (r == 0)
		r = grow(&list, to->n_troubles, from->troubles, troubles, sizeof *to->troubles);
	to->troubles = list;
	if (r != 0)
		return -1;
	to->n += n;
	to->n_troubles += troubles;
	to->more = MAX(to->more, from->more) + (from->n - n);
	to->more_troubles = MAX(to->more_troubles, from->more_troubles) + (from->n_troubles - troubles);
	return 0;
}

int client_states_copy(struct client_states *to, const struct client_states *from)
{
	*to = (struct client_states){ .told = from->told };
	if (append(to, from) == 0)
		return 0;
	client_states_fini(to);
	return -1;
}

bool client_states_next(const struct client_states *all, struct client_states_at *at, struct client_states *out)
{
	const uint32_t troubles = MIN(all->n_troubles - at->trouble, CLIENT_TROUBLES_MAX);

	if (at->part > 0 && at->item == all->n && at->trouble == all->n_troubles)
		return false;
	*out = (struct client_states){ .told = all->told,
		.part = at->part++,
		.n = states_fit(all, at->item),
		.more = all->more,
		.n_troubles = troubles,
		.more_troubles = all->more_troubles };
	if (out->n > 0)
		out->items = all->items + at->item;
	if (troubles > 0)
		out->troubles = all->troubles + at->trouble;
	at->item += out->n;
	at->trouble += troubles;
	out->goes_on = at->item < all->n || at->trouble < all->n_troubles;
	return true;
}

int client_states_gather(struct client_states_pile *pile, const struct client_states *part)
{
	if (part->part == 0)
		client_states_pile_fini(pile);
	else if (part->part != pile->next || pile->next == 0)
		return 0; /* what came before it was lost: the next list is taken */
	if (append(&pile->all, part) != 0) {
		client_states_pile_fini(pile);
		return -1;
	}
	pile->all.told = true;
	pile->next = part->goes_on ? part->part + 1 : 0;
	return !part->goes_on;
}

void client_states_pile_fini(struct client_states_pile *pile)
{
	client_states_fini(&pile->all);
	pile->next = 0;
}
