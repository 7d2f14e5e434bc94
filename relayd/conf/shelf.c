#include "relayd/conf/shelf.h"

#include "relayd/conf/object.h"

#include <stdlib.h>
#include <string.h>

struct shelf *shelf_new(const struct object *const *objects, size_t n)
{
	struct shelf *s = malloc(sizeof *s);

	if (s == NULL)
		return NULL;
	s->refs = 1;
	s->n = (unsigned)n;
	for (size_t i = 0; i < n; i++)
		s->objects[i] = object_ref(objects[i]);
	return s;
}

struct shelf *shelf_ref(struct shelf *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void shelf_unref(struct shelf *s)
{
	if (__atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	for (unsigned i = 0; i < s->n; i++)
		object_unref(s->objects[i]);
	free(s);
}

static int compare_id(const void *id, const void *o)
{
	return strcmp(id, (*(const struct object *const *)o)->id);
}

const struct object *shelf_find(const struct shelf *s, const char *id)
{
	const struct object *const *found = bsearch(id, s->objects, s->n, sizeof s->objects[0], compare_id);

	return found != NULL ? *found : NULL;
}
