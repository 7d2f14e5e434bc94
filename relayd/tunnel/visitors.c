#include "relayd/tunnel/visitors.h"

#include "common/net/addr.h"
#include "relayd/tunnel/friends.h"

#include <stdlib.h>
#include <string.h>

struct visitor_source {
	uint8_t key[FRIENDS_KEY_MAX];
	struct list turn; /* in known or strangers, while somebody of it speaks */
	struct list silent, speaking;
	unsigned n;
	bool known;
};

static struct visitor *in_source(struct list *it)
{
	return CONTAINER_OF(it, struct visitor, in_source);
}

void visitors_init(struct visitors *v, unsigned max, struct friends *friends)
{
	*v = (struct visitors){ .max = max, .friends = friends };
	map_init(&v->sources);
	list_init(&v->silent);
	list_init(&v->known);
	list_init(&v->strangers);
}

void visitors_fini(struct visitors *v)
{
	map_free(&v->sources);
}

static struct visitor_source *source_at(const struct visitors *v, const struct addr *from)
{
	uint8_t key[FRIENDS_KEY_MAX];

	friends_key(key, from);
	return map_get(&v->sources, key, FRIENDS_KEY_MAX);
}

static struct visitor_source *source_for(struct visitors *v, const struct addr *from)
{
	struct visitor_source *s = source_at(v, from);

	if (s != NULL || (s = calloc(1, sizeof *s)) == NULL)
		return s;
	friends_key(s->key, from);
	s->known = friends_have(v->friends, from);
	list_init(&s->turn);
	list_init(&s->silent);
	list_init(&s->speaking);
	if (map_put(&v->sources, s->key, FRIENDS_KEY_MAX, s, NULL) == 0)
		return s;
	free(s);
	return NULL;
}

/* ---- coming and going --------------------------------------------------------------------------------------------- */

/* Everybody speaks: of the strangers' address that has most of them, the one who came last. */
static struct visitor *of_the_largest_crowd(struct visitors *v)
{
	struct visitor_source *largest = NULL;

	LIST_FOREACH (it, list_empty(&v->strangers) ? &v->known : &v->strangers) {
		struct visitor_source *s = CONTAINER_OF(it, struct visitor_source, turn);

		if (largest == NULL || s->n > largest->n)
			largest = s;
	}
	return largest != NULL ? in_source(list_last(&largest->speaking)) : NULL;
}

bool visitors_may_enter(struct visitors *v, const struct addr *from, struct visitor **victim)
{
	struct visitor_source *s = source_at(v, from);
	struct list *first;

	*victim = NULL;
	if (s != NULL && s->n >= MAX(v->max / VISITORS_SHARE, VISITORS_SHARE_MIN)) {
		first = list_first(&s->silent);
		*victim = first != NULL ? in_source(first) : NULL;
		return first != NULL;
	}
	if (v->n < v->max)
		return true;
	*victim = visitors_oldest(v);
	if (*victim == NULL)
		*victim = of_the_largest_crowd(v);
	return true;
}

int visitors_enter(struct visitors *v, struct visitor *one, const struct addr *from)
{
	struct visitor_source *s = source_for(v, from);

	if (s == NULL)
		return -1;
	one->source = s;
	list_init(&one->in_order);
	list_init(&one->in_source);
	list_push_back(&v->silent, &one->in_order);
	list_push_back(&s->silent, &one->in_source);
	s->n++;
	v->n++;
	return 0;
}

void visitors_leave(struct visitors *v, struct visitor *one)
{
	struct visitor_source *s = one->source;

	list_remove(&one->in_order);
	list_remove(&one->in_source);
	v->n--;
	if (list_empty(&s->speaking))
		list_remove(&s->turn);
	if (--s->n > 0)
		return;
	map_remove(&v->sources, s->key, FRIENDS_KEY_MAX);
	free(s);
}

/* ---- turns -------------------------------------------------------------------------------------------------------- */

void visitors_speak(struct visitors *v, struct visitor *one)
{
	struct visitor_source *s = one->source;

	list_remove(&one->in_order);
	list_remove(&one->in_source);
	if (list_empty(&s->speaking))
		list_push_back(s->known ? &v->known : &v->strangers, &s->turn);
	list_push_back(&s->speaking, &one->in_source);
}

/* One who has been let in once could come again and again. */
static struct list *whose_turn(struct visitors *v)
{
	if (list_empty(&v->strangers))
		return &v->known;
	if (list_empty(&v->known) || v->in_a_row == VISITORS_IN_A_ROW) {
		v->in_a_row = 0;
		return &v->strangers;
	}
	v->in_a_row++;
	return &v->known;
}

struct visitor *visitors_next(struct visitors *v)
{
	struct list *turns = whose_turn(v);
	struct list *first = list_first(turns);

	if (first == NULL)
		return NULL;
	list_remove(first);
	list_push_back(turns, first);
	return in_source(list_first(&CONTAINER_OF(first, struct visitor_source, turn)->speaking));
}

bool visitors_waiting(const struct visitors *v)
{
	return !list_empty(&v->known) || !list_empty(&v->strangers);
}

struct visitor *visitors_oldest(struct visitors *v)
{
	struct list *first = list_first(&v->silent);

	return first != NULL ? CONTAINER_OF(first, struct visitor, in_order) : NULL;
}
