#include "controld/clients/client_status.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "controld/clients/client.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	char client[PROTO_ID_SIZE];
	struct list agents; /* agent.of_client */
	struct client_sign last;
	int64_t written_ms;
	bool online; /* counted */
	bool news;   /* last is not written down */
};

struct agent {
	struct list of_client;
	struct seen *client;
	struct node *node;
	struct client_state state;
};

struct node {
	char id[PROTO_ID_SIZE];
	char name[PROTO_NAME_SIZE];
	size_t n;
	struct agent *agents;
	size_t n_troubles;
	struct client_trouble *troubles;
	uint32_t more, more_troubles;
	struct client_states_pile pile; /* of a list in parts that has not come to its end */
};

struct client_statuses {
	pthread_mutex_t lock;
	struct map nodes;
	struct map clients;
	size_t online;
};

int client_statuses_new(struct client_statuses **out, struct err *e)
{
	struct client_statuses *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "status of clients: out of memory");
	pthread_mutex_init(&s->lock, NULL);
	map_init(&s->nodes);
	map_init(&s->clients);
	*out = s;
	return 0;
}

static void node_free(struct node *n)
{
	free(n->agents);
	free(n->troubles);
	client_states_pile_fini(&n->pile);
	free(n);
}

void client_statuses_free(struct client_statuses *s)
{
	struct node *n;
	struct seen *c;
	size_t it = 0;

	if (s == NULL)
		return;
	while ((n = map_next(&s->nodes, &it)) != NULL)
		node_free(n);
	it = 0;
	while ((c = map_next(&s->clients, &it)) != NULL)
		free(c);
	map_free(&s->nodes);
	map_free(&s->clients);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *client_status_name(enum client_status status)
{
	static const char *const names[] = {
		[CLIENT_OFFLINE] = "offline",
		[CLIENT_ONLINE] = "online",
		[CLIENT_ERROR] = "error",
	};

	return names[status];
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static enum client_status status_of(const struct seen *c)
{
	enum client_status status = CLIENT_OFFLINE;

	if (c == NULL)
		return CLIENT_OFFLINE;
	LIST_FOREACH (it, &c->agents) {
		if (CONTAINER_OF(it, struct agent, of_client)->state.state == CLIENT_STATE_ONLINE)
			return CLIENT_ONLINE;
		status = CLIENT_ERROR;
	}
	return status;
}

static void count(struct client_statuses *s, struct seen *c)
{
	const bool online = status_of(c) == CLIENT_ONLINE;

	if (online && !c->online)
		s->online++;
	if (!online && c->online)
		s->online--;
	c->online = online;
}

static struct seen *client_of(struct client_statuses *s, const char *id)
{
	struct seen *c = map_get_str(&s->clients, id);

	if (c != NULL)
		return c;
	c = calloc(1, sizeof *c);
	if (c == NULL)
		return NULL;
	list_init(&c->agents);
	str_copy(c->client, sizeof c->client, id);
	if (map_put_str(&s->clients, c->client, c, NULL) == 0)
		return c;
	free(c);
	return NULL;
}

/* Takes the agents of a node from their clients. */
static void node_clear(struct client_statuses *s, struct node *n)
{
	for (size_t i = 0; i < n->n; i++) {
		struct agent *a = &n->agents[i];

		list_remove(&a->of_client);
		count(s, a->client);
		if (list_empty(&a->client->agents))
			a->client->news = true;
	}
	free(n->agents);
	free(n->troubles);
	n->agents = NULL;
	n->troubles = NULL;
	n->n = n->n_troubles = 0;
}

static struct node *node_of(struct client_statuses *s, const char *id)
{
	struct node *n = map_get_str(&s->nodes, id);

	if (n != NULL)
		return n;
	n = calloc(1, sizeof *n);
	if (n == NULL)
		return NULL;
	str_copy(n->id, sizeof n->id, id);
	if (map_put_str(&s->nodes, n->id, n, NULL) == 0)
		return n;
	free(n);
	return NULL;
}

/* Ids that no client can have are not kept: a relay that invents them must not fill the memory. */
static void node_add(struct client_statuses *s, struct node *n, const struct client_state *state, int64_t now_ms)
{
	struct agent *a = &n->agents[n->n];
	int64_t id;

	if (client_id_parse(state->client, &id) != 0 || (a->client = client_of(s, state->client)) == NULL)
		return;
	n->n++;
	a->node = n;
	a->state = *state;
	list_push_back(&a->client->agents, &a->of_client);
	str_copy(a->client->last.client, sizeof a->client->last.client, state->client);
	str_copy(a->client->last.node_id, sizeof a->client->last.node_id, n->id);
	str_copy(a->client->last.address, sizeof a->client->last.address, state->remote);
	str_copy(a->client->last.version, sizeof a->client->last.version, state->version);
	a->client->last.seen_ms = now_ms;
	a->client->news = true;
	count(s, a->client);
}

static int node_take(struct client_statuses *s, struct node *n, const struct client_states *list, int64_t now_ms)
{
	struct agent *agents = list->n > 0 ? calloc(list->n, sizeof *agents) : NULL;
	struct client_trouble *troubles = list->n_troubles > 0 ? calloc(list->n_troubles, sizeof *troubles) : NULL;

	if ((list->n > 0 && agents == NULL) || (list->n_troubles > 0 && troubles == NULL)) {
		free(agents);
		free(troubles);
		return -1;
	}
	node_clear(s, n);
	n->agents = agents;
	n->troubles = troubles;
	n->n_troubles = list->n_troubles;
	n->more = list->more;
	n->more_troubles = list->more_troubles;
	if (troubles != NULL)
		memcpy(troubles, list->troubles, list->n_troubles * sizeof *troubles);
	for (uint32_t i = 0; i < list->n && agents != NULL; i++)
		node_add(s, n, &list->items[i], now_ms);
	return 0;
}

/* Of one that is whole nothing is copied before. */
static int node_hear(struct client_statuses *s, struct node *n, const struct client_states *part, int64_t now_ms)
{
	int rc;

	if (part->part == 0 && !part->goes_on) {
		client_states_pile_fini(&n->pile);
		return node_take(s, n, part, now_ms);
	}
	rc = client_states_gather(&n->pile, part);
	if (rc <= 0)
		return rc;
	rc = node_take(s, n, &n->pile.all, now_ms);
	client_states_pile_fini(&n->pile);
	return rc;
}

int client_statuses_node(struct client_statuses *s, const char *node_id, const char *node_name,
	const struct client_states *list, int64_t now_ms)
{
	struct node *n;
	int rc = -1;

	pthread_mutex_lock(&s->lock);
	n = node_of(s, node_id);
	if (n != NULL) {
		str_copy(n->name, sizeof n->name, node_name);
		rc = node_hear(s, n, list, now_ms);
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void client_statuses_node_gone(struct client_statuses *s, const char *node_id)
{
	struct node *n;

	pthread_mutex_lock(&s->lock);
	n = map_remove_str(&s->nodes, node_id);
	if (n != NULL) {
		node_clear(s, n);
		node_free(n);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void take_troubles(struct client_live *out, const struct agent *a)
{
	for (size_t i = 0; i < a->node->n_troubles; i++) {
		const struct client_trouble *t = &a->node->troubles[i];
		struct client_down *d = &out->down[out->n_down];

		if (!str_eq(t->client, a->state.client) || !str_eq(t->instance, a->state.instance))
			continue;
		if (out->n_down == CLIENT_DOWN_MAX) {
			out->more_down++;
			continue;
		}
		d->agent = out->n;
		d->kind = t->kind;
		str_copy(d->mapping, sizeof d->mapping, t->mapping);
		str_copy(d->reason, sizeof d->reason, t->reason);
		out->n_down++;
	}
}

void client_statuses_get(struct client_statuses *s, int64_t id, struct client_live *out)
{
	char key[PROTO_ID_SIZE];
	const struct seen *c;

	client_id_print(key, id);
	out->n = out->n_down = out->more = out->more_down = 0;
	out->seen_ms = 0;
	pthread_mutex_lock(&s->lock);
	c = map_get_str(&s->clients, key);
	out->status = status_of(c);
	if (c != NULL) {
		out->seen_ms = c->last.seen_ms;
		LIST_FOREACH (it, &c->agents) {
			const struct agent *a = CONTAINER_OF(it, struct agent, of_client);
			struct client_agent *to = &out->agents[out->n];

			if (out->n == CLIENT_AGENTS_MAX) {
				out->more++;
				continue;
			}
			take_troubles(out, a);
			out->n++;
			str_copy(to->node_id, sizeof to->node_id, a->node->id);
			str_copy(to->node_name, sizeof to->node_name, a->node->name);
			to->state = a->state;
		}
	}
	pthread_mutex_unlock(&s->lock);
}

enum client_status client_statuses_of(struct client_statuses *s, int64_t id)
{
	char key[PROTO_ID_SIZE];
	enum client_status status;

	client_id_print(key, id);
	pthread_mutex_lock(&s->lock);
	status = status_of(map_get_str(&s->clients, key));
	pthread_mutex_unlock(&s->lock);
	return status;
}

size_t client_statuses_online(struct client_statuses *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->online;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void client_statuses_untold(struct client_statuses *s, uint64_t *agents, uint64_t *troubles)
{
	const struct node *n;
	size_t it = 0;

	*agents = *troubles = 0;
	pthread_mutex_lock(&s->lock);
	while ((n = map_next(&s->nodes, &it)) != NULL) {
		*agents += n->more;
		*troubles += n->more_troubles;
	}
	pthread_mutex_unlock(&s->lock);
}

/* Nothing is linked, and what was seen last was written down earlier: there it is read from now on. */
static bool forget_gone(struct client_statuses *s, struct seen *c)
{
	if (c->news || !list_empty(&c->agents))
		return false;
	map_remove_str(&s->clients, c->client);
	free(c);
	return true;
}

size_t client_statuses_due(
	struct client_statuses *s, struct client_sign *out, size_t max, int64_t now_ms, int64_t every_ms)
{
	struct seen *c;
	size_t it = 0, n = 0;

	pthread_mutex_lock(&s->lock);
	while (n < max && (c = map_next(&s->clients, &it)) != NULL) {
		if (forget_gone(s, c) || !c->news || (!list_empty(&c->agents) && now_ms - c->written_ms < every_ms))
			continue;
		c->news = false;
		c->written_ms = now_ms;
		out[n++] = c->last;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}
