/*
 * list - an intrusive doubly linked list. A node is in at most one list; a node that is in none points at itself.
 */
#ifndef PORTWAY_BASE_LIST_H
#define PORTWAY_BASE_LIST_H

#include "common/base/macros.h"

#include <stdbool.h>

struct list {
	struct list *prev;
	struct list *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_insert_between(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}
static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_between(n, head, head->next);
}
static inline void list_push_back(struct list *head, struct list *n)
{
	list_insert_between(n, head->prev, head);
}
/* Safe on a node that is in no list (but was initialised). */
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
/* Moves all of src to the end of dst; src is empty afterwards. */
static inline void list_splice(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	src->next->prev = dst->prev;
	dst->prev->next = src->next;
	src->prev->next = dst;
	dst->prev = src->prev;
	list_init(src);
}
static inline struct list *list_first(struct list *head) /* NULL if empty */
{
	return list_empty(head) ? NULL : head->next; /* NOLINT(clang-analyzer-unix.Malloc): loses sight of removals */
}
static inline struct list *list_last(struct list *head)
{
	return list_empty(head) ? NULL : head->prev;
}

#define LIST_FOREACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The body may remove `it`, and nothing else. */
#define LIST_FOREACH_SAFE(it, head)                                                \
	for (struct list *it = (head)->next, *it##_next_ = it->next; it != (head); \
		it = it##_next_, it##_next_ = it->next)

#endif
