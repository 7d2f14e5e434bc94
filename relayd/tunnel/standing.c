#include "relayd/tunnel/standing.h"

#include "common/base/macros.h"
#include "common/base/str.h"

#include <stdlib.h>

#define DOUBT_NS     UINT64_C(1000000000) /* after the first failure; twice that after the second, and so on */
#define DOUBT_MAX_NS UINT64_C(30000000000)

void standings_init(struct standings *all)
{
	map_init(&all->by_mapping);
}

void standings_fini(struct standings *all)
{
	struct standing *s;
	size_t it = 0;

	while ((s = map_next(&all->by_mapping, &it)) != NULL)
		free(s);
	map_free(&all->by_mapping);
}

static struct standing *find(const struct standings *all, const char *mapping)
{
	return map_count(&all->by_mapping) > 0 ? map_get_str(&all->by_mapping, mapping) : NULL;
}

static struct standing *find_or_add(struct standings *all, const char *mapping)
{
	struct standing *s = find(all, mapping);

	if (s != NULL || map_count(&all->by_mapping) >= STANDINGS_MAX || (s = calloc(1, sizeof *s)) == NULL)
		return s;
	str_copy(s->mapping, sizeof s->mapping, mapping);
	if (map_put_str(&all->by_mapping, s->mapping, s, NULL) == 0)
		return s;
	free(s);
	return NULL;
}

static void drop(struct standings *all, struct standing *s)
{
	map_remove_str(&all->by_mapping, s->mapping);
	free(s);
}

const struct standing *standings_get(const struct standings *all, const char *mapping)
{
	return find(all, mapping);
}

const struct standing *standings_next_doubted(const struct standings *all, size_t *it, uint64_t now_ns)
{
	const struct standing *s;

	while ((s = map_next(&all->by_mapping, it)) != NULL)
		if (!s->down && now_ns < s->doubted_until_ns)
			return s;
	return NULL;
}

enum standing_rank standings_rank(const struct standings *all, const char *mapping, uint64_t now_ns)
{
	const struct standing *s = find(all, mapping);

	if (s == NULL)
		return STANDING_GOOD;
	if (s->down)
		return STANDING_DOWN;
	if (now_ns < s->doubted_until_ns)
		return STANDING_DOUBTED;
	return s->checked && !s->told ? STANDING_UNTOLD : STANDING_GOOD;
}

void standings_reached(struct standings *all, const char *mapping)
{
	struct standing *s = find(all, mapping);

	if (s == NULL)
		return;
	s->failures = 0;
	s->doubted_until_ns = 0;
	if (!s->checked)
		drop(all, s);
}

void standings_failed(struct standings *all, const char *mapping, uint64_t now_ns)
{
	struct standing *s = find_or_add(all, mapping);

	if (s == NULL)
		return;
	s->doubted_until_ns = now_ns + MIN(DOUBT_NS << MIN(s->failures, 10U), DOUBT_MAX_NS);
	s->failures++;
}

bool standings_check(struct standings *all, const char *mapping)
{
	struct standing *s = find_or_add(all, mapping);

	if (s == NULL)
		return false;
	s->checked = true;
	s->told = s->down = false;
	return true;
}

bool standings_say(struct standings *all, const char *mapping, bool up, const char *reason)
{
	struct standing *s = find(all, mapping);

	if (s == NULL || !s->checked || (s->told && s->down == !up && str_eq(s->reason, reason)))
		return false;
	s->told = true;
	s->down = !up;
	str_copy(s->reason, sizeof s->reason, reason);
	if (up) {
		s->failures = 0;
		s->doubted_until_ns = 0;
	}
	return true;
}

void standings_forget(struct standings *all, const char *mapping)
{
	struct standing *s = find(all, mapping);

	if (s != NULL)
		drop(all, s);
}
