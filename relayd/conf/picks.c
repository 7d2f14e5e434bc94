#include "relayd/conf/picks.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

struct pick {
	char id[PROTO_ID_SIZE];
	size_t order;                /* of arrival */
	const struct object *object; /* owned reference; NULL: gone */
};

static int pick_room(struct picks *p, struct err *e)
{
	size_t cap = p->cap != 0 ? p->cap * 2 : 16;
	struct pick *items;

	if (p->n < p->cap)
		return 0;
	if (p->n >= SNAPSHOT_OBJECTS_MAX)
		return err_set(e, ERR_TOO_LARGE, NULL, "a snapshot of more than %d objects", SNAPSHOT_OBJECTS_MAX);
	if ((items = reallocarray(p->items, cap, sizeof *items)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu objects", cap);
	p->items = items;
	p->cap = cap;
	return 0;
}

/* The object of one entry: none, shared with base, or new. */
static int pick_object(
	const struct snapshot *base, const struct update_entry *entry, const struct object **out, struct err *e)
{
	const struct object *old = snapshot_find(base, entry->id);
	struct object *o = NULL;

	if (!entry->gone && old != NULL && object_is(old, entry))
		o = object_ref(old);
	else if (!entry->gone && object_new(&o, entry, e) != 0)
		return -1;
	*out = o;
	return 0;
}

int picks_add(struct picks *p, const struct snapshot *base, const struct msg_update *u, struct err *e)
{
	struct cursor it = u->entries;
	struct update_entry entry;

	while (msg_update_next(&it, &entry)) {
		struct pick *pick;

		if (pick_room(p, e) != 0)
			return -1;
		pick = &p->items[p->n];
		if (pick_object(base, &entry, &pick->object, e) != 0)
			return -1;
		str_copy(pick->id, sizeof pick->id, entry.id);
		pick->order = p->n++;
	}
	return 0;
}

static int pick_compare(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;
	int c = strcmp(a->id, b->id);

	return c != 0 ? c : (a->order > b->order) - (a->order < b->order);
}

/* Sorts by id and keeps the last pick of each. */
static void pick_sort(struct picks *p)
{
	size_t kept = 0;

	if (p->n == 0)
		return;
	qsort(p->items, p->n, sizeof p->items[0], pick_compare);
	for (size_t i = 1; i < p->n; i++) {
		if (strcmp(p->items[kept].id, p->items[i].id) == 0)
			object_unref(p->items[kept].object);
		else
			kept++;
		p->items[kept] = p->items[i];
	}
	p->n = kept + 1;
}

int picks_merge(struct picks *p, struct snapshot **out, const struct snapshot *base, const struct proto_revision *to,
	struct err *e)
{
	struct snapshot *s;
	size_t b = 0, i = 0;

	if (snapshot_new(&s, e) != 0)
		return -1;
	if ((s->objects = calloc(base->n + p->n + 1, sizeof(*s->objects))) == NULL) {
		snapshot_unref(s);
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu objects", base->n + p->n);
	}
	s->revision = *to;
	pick_sort(p);
	while (b < base->n || i < p->n) {
		int c = b == base->n ? 1 : i == p->n ? -1 : strcmp(base->objects[b]->id, p->items[i].id);

		if (c < 0) {
			s->objects[s->n++] = object_ref(base->objects[b++]);
			continue;
		}
		if (c == 0)
			b++;
		if (p->items[i].object != NULL)
			s->objects[s->n++] = object_ref(p->items[i].object);
		i++;
	}
	*out = s;
	return 0;
}

void picks_free(struct picks *p)
{
	for (size_t i = 0; i < p->n; i++)
		object_unref(p->items[i].object);
	free(p->items);
	*p = (struct picks){ 0 };
}
