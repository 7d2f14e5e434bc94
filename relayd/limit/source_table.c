#include "relayd/limit/source_table.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/net/addr.h"
#include "common/net/bucket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FORGET_NS UINT64_C(1000000000) /* a bucket of one second's worth is full again by then */
#define KEY_SIZE  9

struct source {
	uint8_t key[KEY_SIZE]; /* family, then the address or its /64 */
	uint32_t now;
	struct bucket rate;
	struct list idle; /* in the table's list or in none; oldest first */
	uint64_t idle_ns;
};

struct source_table {
	pthread_mutex_t lock;
	struct map by_key;
	struct list idle; /* have no connection, and not yet a full burst */
	unsigned n_idle;
};

int source_table_new(struct source_table **out)
{
	struct source_table *t = calloc(1, sizeof *t);

	if (t == NULL)
		return -1;
	pthread_mutex_init(&t->lock, NULL);
	map_init(&t->by_key);
	list_init(&t->idle);
	*out = t;
	return 0;
}

static void leave_idle(struct source_table *t, struct source *s)
{
	if (list_empty(&s->idle))
		return;
	list_remove(&s->idle);
	t->n_idle--;
}

static void forget(struct source_table *t, struct source *s)
{
	leave_idle(t, s);
	map_remove(&t->by_key, s->key, KEY_SIZE);
	free(s);
}

void source_table_free(struct source_table *t)
{
	struct list *first;

	if (t == NULL)
		return;
	while ((first = list_first(&t->idle)) != NULL)
		forget(t, CONTAINER_OF(first, struct source, idle));
	map_free(&t->by_key);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void key_of(uint8_t key[KEY_SIZE], const struct addr *a)
{
	memset(key, 0, KEY_SIZE);
	if (a->sa.sa_family == AF_INET6) {
		key[0] = 6;
		memcpy(key + 1, &a->v6.sin6_addr, 8);
	} else {
		key[0] = 4;
		memcpy(key + 1, &a->v4.sin_addr, 4);
	}
}

static void enter_idle(struct source_table *t, struct source *s, uint64_t now_ns)
{
	if (t->n_idle == SOURCES_IDLE_MAX)
		forget(t, CONTAINER_OF(list_first(&t->idle), struct source, idle));
	list_push_back(&t->idle, &s->idle);
	s->idle_ns = now_ns;
	t->n_idle++;
}

/* A step or two a visit keeps the list as short as the last second was busy. */
static void forget_some(struct source_table *t, uint64_t now_ns)
{
	for (unsigned i = 0; i < 2; i++) {
		struct list *first = list_first(&t->idle);
		struct source *s;

		if (first == NULL)
			return;
		s = CONTAINER_OF(first, struct source, idle);
		if (now_ns < s->idle_ns + FORGET_NS)
			return;
		forget(t, s);
	}
}

static struct source *remember(struct source_table *t, const uint8_t key[KEY_SIZE])
{
	struct source *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	memcpy(s->key, key, KEY_SIZE);
	if (map_put(&t->by_key, s->key, KEY_SIZE, s, NULL) != 0) {
		free(s);
		return NULL;
	}
	list_init(&s->idle);
	return s;
}

/* The limits are the caller's of this moment: a change holds at once. */
static bool may_open(struct source *s, uint32_t max_now, uint32_t per_s, uint64_t now_ns)
{
	if (max_now != 0 && s->now >= max_now)
		return false;
	if (per_s == 0)
		return true;
	if (s->rate.rate == 0)
		bucket_init(&s->rate, per_s, per_s, now_ns);
	else if (s->rate.rate != per_s)
		bucket_set(&s->rate, per_s, per_s, now_ns);
	return bucket_take(&s->rate, 1, 1, now_ns) == 1;
}

struct source *source_table_enter(
	struct source_table *t, const struct addr *a, uint32_t max_now, uint32_t per_s, uint64_t now_ns)
{
	uint8_t key[KEY_SIZE];
	struct source *s;

	key_of(key, a);
	pthread_mutex_lock(&t->lock);
	forget_some(t, now_ns);
	s = map_get(&t->by_key, key, KEY_SIZE);
	if (s == NULL)
		s = remember(t, key); /* whom no limit holds off: he has nothing yet */
	if (s != NULL && !may_open(s, max_now, per_s, now_ns))
		s = NULL;
	if (s != NULL) {
		s->now++;
		leave_idle(t, s);
	}
	pthread_mutex_unlock(&t->lock);
	return s;
}

void source_table_leave(struct source_table *t, struct source *s, uint64_t now_ns)
{
	pthread_mutex_lock(&t->lock);
	s->now--;
	if (s->now == 0 && bucket_wait_ns(&s->rate, s->rate.burst, now_ns) == 0)
		forget(t, s);
	else if (s->now == 0)
		enter_idle(t, s, now_ns);
	pthread_mutex_unlock(&t->lock);
}
