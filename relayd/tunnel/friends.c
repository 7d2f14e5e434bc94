#include "relayd/tunnel/friends.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/net/addr.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct home {
	uint8_t key[FRIENDS_KEY_MAX];
	struct list by_age;
};

struct friends {
	pthread_mutex_t lock;
	struct map by_key;
	struct list by_age; /* the one that was not heard of for longest first */
};

void friends_key(uint8_t key[FRIENDS_KEY_MAX], const struct addr *a)
{
	memset(key, 0, FRIENDS_KEY_MAX);
	key[0] = (uint8_t)a->sa.sa_family;
	if (a->sa.sa_family == AF_INET6)
		memcpy(key + 1, &a->v6.sin6_addr, 8);
	else
		memcpy(key + 1, &a->v4.sin_addr, 4);
}

int friends_new(struct friends **out)
{
	struct friends *f = calloc(1, sizeof *f);

	if (f == NULL)
		return -1;
	pthread_mutex_init(&f->lock, NULL);
	map_init(&f->by_key);
	list_init(&f->by_age);
	*out = f;
	return 0;
}

static void forget(struct friends *f, struct home *one)
{
	map_remove(&f->by_key, one->key, FRIENDS_KEY_MAX);
	list_remove(&one->by_age);
	free(one);
}

void friends_free(struct friends *f)
{
	struct list *first;

	if (f == NULL)
		return;
	while ((first = list_first(&f->by_age)) != NULL)
		forget(f, CONTAINER_OF(first, struct home, by_age));
	map_free(&f->by_key);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void add(struct friends *f, const uint8_t key[FRIENDS_KEY_MAX])
{
	struct home *one = map_get(&f->by_key, key, FRIENDS_KEY_MAX);

	if (one == NULL) {
		if (map_count(&f->by_key) >= FRIENDS_MAX)
			forget(f, CONTAINER_OF(list_first(&f->by_age), struct home, by_age));
		one = calloc(1, sizeof *one);
		if (one == NULL)
			return;
		memcpy(one->key, key, FRIENDS_KEY_MAX);
		list_init(&one->by_age);
		if (map_put(&f->by_key, one->key, FRIENDS_KEY_MAX, one, NULL) != 0) {
			free(one);
			return;
		}
	}
	list_remove(&one->by_age);
	list_push_back(&f->by_age, &one->by_age);
}

void friends_add(struct friends *f, const struct addr *from)
{
	uint8_t key[FRIENDS_KEY_MAX];

	friends_key(key, from);
	pthread_mutex_lock(&f->lock);
	add(f, key);
	pthread_mutex_unlock(&f->lock);
}

bool friends_have(struct friends *f, const struct addr *from)
{
	uint8_t key[FRIENDS_KEY_MAX];
	bool have;

	friends_key(key, from);
	pthread_mutex_lock(&f->lock);
	have = map_get(&f->by_key, key, FRIENDS_KEY_MAX) != NULL;
	pthread_mutex_unlock(&f->lock);
	return have;
}
