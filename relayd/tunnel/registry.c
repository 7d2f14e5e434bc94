#include "relayd/tunnel/registry.h"

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE (2 * FRAME_ID_SIZE)

struct instance {
	char key[KEY_SIZE]; /* client, a newline, instance: neither holds one */
	struct list of_client;
	struct resident *client;
	uint64_t epoch;
	struct client_state state;
	struct count {
		unsigned many, one; /* links for many connections, and for one at a time */
	} links[];                  /* by worker */
};

/* A client with at least one instance here. */
struct resident {
	char id[FRAME_ID_SIZE];
	struct list instances;
	unsigned n;
	uint64_t links; /* of all of them, of the latest epoch each */
};

struct registry {
	pthread_mutex_t lock;
	struct map instances, residents;
	struct registry_conf conf;
	struct client_state *items; /* of the last report */
};

int registry_new(struct registry **out, const struct registry_conf *conf)
{
	struct registry *r = calloc(1, sizeof *r);

	if (r == NULL)
		return -1;
	pthread_mutex_init(&r->lock, NULL);
	map_init(&r->instances);
	map_init(&r->residents);
	r->conf = *conf;
	*out = r;
	return 0;
}

static void forget(struct registry *r, struct instance *i)
{
	struct resident *c = i->client;

	map_remove_str(&r->instances, i->key);
	list_remove(&i->of_client);
	if (--c->n == 0) {
		map_remove_str(&r->residents, c->id);
		free(c);
	}
	free(i);
}

void registry_free(struct registry *r)
{
	struct instance *i;
	size_t it = 0;

	if (r == NULL)
		return;
	while ((i = map_next(&r->instances, &it)) != NULL)
		forget(r, i);
	map_free(&r->instances);
	map_free(&r->residents);
	pthread_mutex_destroy(&r->lock);
	free(r->items);
	free(r);
}

static struct resident *resident_of(struct registry *r, const char *id)
{
	struct resident *c = map_get_str(&r->residents, id);

	if (c != NULL || (c = calloc(1, sizeof *c)) == NULL)
		return c;
	str_copy(c->id, sizeof c->id, id);
	list_init(&c->instances);
	if (map_put_str(&r->residents, c->id, c, NULL) == 0)
		return c;
	free(c);
	return NULL;
}

static struct instance *instance_new(struct registry *r, const char *key, const struct frame_hello *h)
{
	struct instance *i = calloc(1, sizeof *i + r->conf.workers * sizeof i->links[0]);
	struct resident *c = i != NULL ? resident_of(r, h->client) : NULL;

	if (c == NULL || str_copy(i->key, sizeof i->key, key) != 0 ||
		map_put_str(&r->instances, i->key, i, NULL) != 0) {
		if (c != NULL && c->n == 0) {
			map_remove_str(&r->residents, c->id);
			free(c);
		}
		free(i);
		return NULL;
	}
	i->client = c;
	c->n++;
	list_push_back(&c->instances, &i->of_client);
	str_copy(i->state.client, sizeof i->state.client, h->client);
	str_copy(i->state.instance, sizeof i->state.instance, h->instance);
	i->state.state = CLIENT_STATE_ONLINE;
	i->state.since_ms = clock_wall_ms();
	i->epoch = h->epoch;
	r->conf.on_change(r->conf.arg);
	return i;
}

/* Connections that carry much do not keep the client's agents out. */
static bool has_room(const struct registry *r, const struct resident *c, const struct frame_hello *h)
{
	const uint64_t kept = h->role == FRAME_FOR_ONE ? r->conf.links_max / REGISTRY_KEPT_PART : 0;

	return c->links < r->conf.links_max - kept;
}

/* A place on the worker with the fewest, or on the one that is asked for. -1: they have enough. */
static int take_place(const struct registry *r, struct instance *i, const struct frame_hello *h, unsigned *worker)
{
	unsigned fewest = 0;

	if (h->role == FRAME_FOR_ONE) {
		if (h->lane >= r->conf.workers || i->links[h->lane].one >= REGISTRY_ALONE_MAX)
			return -1;
		i->links[h->lane].one++;
		*worker = h->lane;
		return 0;
	}
	for (unsigned w = 1; w < r->conf.workers; w++)
		if (i->links[w].many < i->links[fewest].many)
			fewest = w;
	if (i->links[fewest].many >= REGISTRY_LINKS_MAX)
		return -1;
	i->links[fewest].many++;
	*worker = fewest;
	return 0;
}

