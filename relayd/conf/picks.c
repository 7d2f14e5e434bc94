#include "relayd/conf/picks.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "relayd/conf/builder.h"
#include "relayd/conf/shelf.h"

#include <stdbool.h>
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

/* The objects of a shelf (NULL: none) with the picks from..to on top. */
static int merge_shelf(
	const struct picks *p, struct builder *b, const struct shelf *shelf, size_t from, size_t to, struct err *e)
{
	size_t n = 0, at = 0, shelf_n = shelf != NULL ? shelf->n : 0;
	const struct object **list = calloc(shelf_n + (to - from), sizeof(*list));
	int r;

	if (list == NULL)
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu objects", to - from);
	while (at < shelf_n || from < to) {
		int c = at == shelf_n ? 1 : from == to ? -1 : strcmp(shelf->objects[at]->id, p->items[from].id);

		if (c < 0) {
			list[n++] = shelf->objects[at++];
			continue;
		}
		at += c == 0;
		if (p->items[from].object != NULL)
			list[n++] = p->items[from].object;
		from++;
	}
	r = builder_put(b, list, n, e);
	free(list);
	return r;
}

/* Behind the picks from `from` on that come before the id `end`; NULL: behind all. */
static size_t picks_before(const struct picks *p, size_t from, const char *end)
{
	while (from < p->n && (end == NULL || strcmp(p->items[from].id, end) < 0))
		from++;
	return from;
}

static int merge_all(const struct picks *p, struct builder *b, const struct snapshot *base, struct err *e)
{
	size_t from = 0;

	for (size_t i = 0; i < base->n_shelves; i++) {
		bool last = i + 1 == base->n_shelves;
		size_t to = picks_before(p, from, last ? NULL : base->shelves[i + 1]->objects[0]->id);

		if (to == from) {
			if (builder_share(b, base->shelves[i], e) != 0)
				return -1;
		} else if (merge_shelf(p, b, base->shelves[i], from, to, e) != 0) {
			return -1;
		}
		from = to;
	}
	return from < p->n ? merge_shelf(p, b, NULL, from, p->n, e) : 0;
}

/* Much taking away leaves shelves with little on them: everything is put on new ones, now and then. */
static bool is_sparse(const struct snapshot *s)
{
	return s->n_shelves > s->n / (SHELF_MAX / 4) + 8;
}

static int repack(struct snapshot **s, struct err *e)
{
	const struct object **list = calloc((*s)->n + 1, sizeof(*list));
	struct snapshot_walk w = { 0 };
	struct snapshot *packed;
	int r;

	if (list == NULL)
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu objects", (*s)->n);
	for (size_t i = 0; i < (*s)->n; i++)
		list[i] = snapshot_next(*s, &w);
	r = snapshot_of(&packed, &(*s)->revision, list, (*s)->n, e);
	free(list);
	if (r != 0)
		return -1;
	snapshot_unref(*s);
	*s = packed;
	return 0;
}

int picks_merge(struct picks *p, struct snapshot **out, const struct snapshot *base, const struct proto_revision *to,
	struct err *e)
{
	struct snapshot *s;
	struct builder b;

	pick_sort(p);
	if (builder_init(&b, base->n_shelves + p->n / SHELF_MAX + 1, e) != 0 || merge_all(p, &b, base, e) != 0) {
		builder_fini(&b);
		return -1;
	}
	s = builder_finish(&b, to);
	if (is_sparse(s) && repack(&s, e) != 0) {
		snapshot_unref(s);
		return -1;
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
