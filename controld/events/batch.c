#include "controld/events/batch.h"

#include "common/base/err.h"
#include "controld/store/store.h"

#include <stdlib.h>

static int on_change(const struct change *c, void *arg)
{
	struct batch *b = arg;

	if (b->n == b->room) {
		const size_t room = b->room == 0 ? 32 : b->room * 2;
		struct event *more = reallocarray(b->events, room, sizeof *more);

		if (more == NULL)
			return 1;
		b->events = more;
		b->room = room;
	}
	event_make(&b->events[b->n++], c, b->log_id);
	b->to = c->seq;
	return 0;
}

static int read_all(struct batch *b, struct db *db, struct err *e)
{
	int64_t last, first;

	if (changes_last(db, &last, b->log_id, e) != 0 || changes_first(db, &first, e) != 0)
		return -1;
	b->gap = first > b->from + 1;
	b->to = b->gap ? first - 1 : b->from;
	if (changes_read(db, b->to, BATCH_EVENTS_MAX, NULL, on_change, b, e) != 0)
		return -1;
	b->at_end = b->to >= last;
	return 0;
}

int batch_read(struct batch *b, struct store *store, struct err *e)
{
	struct db *db;
	int rc;

	batch_fini(b);
	if (store_read_begin(store, &db, e) != 0)
		return -1;
	rc = read_all(b, db, e);
	store_read_end(db);
	return rc;
}

void batch_fini(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		event_fini(&b->events[i]);
	free(b->events);
	b->events = NULL;
	b->n = b->room = 0;
}
