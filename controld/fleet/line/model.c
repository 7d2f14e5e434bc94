#include "controld/fleet/line/model.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/map.h"
#include "controld/fleet/line/model_group.h"
#include "controld/fleet/line/model_snapshot.h"
#include "proto/update.h"

#include <stdlib.h>
#include <string.h>

struct model {
	struct model_conf conf;
	struct proto_revision revision;
	struct map objects; /* the present versions by key */
	struct map groups;
	uint64_t changes;
	struct model_encoded one; /* a delta for one relay that has objects of its own */
};

int model_new(struct model **out, const struct model_conf *c, struct err *e)
{
	struct model *m = calloc(1, sizeof *m);

	if (m == NULL)
		return err_set(e, ERR_NOMEM, NULL, "model: out of memory");
	m->conf = *c;
	memcpy(m->revision.log_id, c->log_id, sizeof c->log_id);
	m->revision.seq = c->rev;
	map_init(&m->objects);
	map_init(&m->groups);
	buf_init(&m->one.entries, PROTO_MSG_MAX);
	*out = m;
	return 0;
}

void model_free(struct model *m)
{
	struct model_group *g;
	struct model_object *o;
	size_t it = 0;

	if (m == NULL)
		return;
	while ((g = map_next(&m->groups, &it)) != NULL)
		model_group_free(g);
	map_free(&m->groups);
	it = 0;
	while ((o = map_next(&m->objects, &it)) != NULL)
		model_object_unref(o);
	map_free(&m->objects);
	buf_free(&m->one.entries);
	free(m);
}

