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

/* The list of one relay that is here, as it was told last. */
struct told {
	char node[PROTO_ID_SIZE];
	struct buf bytes;
};

static void told_free(struct told *t)
{
	if (t == NULL)
		return;
	buf_free(&t->bytes);
	free(t);
}

static struct told *told_of(struct line *l, const char *node)
{
	struct told *t = map_get_str(&l->clients, node);

	if (t != NULL || (t = calloc(1, sizeof *t)) == NULL)
		return t;
	str_copy(t->node, sizeof t->node, node);
	buf_init(&t->bytes, PROTO_MSG_MAX);
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
	if (l->message.failed || (t->bytes.len == l->message.len && l->message.len > 0 &&
					 memcmp(t->bytes.data, l->message.data, l->message.len) == 0))
		return;
	buf_reset(&t->bytes);
	buf_put(&t->bytes, l->message.data, l->message.len);
	line_peers_clients(l, t->node, t->bytes.data, t->bytes.len);
}

void line_clients_tell_all(struct line *l)
{
	const struct told *t;
	size_t it = 0;

	while ((t = map_next(&l->clients, &it)) != NULL)
		if (t->bytes.len > 0)
			line_peers_clients(l, t->node, t->bytes.data, t->bytes.len);
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
