#include "controld/panel/steady.h"

#include "common/base/err.h"

#include <stdint.h>

size_t steady_group(const struct walk *w, size_t from)
{
	size_t i = from;

	while (i < w->n && w->all[i].list == w->all[from].list && w->all[i].parent_id == w->all[from].parent_id)
		i++;
	return i;
}

int steady_counts(const struct walk *w, size_t from, size_t to, bool *yes, struct err *e)
{
	struct mirror_ids ids = { .n = 0 };
	int64_t failed = 0;
	int rc = 0;

	*yes = w->all[from].denied != 0 || (int64_t)(to - from) == MAX(w->all[from].pages, 1);
	for (size_t i = from; rc == 0 && i < to; i++) {
		const struct walk_page *p = &w->all[i];

		*yes = *yes && p->total == w->all[from].total;
		failed += (p->failed_kinds & BIT(p->list->kind)) != 0 ? p->failed : 0;
		for (size_t k = 0; rc == 0 && k < p->own.n; k++)
			rc = mirror_ids_add(&ids, p->own.all[k], e);
	}
	mirror_ids_sort(&ids);
	if (failed == 0 && w->all[from].denied == 0)
		*yes = *yes && (int64_t)ids.n == w->all[from].total;
	mirror_ids_fini(&ids);
	return rc;
}

/* Over all pages: then a place in the list is known by the number. */
static bool rises(const struct walk *w, size_t from, size_t to)
{
	int64_t last = INT64_MIN;

	for (size_t i = from; i < to; i++)
		for (size_t k = 0; k < w->all[i].own.n; k++) {
			if (w->all[i].own.all[k] <= last)
				return false;
			last = w->all[i].own.all[k];
		}
	return true;
}

/* Whether one of the numbers, which rise, is between these two. */
static bool any_between(const struct mirror_ids *ids, int64_t low, int64_t high)
{
	size_t from = 0, to = ids->n;

	while (from < to) {
		const size_t mid = from + (to - from) / 2;

		if (ids->all[mid] <= low)
			from = mid + 1;
		else
			to = mid;
	}
	return from < ids->n && ids->all[from] < high;
}

size_t steady_doubts(const struct walk *w, size_t from, size_t to, const struct mirror_ids *unseen, bool *doubt)
{
	const bool ordered = rises(w, from, to);
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		doubt[i - from] = !ordered && unseen->n > 0 && to - from > 1;
	for (size_t i = from; ordered && i + 1 < to; i++) {
		const struct mirror_ids *before = &w->all[i].own, *after = &w->all[i + 1].own;
		const int64_t low = before->n > 0 ? before->all[before->n - 1] : INT64_MIN;
		const int64_t high = after->n > 0 ? after->all[0] : INT64_MAX;

		if (any_between(unseen, low, high))
			doubt[i - from] = doubt[i + 1 - from] = true;
	}
	for (size_t i = from; i < to; i++)
		n += doubt[i - from];
	return n;
}

bool steady_same(const struct walk_page *before, const struct panel_page *now)
{
	size_t n = 0;

	for (size_t i = 0; i < now->n; i++) {
		if (now->all[i].kind != before->list->kind)
			continue;
		if (n == before->own.n || before->own.all[n] != now->all[i].id)
			return false;
		n++;
	}
	return n == before->own.n && now->total == before->total && now->pages == before->pages;
}