void model_become(struct model *m, struct model *other)
{
	const struct model old = *m;

	*m = *other;
	m->changes = old.changes + 1;
	*other = old;
	model_free(other);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static struct model_group *group_get(struct model *m, const char *id, uint64_t floor, struct err *e)
{
	struct model_group *g = map_get_str(&m->groups, id);

	if (g != NULL)
		return g;
	if (model_group_new(&g, id, m->conf.changes_max, floor, e) != 0)
		return NULL;
	if (map_put_str(&m->groups, g->id, g, NULL) != 0) {
		model_group_free(g);
		err_set(e, ERR_NOMEM, NULL, "group %s: out of memory", id);
		return NULL;
	}
	return g;
}

int model_group(struct model *m, const char *group, struct err *e)
{
	return group_get(m, group, m->conf.floor, e) == NULL ? -1 : 0;
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

/* Makes it the present version; takes the caller's reference, and gives up that of the version before. */
static int object_set(struct model *m, struct model_group *g, struct model_object *o, struct err *e)
{
	struct model_object *old;
	void *before = NULL;

	if (map_put_str(&m->objects, o->key, o, &before) != 0) {
		model_object_unref(o);
		return err_set(e, ERR_NOMEM, NULL, "objects of group %s: out of memory", g->id);
	}
	old = before;
	if (old != NULL)
		model_group_drop(map_get_str(&m->groups, old->group), old);
	model_object_unref(old);
	model_group_add(g, o);
	return 0;
}

static int object_make(struct model_object **out, const struct model_put *from, struct err *e)
{
	if (model_object_new(out, from, e) != 0)
		return -1;
	if ((*out)->size <= MODEL_PAGE_MAX)
		return 0;
	model_object_unref(*out);
	return err_set(e, ERR_TOO_LARGE, NULL, "object %s takes %zu bytes, a message holds %d", from->id, from->n,
		MODEL_PAGE_MAX);
}

int model_load(struct model *m, const struct model_put *from, struct err *e)
{
	struct model_group *g = group_get(m, from->group, m->conf.floor, e);
	struct model_object *o;

	if (g == NULL || object_make(&o, from, e) != 0)
		return -1;
	return object_set(m, g, o, e);
}

/* Who had the old version and does not get the new one must hear that it is gone. */
static bool leaves_someone(const struct model_object *old, const struct model_object *o)
{
	return strcmp(old->group, o->group) != 0 || (o->node[0] != '\0' && strcmp(old->node, o->node) != 0);
}

/* The changes are written down first: what fails half-way can be said again. */
int model_put(struct model *m, const struct model_put *from, uint64_t rev, struct err *e)
{
	struct model_group *g = group_get(m, from->group, m->conf.rev, e);
	struct model_object *o, *old;
	char key[MODEL_KEY_SIZE];

	model_object_key(key, from);
	old = map_get_str(&m->objects, key);
	m->changes++;
	if (g == NULL || object_make(&o, from, e) != 0)
		return -1;
	if ((old != NULL && leaves_someone(old, o) &&
		    model_group_change(map_get_str(&m->groups, old->group), rev, old, true, e) != 0) ||
		model_group_change(g, rev, o, false, e) != 0) {
		model_object_unref(o);
		return -1;
	}
	return object_set(m, g, o, e);
}

bool model_has(const struct model *m, const struct model_put *from, uint64_t since)
{
	const struct model_object *o;
	char key[MODEL_KEY_SIZE];

	model_object_key(key, from);
	o = map_get_str(&m->objects, key);
	return o != NULL && o->seq >= since && model_object_same(o, from);
}

int model_remove(struct model *m, const char *key, uint64_t rev, struct err *e)
{
	struct model_object *o = map_get_str(&m->objects, key);
	struct model_group *g;

	if (o == NULL)
		return 0;
	m->changes++;
	g = map_get_str(&m->groups, o->group);
	if (model_group_change(g, rev, o, true, e) != 0)
		return -1;
	map_remove_str(&m->objects, o->key);
	model_group_drop(g, o);
	model_object_unref(o);
	return 0;
}

static bool is_among(const char *group, const char *const *groups, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(groups[i], group) == 0)
			return true;
	return false;
}

static int leave_others(
	struct model *m, const struct model_put *from, const char *const *groups, size_t n, uint64_t rev, struct err *e)
{
	struct model_put there = *from;
	const struct model_group *g;
	char key[MODEL_KEY_SIZE];
	size_t it = 0;

	while ((g = map_next(&m->groups, &it)) != NULL) {
		if (is_among(g->id, groups, n))
			continue;
		there.group = g->id;
		model_object_key(key, &there);
		if (model_remove(m, key, rev, e) != 0)
			return -1;
	}
	return 0;
}

int model_spread(
	struct model *m, const struct model_put *from, const char *const *groups, size_t n, uint64_t rev, struct err *e)
{
	struct model_put there = *from;

	if (leave_others(m, from, groups, n, rev, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		there.group = groups[i];
		if (!model_has(m, &there, from->since) && model_put(m, &there, rev, e) != 0)
			return -1;
	}
	return 0;
}

/*
 * Where the object was before rev is not known, so the group hears that it is gone; delta_entry() leaves that out where
 * it is now.
 */
static int recall_in(struct model *m, struct model_group *g, const struct model_put *which, uint64_t rev, struct err *e)
{
	struct model_put was = { .kind = which->kind, .id = which->id, .node = "", .spread = which->spread };
	struct model_object *o, *stub;
	int rc;

	was.group = which->spread ? g->id : "";
	if (model_object_new(&stub, &was, e) != 0)
		return -1;
	o = map_get_str(&m->objects, stub->key);
	rc = model_group_change(g, rev, stub, true, e);
	if (rc == 0 && o != NULL && strcmp(o->group, g->id) == 0)
		rc = model_group_change(g, rev, o, false, e);
	model_object_unref(stub);
	return rc;
}

int model_recall(struct model *m, const struct model_put *which, uint64_t rev, struct err *e)
{
	struct model_group *g;
	size_t it = 0;
	int rc = 0;

	while (rc == 0 && (g = map_next(&m->groups, &it)) != NULL)
		rc = recall_in(m, g, which, rev, e);
	return rc;
}

void model_advance(struct model *m, uint64_t rev)
{
	if (rev > m->revision.seq)
		m->revision.seq = rev;
}

struct proto_revision model_revision(const struct model *m)
{
	return m->revision;
}

uint64_t model_changes(const struct model *m)
{
	return m->changes;
}

size_t model_count(const struct model *m)
{
	return map_count(&m->objects);
}

size_t model_group_count(const struct model *m, const char *group)
{
	const struct model_group *g = map_get_str(&m->groups, group);

	return g == NULL ? 0 : g->n;
}

/* ---- what a relay needs ------------------------------------------------------------------------------------------ */

uint64_t model_head(const struct model *m, const struct model_relay *r)
{
	const struct model_group *g = map_get_str(&m->groups, r->group);
	uint64_t head = g == NULL ? 0 : MAX(g->head, model_group_node_head(g, r->node));

	return MAX(head, r->placed);
}

enum model_need model_need(const struct model *m, const struct model_relay *r)
{
	const struct model_group *g = map_get_str(&m->groups, r->group);
	uint64_t have = r->have.seq;

	if (memcmp(r->have.log_id, m->revision.log_id, sizeof m->revision.log_id) != 0 || have > m->revision.seq ||
		have < r->placed)
		return MODEL_SNAPSHOT;
	if (g == NULL)
		return have < m->conf.rev ? MODEL_SNAPSHOT : MODEL_NOTHING;
	if (have < g->log.floor)
		return MODEL_SNAPSHOT;
	return have < model_head(m, r) ? MODEL_DELTA : MODEL_NOTHING;
}

/* Appends what this change means to the node (NULL: to a node without objects of its own); answers 1 or 0 entries. */
static uint32_t delta_entry(
	const struct model *m, const struct model_change *c, const char *group, const char *node, struct buf *b)
{
	const struct model_object *now = map_get_str(&m->objects, c->object->key);

	if (!model_object_reaches(c->object, node))
		return 0;
	if (!c->gone) {
		if (now != c->object)
			return 0; /* a newer change is in the list as well */
		buf_put(b, now->wire, now->size);
		return 1;
	}
	if (now != NULL && strcmp(now->group, group) == 0 && model_object_reaches(now, node))
		return 0; /* it is back */
	msg_update_gone(b, c->object->kind, c->object->id, c->rev);
	return 1;
}

/*
 * Writes the entries of all changes above d->from. When they do not fit, the delta ends at the last revision that does:
 * an object that changed again later is left out of it and comes with the later delta.
 */
static int delta_encode(const struct model *m, const struct model_group *g, const char *node, struct model_encoded *d)
{
	uint64_t fits = d->from;
	uint32_t fits_n = 0;
	size_t fits_len = 0;

	buf_reset(&d->entries);
	d->n = 0;
	for (size_t i = model_log_after(&g->log, d->from); i < g->log.n; i++) {
		const struct model_change *c = model_log_at(&g->log, i);

		d->n += delta_entry(m, c, g->id, node, &d->entries);
		if (d->entries.failed || d->entries.len > MODEL_PAGE_MAX) {
			d->to = fits;
			d->n = fits_n;
			d->entries.len = fits_len;
			d->entries.failed = false;
			return fits > d->from ? 0 : -1;
		}
		if (i + 1 == g->log.n || model_log_at(&g->log, i + 1)->rev != c->rev) {
			fits = c->rev;
			fits_n = d->n;
			fits_len = d->entries.len;
		}
	}
	d->to = m->revision.seq;
	return 0;
}

static struct model_encoded *delta_shared(struct model_group *g, uint64_t from)
{
	for (size_t i = 0; i < ARRAY_LEN(g->deltas); i++)
		if (g->deltas[i].valid && g->deltas[i].from == from)
			return &g->deltas[i];
	return NULL;
}

int model_delta(struct model *m, const struct model_relay *r, struct model_delta *out)
{
	struct model_group *g = map_get_str(&m->groups, r->group);
	bool shared = g != NULL && model_group_node_head(g, r->node) <= r->have.seq;
	struct model_encoded *d;

	if (g == NULL) {
		*out = (struct model_delta){ .to = m->revision.seq };
		return 0;
	}
	d = shared ? delta_shared(g, r->have.seq) : NULL;
	if (d == NULL) {
		d = shared ? &g->deltas[g->next_delta++ % MODEL_GROUP_DELTAS] : &m->one;
		d->from = r->have.seq;
		d->valid = delta_encode(m, g, shared ? NULL : r->node, d) == 0;
		if (!d->valid)
			return -1;
	}
	*out = (struct model_delta){ .to = d->to, .n = d->n, .entries = d->entries.data, .size = d->entries.len };
	return 0;
}

struct model_snapshot *model_snapshot(struct model *m, const char *group)
{
	struct model_group *g = map_get_str(&m->groups, group);
	struct list none;

	if (g == NULL) {
		list_init(&none);
		return model_snapshot_new(&none, 0);
	}
	if (g->snapshot == NULL)
		g->snapshot = model_snapshot_new(&g->objects, g->n);
	return g->snapshot == NULL ? NULL : model_snapshot_ref(g->snapshot);
}
