#include "relayd/site/life.h"

void lives_init(struct lives *ls)
{
	uv_mutex_init(&ls->lock);
	list_init(&ls->over);
	ls->wake = NULL;
}

void lives_fini(struct lives *ls)
{
	lives_reap(ls);
	uv_mutex_destroy(&ls->lock);
}

/* Freeing one may end another: until nothing is left. */
void lives_reap(struct lives *ls)
{
	for (;;) {
		struct list *first;

		uv_mutex_lock(&ls->lock);
		first = list_first(&ls->over);
		if (first != NULL)
			list_remove(first);
		uv_mutex_unlock(&ls->lock);
		if (first == NULL)
			return;
		CONTAINER_OF(first, struct life, link)->free(CONTAINER_OF(first, struct life, link));
	}
}

void life_init(struct life *l, struct lives *lives, uint32_t refs, void (*free)(struct life *l))
{
	*l = (struct life){ .lives = lives, .refs = refs, .free = free };
	list_init(&l->link);
}

void life_unref(struct life *l)
{
	struct lives *ls = l->lives;

	if (__atomic_fetch_sub(&l->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	uv_mutex_lock(&ls->lock);
	list_push_back(&ls->over, &l->link);
	if (ls->wake != NULL)
		uv_async_send(ls->wake);
	uv_mutex_unlock(&ls->lock);
}
