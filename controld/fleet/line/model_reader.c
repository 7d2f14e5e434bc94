#include "controld/fleet/line/model_reader.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/fleet/node_cert.h"
#include "controld/store/changes.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"
#include "proto/mapping_conf.h"
#include "proto/update.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK      1000 /* rows of the log taken at a time */
#define PAGE_NODES 1000
#define BODY_MAX   (256 * 1024)

struct model_reader {
	struct model_reader_conf conf;
	struct model *model;
	int64_t seq;     /* everything up to here is in the model */
	struct buf body; /* reused */
};

/* ---- what a part of the log touched ------------------------------------------------------------------------------ */

enum touched_kind { TOUCHED_MAPPING, TOUCHED_OWNER, TOUCHED_NODE };

struct touched {
	struct list link;
	enum touched_kind kind;
	const char *log_kind; /* of an owner: as the log calls it */
	char id[PROTO_ID_SIZE];
	int64_t seq; /* of its newest change */
};

/* In the order of their first change; each object once (`once`) or once per change (recall). */
struct touches {
	struct list all;
	struct map by_id;
	bool once;
	bool no_memory;
	int64_t last; /* seq of the last row read, or 0 */
	unsigned rows;
};

static void touches_init(struct touches *t, bool once)
{
	*t = (struct touches){ .once = once };
	list_init(&t->all);
	map_init(&t->by_id);
}

static void touches_fini(struct touches *t)
{
	LIST_FOREACH_SAFE (it, &t->all)
		free(CONTAINER_OF(it, struct touched, link));
	map_free(&t->by_id);
}

static void touches_add(struct touches *t, enum touched_kind kind, const char *log_kind, const char *id, int64_t seq)
{
	struct touched *one = t->once ? map_get_str(&t->by_id, id) : NULL;

	if (one != NULL) {
		one->seq = MAX(one->seq, seq);
		return;
	}
	one = calloc(1, sizeof *one);
	if (one == NULL || str_copy(one->id, sizeof one->id, id) != 0 ||
		(t->once && map_put_str(&t->by_id, one->id, one, NULL) != 0)) {
		t->no_memory = t->no_memory || one == NULL || strlen(id) < sizeof one->id;
		free(one);
		return;
	}
	one->kind = kind;
	one->log_kind = log_kind;
	one->seq = seq;
	list_push_back(&t->all, &one->link);
}

static bool is_presence(const struct change *c)
{
	return str_eq(c->op, "online") || str_eq(c->op, "offline");
}

static int on_change(const struct change *c, void *arg)
{
	static const struct {
		const char *name;
		enum touched_kind kind;
	} kinds[] = {
		{ "mapping", TOUCHED_MAPPING },
		{ "user", TOUCHED_OWNER },
		{ "tenant", TOUCHED_OWNER },
		{ "node", TOUCHED_NODE },
	};
	struct touches *t = arg;

	t->last = c->seq;
	t->rows++;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(c->kind, kinds[i].name) && !(kinds[i].kind == TOUCHED_NODE && is_presence(c)))
			touches_add(t, kinds[i].kind, kinds[i].name, c->subject, c->seq);
	return 0;
}

struct owned {
	struct touches *touches;
	int64_t seq;
};

static int on_owned(const char *id, void *arg)
{
	const struct owned *o = arg;

	touches_add(o->touches, TOUCHED_MAPPING, NULL, id, o->seq);
	return 0;
}

/* Mappings of the owners among them; they are appended, so the walk meets them, too. */
static int touches_resolve(struct touches *t, struct db *db, struct err *e)
{
	LIST_FOREACH (it, &t->all) {
		struct touched *one = CONTAINER_OF(it, struct touched, link);
		struct owned o = { t, one->seq };

		if (one->kind == TOUCHED_OWNER && mapping_ids_of(db, one->log_kind, one->id, on_owned, &o, e) != 0)
			return -1;
	}
	return t->no_memory ? err_set(e, ERR_NOMEM, NULL, "change log: out of memory") : 0;
}

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

/* What mapping_placed_*() calls back with. */
struct placing {
	struct model_reader *reader;
	int64_t seq; /* the object is at least as new as this */
	int64_t rev; /* 0: loading */
	int rc;
	struct err *e;
};

