#include "controld/fleet/line/model_log.h"

#include "controld/fleet/line/model_object.h"

#include <stdlib.h>

#define CAP_MIN 64

void model_log_init(struct model_log *l, size_t max, uint64_t floor)
{
	*l = (struct model_log){ .max = max, .floor = floor };
}

static struct model_change *slot(const struct model_log *l, size_t i)
{
	return &l->ring[(l->first + i) % l->cap];
}

static void drop_first(struct model_log *l)
{
	struct model_change *c = slot(l, 0);

	l->floor = c->rev;
	model_object_unref(c->object);
	l->first = (l->first + 1) % l->cap;
	l->n--;
}

void model_log_fini(struct model_log *l)
{
	while (l->n > 0)
		drop_first(l);
	free(l->ring);
	l->ring = NULL;
	l->cap = l->first = 0;
}

static int grow(struct model_log *l)
{
	size_t cap = l->cap == 0 ? CAP_MIN : l->cap * 2;
	struct model_change *ring;

	if (cap > l->max)
		cap = l->max;
	ring = calloc(cap, sizeof *ring);
	if (ring == NULL)
		return -1;
	for (size_t i = 0; i < l->n; i++)
		ring[i] = *slot(l, i);
	free(l->ring);
	l->ring = ring;
	l->cap = cap;
	l->first = 0;
	return 0;
}

void model_log_add(struct model_log *l, uint64_t rev, struct model_object *o, bool gone)
{
	if (l->n == l->max)
		drop_first(l);
	if (l->n == l->cap && grow(l) != 0) {
		while (l->n > 0)
			drop_first(l);
		if (l->cap == 0) {
			l->floor = rev;
			return;
		}
	}
	l->n++;
	*slot(l, l->n - 1) = (struct model_change){ .rev = rev, .object = model_object_ref(o), .gone = gone };
}

size_t model_log_after(const struct model_log *l, uint64_t rev)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slot(l, mid)->rev > rev)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

const struct model_change *model_log_at(const struct model_log *l, size_t i)
{
	return slot(l, i);
}
