#include "controld/rest/stream_shares.h"

#include "common/base/str.h"
#include "controld/identity/identity.h"

#include <stdlib.h>

/* How many streams somebody has. */
struct share {
	char key[STREAM_SHARES_KEY_SIZE];
	unsigned n;
};

void stream_shares_init(struct stream_shares *s)
{
	s->n = 0;
	map_init(&s->by_key);
}

void stream_shares_fini(struct stream_shares *s)
{
	struct share *one;

	for (size_t it = 0; (one = map_next(&s->by_key, &it)) != NULL;)
		free(one);
	map_free(&s->by_key);
}

void stream_shares_key(char dst[STREAM_SHARES_KEY_SIZE], const struct identity *who)
{
	(void)str_copy(
		dst, STREAM_SHARES_KEY_SIZE, who->user_id[0] != '\0' && !who->api_key ? who->user_id : who->token_id);
}

static struct share *share_of(struct stream_shares *s, const char *key)
{
	struct share *one = map_get_str(&s->by_key, key);

	if (one != NULL || (one = calloc(1, sizeof *one)) == NULL)
		return one;
	(void)str_copy(one->key, sizeof one->key, key);
	if (map_put_str(&s->by_key, one->key, one, NULL) != 0) {
		free(one);
		return NULL;
	}
	return one;
}

enum stream_share stream_shares_take(struct stream_shares *s, const char *key, unsigned max, unsigned each)
{
	struct share *one;

	if (s->n >= max)
		return STREAM_SHARE_ALL_FULL;
	if ((one = share_of(s, key)) == NULL)
		return STREAM_SHARE_NO_MEMORY;
	if (one->n >= each)
		return STREAM_SHARE_OWN_FULL;
	one->n++;
	s->n++;
	return STREAM_SHARE_TAKEN;
}

void stream_shares_give_back(struct stream_shares *s, const char *key)
{
	struct share *one = map_get_str(&s->by_key, key);

	if (one != NULL && --one->n == 0) {
		(void)map_remove_str(&s->by_key, key);
		free(one);
	}
	s->n--;
}
