#include "relayd/conf/builder.h"

#include "common/base/err.h"
#include "relayd/conf/shelf.h"

#include <stdlib.h>

int builder_init(struct builder *b, size_t shelves, struct err *e)
{
	b->snapshot = NULL;
	b->cap = shelves;
	if (snapshot_new(&b->snapshot, e) != 0)
		return -1;
	if ((b->snapshot->shelves = calloc(shelves + 1, sizeof(*b->snapshot->shelves))) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu shelves", shelves);
	return 0;
}

void builder_fini(struct builder *b)
{
	snapshot_unref(b->snapshot);
	b->snapshot = NULL;
}

static int builder_room(struct builder *b, struct err *e)
{
	struct snapshot *s = b->snapshot;
	size_t cap = b->cap * 2 + 1;
	struct shelf **list;

	if (s->n_shelves < b->cap)
		return 0;
	if ((list = reallocarray(s->shelves, cap, sizeof(*list))) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu shelves", cap);
	s->shelves = list;
	b->cap = cap;
	return 0;
}

/* Takes the reference. */
static int builder_add(struct builder *b, struct shelf *shelf, struct err *e)
{
	if (builder_room(b, e) != 0) {
		shelf_unref(shelf);
		return -1;
	}
	b->snapshot->shelves[b->snapshot->n_shelves++] = shelf;
	b->snapshot->n += shelf->n;
	return 0;
}

int builder_share(struct builder *b, struct shelf *s, struct err *e)
{
	return builder_add(b, shelf_ref(s), e);
}

int builder_put(struct builder *b, const struct object *const *objects, size_t n, struct err *e)
{
	size_t shelves = (n + SHELF_MAX - 1) / SHELF_MAX, done = 0;

	for (size_t i = 0; i < shelves; i++) {
		size_t end = n * (i + 1) / shelves;
		struct shelf *s = shelf_new(objects + done, end - done);

		if (s == NULL)
			return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory for %zu objects", end - done);
		if (builder_add(b, s, e) != 0)
			return -1;
		done = end;
	}
	return 0;
}

struct snapshot *builder_finish(struct builder *b, const struct proto_revision *revision)
{
	struct snapshot *s = b->snapshot;

	s->revision = *revision;
	b->snapshot = NULL;
	return s;
}
