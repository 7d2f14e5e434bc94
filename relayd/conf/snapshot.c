#include "relayd/conf/snapshot.h"

#include "common/base/err.h"
#include "relayd/conf/builder.h"
#include "relayd/conf/picks.h"
#include "relayd/conf/shelf.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct snapshot_stage {
	struct proto_revision to;
	struct picks picks;
};

static bool revision_equal(const struct proto_revision *a, const struct proto_revision *b)
{
	return a->seq == b->seq && memcmp(a->log_id, b->log_id, sizeof a->log_id) == 0;
}

int snapshot_new(struct snapshot **out, struct err *e)
{
	struct snapshot *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory");
	s->refs = 1;
	*out = s;
	return 0;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	if (s == NULL || __atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	for (size_t i = 0; i < s->n_shelves; i++)
		shelf_unref(s->shelves[i]);
	free(s->shelves);
	free(s);
}

const struct object *snapshot_find(const struct snapshot *s, const char *id)
{
	size_t low = 0, high = s->n_shelves; /* the last shelf that begins at or before id lies between */

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(s->shelves[middle]->objects[0]->id, id) <= 0)
			low = middle;
		else
			high = middle;
	}
	return high > low ? shelf_find(s->shelves[low], id) : NULL;
}

/* Looks at the next object without taking it; stands at a shelf's beginning rather than at the end of the one before. */
static const struct object *peek(const struct snapshot *s, struct snapshot_walk *w)
{
	if (w->shelf < s->n_shelves && w->at == s->shelves[w->shelf]->n) {
		w->shelf++;
		w->at = 0;
	}
	return w->shelf < s->n_shelves ? s->shelves[w->shelf]->objects[w->at] : NULL;
}

const struct object *snapshot_next(const struct snapshot *s, struct snapshot_walk *w)
{
	const struct object *o = peek(s, w);

	w->at += o != NULL;
	return o;
}

int snapshot_of(struct snapshot **out, const struct proto_revision *revision, const struct object *const *objects,
	size_t n, struct err *e)
{
	struct builder b;

	if (builder_init(&b, n / SHELF_MAX + 1, e) != 0 || builder_put(&b, objects, n, e) != 0) {
		builder_fini(&b);
		return -1;
	}
	*out = builder_finish(&b, revision);
	return 0;
}

/* A delta stays in one log and goes forward; only a relay with nothing may be led into any log. */
static bool delta_leads_on(const struct msg_update *delta)
{
	const struct proto_revision nothing = { .seq = 0 };

	if (revision_equal(&delta->from, &nothing))
		return true;
	return memcmp(delta->to.log_id, delta->from.log_id, PROTO_LOG_ID_SIZE) == 0 && delta->to.seq >= delta->from.seq;
}

int snapshot_apply(struct snapshot **out, const struct snapshot *base, const struct msg_update *delta, struct err *e)
{
	struct picks picks = { 0 };
	int r;

	if (delta->kind != UPDATE_DELTA || !revision_equal(&delta->from, &base->revision))
		return err_set(e, ERR_CONFLICT, NULL, "delta starts at revision %" PRIu64 ", this relay is at %" PRIu64,
			delta->from.seq, base->revision.seq);
	if (!delta_leads_on(delta))
		return err_set(e, ERR_CONFLICT, NULL, "delta leads from revision %" PRIu64 " back, or into another log",
			delta->from.seq);
	r = picks_add(&picks, base, delta, e);
	if (r == 0)
		r = picks_merge(&picks, out, base, &delta->to, e);
	picks_free(&picks);
	return r;
}

int snapshot_stage_add(
	struct snapshot_stage **stage, const struct snapshot *base, const struct msg_update *page, struct err *e)
{
	if (page->kind != UPDATE_SNAPSHOT)
		return err_set(
			e, ERR_CONFLICT, NULL, "update of kind %u is not a page of a snapshot", (unsigned)page->kind);
	if (*stage == NULL) {
		if ((*stage = calloc(1, sizeof **stage)) == NULL)
			return err_set(e, ERR_NOMEM, NULL, "snapshot: out of memory");
		(*stage)->to = page->to;
	}
	if (!revision_equal(&(*stage)->to, &page->to))
		return err_set(e, ERR_CONFLICT, NULL, "page of revision %" PRIu64 " among pages of revision %" PRIu64,
			page->to.seq, (*stage)->to.seq);
	return picks_add(&(*stage)->picks, base, page, e);
}

int snapshot_stage_finish(struct snapshot **out, struct snapshot_stage **stage, struct err *e)
{
	const struct snapshot nothing = { 0 };
	int r = picks_merge(&(*stage)->picks, out, &nothing, &(*stage)->to, e);

	snapshot_stage_free(*stage);
	*stage = NULL;
	return r;
}

void snapshot_stage_free(struct snapshot_stage *stage)
{
	if (stage == NULL)
		return;
	picks_free(&stage->picks);
	free(stage);
}

/* Both walks stand at the beginning of the same shelf: nothing in it differs. */
static bool skip_shared(
	const struct snapshot *a, struct snapshot_walk *wa, const struct snapshot *b, struct snapshot_walk *wb)
{
	if (wa->at != 0 || wb->at != 0 || wa->shelf == a->n_shelves || wb->shelf == b->n_shelves ||
		a->shelves[wa->shelf] != b->shelves[wb->shelf])
		return false;
	wa->shelf++;
	wb->shelf++;
	return true;
}

void snapshot_diff(const struct snapshot *old, const struct snapshot *new_, snapshot_diff_fn fn, void *arg)
{
	struct snapshot_walk wo = { 0 }, wn = { 0 };

	for (;;) {
		const struct object *a = peek(old, &wo), *b = peek(new_, &wn);
		int c;

		if (a == NULL && b == NULL)
			return;
		if (skip_shared(old, &wo, new_, &wn))
			continue;
		c = a == b ? 0 : a == NULL ? 1 : b == NULL ? -1 : strcmp(a->id, b->id);
		if (c < 0)
			fn(a, NULL, arg);
		else if (c > 0)
			fn(NULL, b, arg);
		else if (a != b)
			fn(a, b, arg);
		wo.at += c <= 0;
		wn.at += c >= 0;
	}
}
