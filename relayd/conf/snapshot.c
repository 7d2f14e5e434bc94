#include "relayd/conf/snapshot.h"

#include "common/base/err.h"
#include "relayd/conf/picks.h"

#include <inttypes.h>
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
	for (size_t i = 0; i < s->n; i++)
		object_unref(s->objects[i]);
	free(s->objects);
	free(s);
}

static int compare_id(const void *id, const void *o)
{
	return strcmp(id, (*(const struct object *const *)o)->id);
}

const struct object *snapshot_find(const struct snapshot *s, const char *id)
{
	const struct object **found = NULL;

	if (s->n > 0)
		found = bsearch(id, s->objects, s->n, sizeof s->objects[0], compare_id);
	return found != NULL ? *found : NULL;
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

void snapshot_diff(const struct snapshot *old, const struct snapshot *new_, snapshot_diff_fn fn, void *arg)
{
	size_t i = 0, j = 0;

	while (i < old->n || j < new_->n) {
		const struct object *a = i < old->n ? old->objects[i] : NULL;
		const struct object *b = j < new_->n ? new_->objects[j] : NULL;
		int c = a == b ? 0 : a == NULL ? 1 : b == NULL ? -1 : strcmp(a->id, b->id);

		if (c < 0)
			fn(a, NULL, arg);
		else if (c > 0)
			fn(NULL, b, arg);
		else if (a != b)
			fn(a, b, arg);
		i += c <= 0;
		j += c >= 0;
	}
}
