#include "controld/identity/throttle.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THROTTLE_WAYS = 4, THROTTLE_BUCKETS = 4096, THROTTLE_NAME_MAX = 512 };

struct throttle_slot {
	uint64_t pair; /* keyed hash of address and account; 0 = free */
	uint64_t last_ms;
	unsigned attempts; /* without a success */
};

struct throttle {
	pthread_mutex_t lock;
	uint64_t refusals;
	struct throttle_slot slots[THROTTLE_BUCKETS][THROTTLE_WAYS];
};

int throttle_new(struct throttle **out, struct err *e)
{
	struct throttle *t = calloc(1, sizeof *t);

	if (t == NULL)
		return err_set(e, ERR_NOMEM, NULL, "login throttle: out of memory");
	pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static uint64_t throttle_pair(const char *address, const char *account)
{
	struct buf b;
	uint64_t pair;

	buf_init(&b, THROTTLE_NAME_MAX);
	buf_str16(&b, address);
	buf_str16(&b, account);
	pair = map_hash(b.data, b.len);
	buf_free(&b);
	return pair != 0 ? pair : 1;
}

/* The pair's slot; otherwise a free one or the one that was quiet for longest, cleared, if make. */
static struct throttle_slot *throttle_slot(struct throttle *t, uint64_t pair, bool make)
{
	struct throttle_slot *bucket = t->slots[pair % THROTTLE_BUCKETS], *oldest = bucket;

	for (size_t i = 0; i < THROTTLE_WAYS; i++) {
		if (bucket[i].pair == pair)
			return &bucket[i];
		if (bucket[i].last_ms < oldest->last_ms)
			oldest = &bucket[i];
	}
	if (!make)
		return NULL;
	*oldest = (struct throttle_slot){ .pair = pair };
	return oldest;
}

static uint64_t throttle_delay(unsigned attempts)
{
	unsigned over = attempts - THROTTLE_FREE;

	if (attempts < THROTTLE_FREE)
		return 0;
	return over < 20 ? MIN((uint64_t)THROTTLE_BASE_MS << over, THROTTLE_CAP_MS) : THROTTLE_CAP_MS;
}

uint64_t throttle_attempt(struct throttle *t, const char *address, const char *account, uint64_t now_ms)
{
	uint64_t pair = throttle_pair(address, account), ready, wait = 0;
	struct throttle_slot *slot;

	pthread_mutex_lock(&t->lock);
	slot = throttle_slot(t, pair, true);
	if (now_ms > slot->last_ms + THROTTLE_FORGET_MS)
		slot->attempts = 0;
	ready = slot->last_ms + throttle_delay(slot->attempts);
	if (now_ms < ready) {
		wait = ready - now_ms;
		t->refusals++;
	} else {
		slot->attempts++;
		slot->last_ms = now_ms;
	}
	pthread_mutex_unlock(&t->lock);
	return wait;
}

void throttle_succeed(struct throttle *t, const char *address, const char *account)
{
	uint64_t pair = throttle_pair(address, account);
	struct throttle_slot *slot;

	pthread_mutex_lock(&t->lock);
	slot = throttle_slot(t, pair, false);
	if (slot != NULL)
		*slot = (struct throttle_slot){ .pair = 0 };
	pthread_mutex_unlock(&t->lock);
}

uint64_t throttle_refusals(struct throttle *t)
{
	uint64_t n;

	pthread_mutex_lock(&t->lock);
	n = t->refusals;
	pthread_mutex_unlock(&t->lock);
	return n;
}
