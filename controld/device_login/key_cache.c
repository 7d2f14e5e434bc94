#include "controld/device_login/key_cache.h"

#include "common/base/err.h"

#include <pthread.h>
#include <stdlib.h>

struct key_cache {
	struct key_cache_conf conf;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t fetched;
	struct jwks set;
	bool has_set, fetching;
	uint64_t good_ms;  /* the set is of then */
	uint64_t tried_ms; /* the last fetch began; 0: none has */
	uint64_t era;      /* rises when all is forgotten */
	struct key_cache_stats stats;
};

int key_cache_new(struct key_cache **out, const struct key_cache_conf *conf, struct err *e)
{
	struct key_cache *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "key cache: out of memory");
	c->conf = *conf;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->fetched, NULL);
	*out = c;
	return 0;
}

void key_cache_free(struct key_cache *c)
{
	if (c == NULL)
		return;
	pthread_cond_destroy(&c->fetched);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void key_cache_forget(struct key_cache *c)
{
	pthread_mutex_lock(&c->lock);
	c->has_set = false;
	c->tried_ms = 0;
	c->era++;
	pthread_mutex_unlock(&c->lock);
}

/* Under the lock, which it gives up while it waits for the service. */
static void fetch(struct key_cache *c, uint64_t now_ms)
{
	const uint64_t era = c->era;
	struct err why = { 0 };
	struct jwks fresh;
	int rc;

	c->fetching = true;
	c->tried_ms = now_ms > 0 ? now_ms : 1;
	c->stats.fetches++;
	pthread_mutex_unlock(&c->lock);
	rc = c->conf.fetch(c->conf.self, &fresh, &why);
	pthread_mutex_lock(&c->lock);
	c->fetching = false;
	c->stats.failures += rc != 0;
	if (rc == 0 && era == c->era) {
		c->set = fresh;
		c->has_set = true;
		c->good_ms = now_ms;
	}
	pthread_cond_broadcast(&c->fetched);
}

static bool may_fetch(const struct key_cache *c, uint64_t now_ms)
{
	return c->tried_ms == 0 || now_ms - c->tried_ms >= KEY_CACHE_AGAIN_MS;
}

static bool is_stale(const struct key_cache *c, uint64_t now_ms)
{
	return !c->has_set || now_ms - c->good_ms >= KEY_CACHE_FRESH_MS;
}

/* Under the lock: the key, copied; false when it is not known and may not be asked for now. */
static bool find(struct key_cache *c, const char *kid, struct jwks_key *out)
{
	const struct jwks_key *k;
	uint64_t now_ms = c->conf.now_ms();

	while (is_stale(c, now_ms) || jwks_find(&c->set, kid) == NULL) {
		if (c->fetching)
			pthread_cond_wait(&c->fetched, &c->lock);
		else if (may_fetch(c, now_ms))
			fetch(c, now_ms);
		else
			break; /* an old set is better than none */
		now_ms = c->conf.now_ms();
	}
	k = c->has_set ? jwks_find(&c->set, kid) : NULL;
	if (k != NULL)
		*out = *k;
	c->stats.hits += k != NULL;
	c->stats.unknown += k == NULL && c->has_set;
	return k != NULL;
}

int key_cache_check(struct key_cache *c, const char *token, int64_t now_s, json_t **claims, struct err *e)
{
	char kid[JWKS_KID_MAX + 1];
	struct jwks_key key;
	bool found, any;

	if (jwks_token_kid(token, kid, e) != 0)
		return -1;
	pthread_mutex_lock(&c->lock);
	found = find(c, kid, &key);
	any = c->has_set;
	pthread_mutex_unlock(&c->lock);
	if (!any)
		return err_set(e, ERR_UNAVAILABLE, NULL, "the service's keys cannot be had");
	if (!found)
		return err_set(
			e, ERR_INVALID_TOKEN, NULL, "the service's token is signed with a key it does not publish");
	return jwks_check(&key, token, now_s, claims, e);
}

void key_cache_stats(struct key_cache *c, struct key_cache_stats *out)
{
	pthread_mutex_lock(&c->lock);
	*out = c->stats;
	pthread_mutex_unlock(&c->lock);
}
