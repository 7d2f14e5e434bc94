/* What relays say about the agents that are linked to them: taken in, and told to the other controlds when it changes. */
#include "common/base/clock.h"
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/clients/client_status.h"
#include "controld/fleet/line/line_room.h"
#include "controld/fleet/line/roster.h"
#include "proto/client_state.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 80 /* that a list has; relays tell of no more (CLIENT_STATES_ALL, CLIENT_TROUBLES_ALL) */

/* The list of one relay that is here, as it was told last: its parts, encoded. */
struct told {
	char node[PROTO_ID_SIZE];
	struct buf parts[PARTS_MAX];
	uint32_t n;    /* parts of a list that is complete */
	uint32_t next; /* part that comes; 0: a list begins */
	bool changed;  /* and the others do not know */
};

static void told_free(struct told *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < PARTS_MAX; i++)
		buf_free(&t->parts[i]);
	free(t);
}

static struct told *told_of(struct line *l, const char *node)
{
	struct told *t = map_get_str(&l->clients, node);

	if (t != NULL || (t = calloc(1, sizeof *t)) == NULL)
		return t;
	str_copy(t->node, sizeof t->node, node);
	for (size_t i = 0; i < PARTS_MAX; i++)
		buf_init(&t->parts[i], PROTO_MSG_MAX);
	if (map_put_str(&l->clients, t->node, t, NULL) == 0)
		return t;
	free(t);
	return NULL;
}

static void take(struct line *l, const struct roster_node *n, const struct client_states *list)
{
	if (client_statuses_node(l->conf.clients, n->row.id, n->row.name, list, clock_wall_ms()) != 0)
		log_warn("clients_not_taken", log_s("node", n->row.id));
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && a->len > 0 && memcmp(a->data, b->data, a->len) == 0;
}

static void tell(struct line *l, const struct told *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->parts[i].len > 0)
			line_peers_clients(l, t->node, t->parts[i].data, t->parts[i].len);
}

/* The encoded part; true: it is the last one of a list in which something is new. */
static bool note(struct told *t, const struct client_states *part, const struct buf *bytes)
{
	if ((part->part != 0 && part->part != t->next) || part->part >= PARTS_MAX) {
		t->next = 0;
		return false;
	}
	if (!same(&t->parts[part->part], bytes)) {
		t->changed = true;
		buf_reset(&t->parts[part->part]);
		buf_put(&t->parts[part->part], bytes->data, bytes->len);
	}
	t->next = part->goes_on ? part->part + 1 : 0;
	if (part->goes_on)
		return false;
	t->changed |= t->n != part->part + 1;
	for (uint32_t i = part->part + 1; i < t->n; i++)
		buf_free(&t->parts[i]);
	t->n = part->part + 1;
	return t->changed;
}

void line_clients_take(struct line *l, const struct roster_node *n, const struct client_states *list)
{
	struct told *t;

	if (l->conf.clients == NULL || !list->told)
		return;
	take(l, n, list);
	if ((t = told_of(l, n->row.id)) == NULL)
		return;
	buf_reset(&l->message);
	client_states_put(&l->message, list);
	if (l->message.failed || !note(t, list, &l->message))
		return;
	t->changed = false;
	tell(l, t);
}

void line_clients_tell_all(struct line *l)
{
	const struct told *t;
	size_t it = 0;

	while ((t = map_next(&l->clients, &it)) != NULL)
		tell(l, t);
}

/* Another controld has it, and tells of it. */
void line_clients_hear(struct line *l, const char *node, const void *p, size_t size)
{
	struct client_states list;
	struct roster_node n;
	struct cursor c;

	if (l->conf.clients == NULL || !roster_get(l->conf.roster, node, &n) || !n.row.online)
		return;
	cursor_init(&c, p, size);
	client_states_get(&c, &list);
	if (cursor_done(&c) == 0 && list.told)
		take(l, &n, &list);
	client_states_fini(&list);
}

void line_clients_leave(struct line *l, const char *node)
{
	told_free(map_remove_str(&l->clients, node));
}

void line_clients_gone(struct line *l, const char *node)
{
	line_clients_leave(l, node);
	if (l->conf.clients != NULL)
		client_statuses_node_gone(l->conf.clients, node);
}

void line_clients_fini(struct line *l)
{
	struct told *t;
	size_t it = 0;

	while ((t = map_next(&l->clients, &it)) != NULL)
		told_free(t);
	map_free(&l->clients);
}
