#include "controld/fleet/line/model_group.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/fleet/line/model_snapshot.h"

#include <stdlib.h>

struct node_head {
	char node[PROTO_ID_SIZE];
	uint64_t rev;
};

int model_group_new(struct model_group **out, const char *id, size_t changes_max, uint64_t floor, struct err *e)
{
	struct model_group *g = calloc(1, sizeof *g);

	if (g == NULL)
		return err_set(e, ERR_NOMEM, NULL, "group %s: out of memory", id);
	str_copy(g->id, sizeof g->id, id);
	list_init(&g->objects);
	map_init(&g->node_heads);
	model_log_init(&g->log, changes_max, floor);
	for (size_t i = 0; i < ARRAY_LEN(g->deltas); i++)
		buf_init(&g->deltas[i].entries, PROTO_MSG_MAX);
	*out = g;
	return 0;
}

static void forget_encoded(struct model_group *g)
{
	for (size_t i = 0; i < ARRAY_LEN(g->deltas); i++)
		g->deltas[i].valid = false;
	model_snapshot_unref(g->snapshot);
	g->snapshot = NULL;
}

void model_group_free(struct model_group *g)
{
	struct node_head *h;
	size_t it = 0;

	if (g == NULL)
		return;
	forget_encoded(g);
	for (size_t i = 0; i < ARRAY_LEN(g->deltas); i++)
		buf_free(&g->deltas[i].entries);
	while ((h = map_next(&g->node_heads, &it)) != NULL)
		free(h);
	map_free(&g->node_heads);
	model_log_fini(&g->log);
	free(g);
}

static int node_head_raise(struct model_group *g, const char *node, uint64_t rev, struct err *e)
{
	struct node_head *h = map_get_str(&g->node_heads, node);

	if (h == NULL) {
		h = calloc(1, sizeof *h);
		if (h == NULL)
			return err_set(e, ERR_NOMEM, NULL, "group %s: out of memory", g->id);
		str_copy(h->node, sizeof h->node, node);
		if (map_put_str(&g->node_heads, h->node, h, NULL) != 0) {
			free(h);
			return err_set(e, ERR_NOMEM, NULL, "group %s: out of memory", g->id);
		}
	}
	h->rev = rev;
	return 0;
}

int model_group_change(struct model_group *g, uint64_t rev, struct model_object *o, bool gone, struct err *e)
{
	if (o->node[0] != '\0') {
		if (node_head_raise(g, o->node, rev, e) != 0)
			return -1;
	} else {
		g->head = rev;
	}
	model_log_add(&g->log, rev, o, gone);
	forget_encoded(g);
	return 0;
}

void model_group_add(struct model_group *g, struct model_object *o)
{
	list_push_back(&g->objects, &o->in_group);
	g->n++;
}

void model_group_drop(struct model_group *g, struct model_object *o)
{
	list_remove(&o->in_group);
	g->n--;
}

uint64_t model_group_node_head(const struct model_group *g, const char *node)
{
	const struct node_head *h = map_count(&g->node_heads) > 0 ? map_get_str(&g->node_heads, node) : NULL;

	return h == NULL ? 0 : h->rev;
}