static int on_placed(const struct mapping_placed *m, void *arg)
{
	struct placing *p = arg;
	struct model_reader *r = p->reader;
	struct model_put put = {
		.kind = OBJECT_MAPPING,
		.id = m->id,
		.group = m->group_id,
		.node = m->node_id,
		.seq = (uint64_t)MAX(m->seq, p->seq),
	};

	buf_reset(&r->body);
	if (m->present)
		mapping_conf_encode(&m->conf, &r->body);
	if (r->body.failed)
		log_error("mapping_not_encoded", log_s("mapping", m->id));
	if (!m->present || r->body.failed) {
		if (p->rev > 0)
			p->rc = model_remove(r->model, m->id, (uint64_t)p->rev, p->e);
		return p->rc;
	}
	put.body = r->body.data;
	put.n = r->body.len;
	if (p->rev > 0)
		p->rc = model_put(r->model, &put, (uint64_t)p->rev, p->e);
	else
		p->rc = model_load(r->model, &put, p->e);
	return p->rc;
}

static int read_mapping(struct model_reader *r, struct db *db, const struct touched *one, int64_t rev, struct err *e)
{
	struct placing p = { .reader = r, .seq = one->seq, .rev = rev, .e = e };

	return mapping_placed_get(db, one->id, on_placed, &p, e) != 0 || p.rc != 0 ? -1 : 0;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static int on_refused(const char *serial, void *arg)
{
	struct roster_serials *s = arg;
	void *items = realloc(s->items, (s->n + 1) * sizeof s->items[0]);

	if (items == NULL)
		return -1;
	s->items = items;
	str_copy(s->items[s->n++], sizeof s->items[0], serial);
	return 0;
}

static int put_node(struct model_reader *r, struct db *db, const struct node *n, struct err *e)
{
	struct roster_serials refused = { .n = 0 };
	int rc = node_cert_refused(db, n->id, on_refused, &refused, e);

	if (rc == 0)
		rc = roster_put(r->conf.roster, n, &refused, clock_mono_ms(), e);
	free(refused.items);
	return rc;
}

static int read_node(struct model_reader *r, struct db *db, const char *id, struct err *e)
{
	struct roster_node before;
	bool known = roster_get(r->conf.roster, id, &before);
	struct node now;
	struct err why;
	bool gone = node_get(db, id, &now, &why) != 0;

	if (gone && why.code != ERR_NODE_NOT_FOUND) {
		if (e != NULL)
			*e = why;
		return -1;
	}
	if (gone)
		roster_remove(r->conf.roster, id);
	else if (put_node(r, db, &now, e) != 0)
		return -1;
	r->conf.on_node(id, known ? &before.row : NULL, gone ? NULL : &now, r->conf.arg);
	return 0;
}

/* ---- following --------------------------------------------------------------------------------------------------- */

static int apply(struct model_reader *r, struct db *db, struct touches *t, struct err *e)
{
	LIST_FOREACH (it, &t->all) {
		const struct touched *one = CONTAINER_OF(it, struct touched, link);

		if (one->kind == TOUCHED_MAPPING && read_mapping(r, db, one, t->last, e) != 0)
			return -1;
		if (one->kind == TOUCHED_NODE && read_node(r, db, one->id, e) != 0)
			return -1;
	}
	return 0;
}

/* One part of the log: 1 if there may be more, 0 at its end. */
static int read_part(struct model_reader *r, struct err *e)
{
	struct touches t;
	struct db *db;
	int rc;

	if (store_read_begin(r->conf.store, &db, e) != 0)
		return -1;
	touches_init(&t, true);
	rc = changes_read(db, r->seq, CHUNK, NULL, on_change, &t, e);
	if (rc == 0)
		rc = touches_resolve(&t, db, e);
	if (rc == 0)
		rc = apply(r, db, &t, e);
	store_read_end(db);
	if (rc == 0 && t.last > 0) {
		r->seq = t.last;
		model_advance(r->model, (uint64_t)t.last);
		rc = 1;
	}
	touches_fini(&t);
	return rc;
}

int model_reader_catch_up(struct model_reader *r, struct err *e)
{
	int64_t before = r->seq;
	int rc;

	do
		rc = read_part(r, e);
	while (rc == 1);
	if (rc != 0)
		return -1;
	return r->seq > before ? 1 : 0;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static int on_group(const struct group *g, void *arg)
{
	struct placing *p = arg;

	p->rc = model_group(p->reader->model, g->id, p->e);
	return p->rc;
}

static int load_objects(struct model_reader *r, struct db *db, struct err *e)
{
	const struct group_query all = { .after = "", .name = "", .limit = UINT32_MAX };
	struct placing p = { .reader = r, .e = e };

	if (group_list(db, &all, on_group, &p, e) != 0 || p.rc != 0)
		return -1;
	return mapping_placed_all(db, on_placed, &p, e) != 0 || p.rc != 0 ? -1 : 0;
}

/* Relays that are a little behind when controld starts get deltas, not snapshots. */
static int recall(struct model_reader *r, struct db *db, int64_t floor, struct err *e)
{
	struct touches t;
	int rc;

	touches_init(&t, false);
	rc = changes_read(db, floor, UINT32_MAX, NULL, on_change, &t, e);
	LIST_FOREACH (it, &t.all) {
		const struct touched *one = CONTAINER_OF(it, struct touched, link);
		struct touches owned;

		if (rc != 0 || one->kind == TOUCHED_NODE)
			continue;
		if (one->kind == TOUCHED_MAPPING) {
			rc = model_recall(r->model, one->id, (uint64_t)one->seq, e);
			continue;
		}
		touches_init(&owned, true);
		touches_add(&owned, one->kind, one->log_kind, one->id, one->seq);
		rc = touches_resolve(&owned, db, e);
		LIST_FOREACH (at, &owned.all) {
			const struct touched *m = CONTAINER_OF(at, struct touched, link);

			if (rc == 0 && m->kind == TOUCHED_MAPPING)
				rc = model_recall(r->model, m->id, (uint64_t)m->seq, e);
		}
		touches_fini(&owned);
	}
	touches_fini(&t);
	return rc;
}

struct loading_node {
	struct model_reader *reader;
	struct db *db;
	char last[PROTO_ID_SIZE];
	size_t n;
	int rc;
	struct err *e;
};

static int on_node(const struct node *n, void *arg)
{
	struct loading_node *l = arg;

	l->n++;
	str_copy(l->last, sizeof l->last, n->id);
	l->rc = put_node(l->reader, l->db, n, l->e);
	return l->rc;
}

static int load_nodes(struct model_reader *r, struct db *db, struct err *e)
{
	struct loading_node l = { .reader = r, .db = db, .e = e };

	const struct node_filter f = { .after = l.last, .group = "", .name = "", .limit = PAGE_NODES };

	do {
		l.n = 0;
		if (node_list(db, &f, on_node, &l, e) != 0 || l.rc != 0)
			return -1;
	} while (l.n == PAGE_NODES);
	return 0;
}

static int load(struct model_reader *r, struct db *db, struct err *e)
{
	struct model_conf c = { .changes_max = r->conf.changes_max };
	int64_t first, floor;

	if (changes_last(db, &r->seq, c.log_id, e) != 0 || changes_first(db, &first, e) != 0)
		return -1;
	floor = first == 0 ? r->seq : MAX(first - 1, r->seq - (int64_t)r->conf.recall_max);
	c.rev = (uint64_t)r->seq;
	c.floor = (uint64_t)floor;
	if (model_new(&r->model, &c, e) != 0 || load_objects(r, db, e) != 0 || recall(r, db, floor, e) != 0)
		return -1;
	return load_nodes(r, db, e);
}

int model_reader_new(struct model_reader **out, const struct model_reader_conf *c, struct err *e)
{
	struct model_reader *r = calloc(1, sizeof *r);
	struct db *db = NULL;

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "change log: out of memory");
	r->conf = *c;
	buf_init(&r->body, BODY_MAX);
	if (store_read_begin(c->store, &db, e) != 0 || load(r, db, e) != 0)
		goto fail;
	store_read_end(db);
	*out = r;
	return 0;
fail:
	store_read_end(db);
	model_reader_free(r);
	return -1;
}

void model_reader_free(struct model_reader *r)
{
	if (r == NULL)
		return;
	model_free(r->model);
	buf_free(&r->body);
	free(r);
}

struct model *model_reader_model(struct model_reader *r)
{
	return r->model;
}
