/*
 * model_snapshot - everything of one group as it was: references to immutable objects, shared by all relays that fetch
 * it page by page while the model moves on. It has no revision of its own: the same content may stand for several.
 *
 * Owner: references; the model keeps one for the next relay as long as the group does not change.
 * Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_SNAPSHOT_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_SNAPSHOT_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct list;

struct model_object;
struct model_snapshot {
	unsigned refs;
	size_t bytes; /* of all entries */
	size_t n;
	struct model_object *objects[];
};

/* objects: a list of model_object.in_group with n members. NULL: out of memory. */
struct model_snapshot *model_snapshot_new(struct list *objects, size_t n) MUST_CHECK;
struct model_snapshot *model_snapshot_ref(struct model_snapshot *s);
void model_snapshot_unref(struct model_snapshot *s); /* NULL is fine */
/*
 * Appends the entries of this node from index `at` on, at most max bytes of them; *n counts them. Answers the index to
 * go on with, s->n when that was all.
 */
size_t model_snapshot_page(
	const struct model_snapshot *s, const char *node, size_t at, size_t max, struct buf *b, uint32_t *n);

#endif
