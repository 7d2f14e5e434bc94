#include "relayd/tunnel/troubles.h"

#include "common/base/map.h"
#include "common/base/str.h"
#include "common/tunnel/frame_hello.h"

#include <stdlib.h>

#define KEY_SIZE (3 * PROTO_ID_SIZE + 2)

/* What stands beside an entry of the list. */
struct beside {
	char key[KEY_SIZE];
	uint32_t of_client; /* of its client's first entry: how many it has */
};

struct troubles {
	struct client_trouble
		*items; /* both in full from the beginning: they are keys, and memory that is not used is not there */
	struct beside *beside;
	struct map by_key;  /* struct client_trouble */
	struct map clients; /* the first struct client_trouble of each */
	uint32_t n, more;
};

int troubles_new(struct troubles **out)
{
	struct troubles *t = calloc(1, sizeof *t);

	if (t == NULL)
		return -1;
	map_init(&t->by_key);
	map_init(&t->clients);
	t->items = calloc(CLIENT_TROUBLES_ALL, sizeof *t->items);
	t->beside = calloc(CLIENT_TROUBLES_ALL, sizeof *t->beside);
	if (t->items == NULL || t->beside == NULL) {
		troubles_free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void troubles_free(struct troubles *t)
{
	if (t == NULL)
		return;
	map_free(&t->by_key);
	map_free(&t->clients);
	free(t->items);
	free(t->beside);
	free(t);
}

void troubles_clear(struct troubles *t)
{
	map_free(&t->by_key);
	map_free(&t->clients);
	map_init(&t->by_key);
	map_init(&t->clients);
	t->n = t->more = 0;
}

static struct client_trouble *add(
	struct troubles *t, const char *key, const struct frame_hello *who, const char *mapping)
{
	struct client_trouble *item = &t->items[t->n], *first = map_get_str(&t->clients, who->client);
	struct beside *beside = &t->beside[t->n];

	if (first != NULL && t->beside[first - t->items].of_client >= TROUBLES_OF_CLIENT)
		return NULL;
	*item = (struct client_trouble){ .kind = 0 };
	*beside = (struct beside){ .of_client = 0 };
	str_copy(beside->key, sizeof beside->key, key);
	str_copy(item->client, sizeof item->client, who->client);
	str_copy(item->instance, sizeof item->instance, who->instance);
	str_copy(item->mapping, sizeof item->mapping, mapping);
	if (first == NULL && map_put_str(&t->clients, item->client, item, NULL) != 0)
		return NULL;
	if (map_put_str(&t->by_key, beside->key, item, NULL) != 0) {
		if (first == NULL)
			map_remove_str(&t->clients, item->client);
		return NULL;
	}
	t->beside[first != NULL ? first - t->items : item - t->items].of_client++;
	t->n++;
	return item;
}

struct client_trouble *troubles_get(struct troubles *t, const struct frame_hello *who, const char *mapping)
{
	struct client_trouble *item;
	char key[KEY_SIZE];

	if (str_fmt(key, sizeof key, "%s\n%s\n%s", who->client, mapping, who->instance) != 0)
		return NULL;
	item = map_get_str(&t->by_key, key);
	if (item == NULL && t->n < CLIENT_TROUBLES_ALL)
		item = add(t, key, who, mapping);
	if (item == NULL)
		t->more++;
	return item;
}

void troubles_list(const struct troubles *t, struct client_states *out)
{
	out->troubles = t->items;
	out->n_troubles = t->n;
	out->more_troubles = t->more;
}