static enum registry_answer take_in(
	struct registry *r, struct instance *i, const struct frame_hello *h, const struct addr *from, unsigned *worker)
{
	enum registry_answer answer = REGISTRY_IN;

	if (h->epoch < i->epoch)
		return REGISTRY_OUTDATED;
	if (h->epoch > i->epoch) {
		memset(i->links, 0, r->conf.workers * sizeof i->links[0]);
		i->client->links -= i->state.links;
		i->state.links = 0;
		i->state.since_ms = clock_wall_ms();
		i->epoch = h->epoch;
		answer = REGISTRY_TOOK_OVER;
	}
	if (!has_room(r, i->client, h))
		return REGISTRY_FULL;
	if (take_place(r, i, h, worker) != 0)
		return REGISTRY_CROWDED;
	i->state.links++;
	i->client->links++;
	str_copy(i->state.version, sizeof i->state.version, h->version);
	addr_print(from, i->state.remote);
	return answer;
}

static int make_key(char key[KEY_SIZE], const struct frame_hello *h)
{
	if (strchr(h->client, '\n') != NULL || strchr(h->instance, '\n') != NULL)
		return -1;
	return str_fmt(key, KEY_SIZE, "%s\n%s", h->client, h->instance);
}

enum registry_answer registry_enter(
	struct registry *r, const struct frame_hello *h, const struct addr *from, bool single, unsigned *worker)
{
	enum registry_answer answer;
	char key[KEY_SIZE];
	struct instance *i;
	const struct resident *c;

	if (make_key(key, h) != 0)
		return REGISTRY_OUTDATED;
	pthread_mutex_lock(&r->lock);
	i = map_get_str(&r->instances, key);
	c = map_get_str(&r->residents, h->client);
	if (h->role == FRAME_FOR_ONE && (i == NULL || i->epoch != h->epoch))
		answer = REGISTRY_CROWDED; /* the agent itself is not here (any more) */
	else if (i == NULL && single && c != NULL)
		answer = REGISTRY_TAKEN;
	else if (i == NULL && c != NULL && c->n >= REGISTRY_INSTANCES_MAX)
		answer = REGISTRY_CROWDED;
	else if (i == NULL && c != NULL && !has_room(r, c, h))
		answer = REGISTRY_FULL;
	else if (i == NULL && (i = instance_new(r, key, h)) == NULL)
		answer = REGISTRY_NO_MEMORY;
	else
		answer = take_in(r, i, h, from, worker);
	pthread_mutex_unlock(&r->lock);
	return answer;
}

bool registry_is_latest(struct registry *r, const struct frame_hello *h)
{
	const struct instance *i;
	char key[KEY_SIZE];
	bool latest;

	if (make_key(key, h) != 0)
		return false;
	pthread_mutex_lock(&r->lock);
	i = map_get_str(&r->instances, key);
	latest = i != NULL && i->epoch == h->epoch;
	pthread_mutex_unlock(&r->lock);
	return latest;
}

void registry_leave(struct registry *r, const struct frame_hello *h, unsigned worker)
{
	struct instance *i;
	char key[KEY_SIZE];
	unsigned *n;

	if (make_key(key, h) != 0)
		return;
	pthread_mutex_lock(&r->lock);
	i = map_get_str(&r->instances, key);
	n = i != NULL && h->role == FRAME_FOR_ONE ? &i->links[worker].one : i != NULL ? &i->links[worker].many : NULL;
	if (n != NULL && i->epoch == h->epoch && *n > 0) {
		--*n;
		i->client->links--;
		if (--i->state.links == 0) {
			forget(r, i);
			r->conf.on_change(r->conf.arg);
		}
	}
	pthread_mutex_unlock(&r->lock);
}

void registry_states(struct registry *r, struct client_states *out)
{
	struct client_state *items;
	struct instance *i;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	items = realloc(r->items, (map_count(&r->instances) + 1) * sizeof *items);
	out->n = out->more = 0;
	if (items != NULL)
		r->items = items;
	while ((i = map_next(&r->instances, &it)) != NULL) {
		if (items == NULL || out->n == CLIENT_STATES_ALL)
			out->more++;
		else
			items[out->n++] = i->state;
	}
	out->items = items;
	pthread_mutex_unlock(&r->lock);
}
