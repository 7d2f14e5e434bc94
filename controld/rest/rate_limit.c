#include "controld/rest/rate_limit.h"

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/net/bucket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct rate_limit_entry {
	struct list by_use; /* most recent last */
	char key[RATE_LIMIT_KEY_MAX];
	bool has_bucket;
	struct bucket bucket;
	int64_t window_end_s;
	uint64_t used;
};

struct rate_limit {
	pthread_mutex_t lock;
	struct map entries;
	struct list by_use;
	size_t max;
};

int rate_limit_new(struct rate_limit **out, size_t entries_max, struct err *e)
{
	struct rate_limit *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "rate limit: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	map_init(&r->entries);
	list_init(&r->by_use);
	r->max = entries_max;
	*out = r;
	return 0;
}

static void rate_limit_forget(struct rate_limit *r, struct rate_limit_entry *entry)
{
	list_remove(&entry->by_use);
	map_remove_str(&r->entries, entry->key);
	free(entry);
}

void rate_limit_free(struct rate_limit *r)
{
	if (r == NULL)
		return;
	while (!list_empty(&r->by_use))
		rate_limit_forget(r, CONTAINER_OF(list_first(&r->by_use), struct rate_limit_entry, by_use));
	map_free(&r->entries);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* NULL for no memory; then nobody is limited, which is better than nobody served. */
static struct rate_limit_entry *rate_limit_find(struct rate_limit *r, const char *key)
{
	struct rate_limit_entry *entry = map_get_str(&r->entries, key);

	if (entry == NULL) {
		if (map_count(&r->entries) >= r->max)
			rate_limit_forget(r, CONTAINER_OF(list_first(&r->by_use), struct rate_limit_entry, by_use));
		entry = calloc(1, sizeof *entry);
		if (entry == NULL)
			return NULL;
		list_init(&entry->by_use);
		if (str_copy(entry->key, sizeof entry->key, key) != 0 ||
			map_put_str(&r->entries, entry->key, entry, NULL) != 0) {
			free(entry);
			return NULL;
		}
	}
	list_remove(&entry->by_use);
	list_push_back(&r->by_use, &entry->by_use);
	return entry;
}

static uint64_t rate_limit_spend(struct rate_limit_entry *entry, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	if (!entry->has_bucket) {
		bucket_init(&entry->bucket, rate, MAX(burst, 1u), now_ns);
		entry->has_bucket = true;
	} else if (entry->bucket.rate != rate || entry->bucket.burst != MAX(burst, 1u)) {
		bucket_set(&entry->bucket, rate, MAX(burst, 1u), now_ns);
	}
	if (bucket_take(&entry->bucket, 1, 1, now_ns) == 1)
		return 0;
	return bucket_wait_ns(&entry->bucket, 1, now_ns) / 1000000 + 1;
}

uint64_t rate_limit_take(struct rate_limit *r, const char *key, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	struct rate_limit_entry *entry;
	uint64_t wait_ms = 0;

	if (rate == 0)
		return 0;
	pthread_mutex_lock(&r->lock);
	entry = rate_limit_find(r, key);
	if (entry != NULL)
		wait_ms = rate_limit_spend(entry, rate, burst, now_ns);
	pthread_mutex_unlock(&r->lock);
	return wait_ms;
}

#define MINUTE_S 60 /* a request costs as many tokens, so that rates of less than one a second are whole numbers */

void rate_limit_take_of(
	struct rate_limit *r, const char *key, uint64_t per_minute, uint64_t now_ns, struct rate_left *out)
{
	const uint64_t burst = MINUTE_S * per_minute;
	struct rate_limit_entry *entry;
	struct bucket *b;

	*out = (struct rate_left){ .remaining = per_minute };
	pthread_mutex_lock(&r->lock);
	if (per_minute > 0 && (entry = rate_limit_find(r, key)) != NULL) {
		b = &entry->bucket;
		if (!entry->has_bucket)
			bucket_init(b, per_minute, burst, now_ns);
		else if (b->rate != per_minute || b->burst != burst)
			bucket_set(b, per_minute, burst, now_ns);
		entry->has_bucket = true;
		if (bucket_take(b, MINUTE_S, MINUTE_S, now_ns) != MINUTE_S)
			out->wait_ms = bucket_wait_ns(b, MINUTE_S, now_ns) / 1000000 + 1;
		out->remaining = b->tokens / MINUTE_S;
		out->full_ms = bucket_wait_ns(b, burst, now_ns) / 1000000;
	}
	pthread_mutex_unlock(&r->lock);
}

void rate_limit_count(struct rate_limit *r, const char *key, uint64_t per_hour, int64_t now_s, struct rate_window *out)
{
	struct rate_limit_entry *entry;

	*out = (struct rate_window){ .limit = per_hour, .remaining = per_hour, .reset_s = now_s + RATE_LIMIT_WINDOW_S };
	pthread_mutex_lock(&r->lock);
	entry = rate_limit_find(r, key);
	if (entry != NULL) {
		/* Far in the future: the clock was set back. */
		if (entry->window_end_s <= now_s || entry->window_end_s > now_s + RATE_LIMIT_WINDOW_S) {
			entry->window_end_s = now_s + RATE_LIMIT_WINDOW_S;
			entry->used = 0;
		}
		out->reset_s = entry->window_end_s;
		out->refused = entry->used >= per_hour;
		entry->used += !out->refused;
		out->remaining = per_hour - MIN(entry->used, per_hour);
	}
	pthread_mutex_unlock(&r->lock);
}

size_t rate_limit_entries(struct rate_limit *r)
{
	size_t n;

	pthread_mutex_lock(&r->lock);
	n = map_count(&r->entries);
	pthread_mutex_unlock(&r->lock);
	return n;
}
