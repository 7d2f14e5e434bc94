#include "controld/fleet/line/model_snapshot.h"

#include "common/base/buf.h"
#include "common/base/list.h"
#include "controld/fleet/line/model_object.h"

#include <stdlib.h>

struct model_snapshot *model_snapshot_new(struct list *objects, size_t n)
{
	struct model_snapshot *s = malloc(sizeof *s + n * sizeof s->objects[0]);

	if (s == NULL)
		return NULL;
	*s = (struct model_snapshot){ .refs = 1 };
	LIST_FOREACH (it, objects) {
		struct model_object *o = CONTAINER_OF(it, struct model_object, in_group);

		s->objects[s->n++] = model_object_ref(o);
		s->bytes += o->size;
	}
	return s;
}

struct model_snapshot *model_snapshot_ref(struct model_snapshot *s)
{
	s->refs++;
	return s;
}

void model_snapshot_unref(struct model_snapshot *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->n; i++)
		model_object_unref(s->objects[i]);
	free(s);
}

size_t model_snapshot_page(
	const struct model_snapshot *s, const char *node, size_t at, size_t max, struct buf *b, uint32_t *n)
{
	size_t bytes = 0;

	*n = 0;
	for (; at < s->n; at++) {
		const struct model_object *o = s->objects[at];

		if (!model_object_reaches(o, node))
			continue;
		if (bytes + o->size > max)
			break;
		buf_put(b, o->wire, o->size);
		bytes += o->size;
		(*n)++;
	}
	return at;
}
