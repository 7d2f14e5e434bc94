#include "controld/fleet/line/model_reader.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/certs/certs.h"
#include "controld/clients/clients.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/model_balancer.h"
#include "controld/fleet/line/model_certs.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/line/touches.h"
#include "controld/fleet/node.h"
#include "controld/fleet/node_cert.h"
#include "controld/store/changes.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"
#include "proto/client_conf.h"
#include "proto/mapping_conf.h"
#include "proto/update.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK      1000 /* rows of the log taken at a time */
#define PAGE_NODES 1000
#define BODY_MAX   (MODEL_PAGE_MAX - 1024) /* with its head it fits into a message */

struct model_reader {
	struct model_reader_conf conf;
	struct model *model;
	int64_t seq;     /* everything up to here is in the model */
	struct buf body; /* reused */
};

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

/* What mapping_placed_*() and client_placed_*() call back with. */
struct placing {
	struct model_reader *reader;
	struct db *db;
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
	if (p->rev == 0)
		p->rc = model_load(r->model, &put, p->e);
	else if (!model_has(r->model, &put, (uint64_t)m->seq)) /* else its owner changed, and that says nothing here */
		p->rc = model_put(r->model, &put, (uint64_t)p->rev, p->e);
	return p->rc;
}

static int read_mapping(struct model_reader *r, struct db *db, const struct touched *one, int64_t rev, struct err *e)
{
	struct placing p = { .reader = r, .seq = one->seq, .rev = rev, .e = e };

	return mapping_placed_get(db, one->id, on_placed, &p, e) != 0 || p.rc != 0 ? -1 : 0;
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

/*
 * The groups that a client is wanted in: those of its mappings, or `default`, so that its agent can come before there are
 * any. A relay that has a mapping of a client has the client, too.
 */
#define CLIENT_GROUPS_MAX 256

struct homes {
	char ids[CLIENT_GROUPS_MAX][PROTO_ID_SIZE];
	const char *list[CLIENT_GROUPS_MAX];
	size_t n;
};

static int on_home(const char *group_id, void *arg)
{
	struct homes *h = arg;

	if (h->n == CLIENT_GROUPS_MAX) {
		log_error("client_in_too_many_groups", log_s("group", group_id));
		return 0;
	}
	str_copy(h->ids[h->n], sizeof h->ids[0], group_id);
	h->list[h->n] = h->ids[h->n];
	h->n++;
	return 0;
}

static int read_homes(struct db *db, const char *client, struct homes *h, struct err *e)
{
	struct group standard;

	h->n = 0;
	if (mapping_groups_of_client(db, client, on_home, h, e) != 0)
		return -1;
	if (h->n > 0)
		return 0;
	return group_get(db, GROUP_DEFAULT, &standard, e) != 0 ? -1 : on_home(standard.id, h);
}

static int load_client(struct placing *p, struct model_put *put, const struct homes *h)
{
	for (size_t i = 0; i < h->n && p->rc == 0; i++) {
		put->group = h->list[i];
		p->rc = model_load(p->reader->model, put, p->e);
	}
	return p->rc;
}

static int on_client(const struct client_placed *c, void *arg)
{
	struct placing *p = arg;
	struct model_reader *r = p->reader;
	struct model_put put = { .kind = OBJECT_CLIENT, .id = c->id, .group = "", .node = "", .spread = true };
	struct homes homes = { .n = 0 };

	buf_reset(&r->body);
	if (c->present) {
		client_conf_encode(&c->conf, &r->body);
		p->rc = read_homes(p->db, c->id, &homes, p->e);
	}
	if (r->body.failed) {
		log_error("client_not_encoded", log_s("client", c->id));
		homes.n = 0;
	}
	put.seq = (uint64_t)MAX(c->seq, p->seq);
	put.body = r->body.data;
	put.n = r->body.len;
	if (p->rc == 0 && p->rev == 0)
		load_client(p, &put, &homes);
	else if (p->rc == 0)
		p->rc = model_spread(r->model, &put, homes.list, homes.n, (uint64_t)p->rev, p->e);
	return p->rc;
}

static int read_client(struct model_reader *r, struct db *db, const struct touched *one, int64_t rev, struct err *e)
{
	struct placing p = { .reader = r, .db = db, .seq = one->seq, .rev = rev, .e = e };

	return client_placed_get(db, one->id, on_client, &p, e) != 0 || p.rc != 0 ? -1 : 0;
}

/* ---- pools, routes, certificates --------------------------------------------------------------------------------- */

static int read_balanced(struct model_reader *r, struct db *db, const struct touched *one, int64_t rev, struct err *e)
{
	const struct model_balancer m = { r->model, db, &r->body, (uint64_t)one->seq, (uint64_t)rev };

	switch (one->kind) {
	case TOUCHED_POOL:
		return model_balancer_pool(&m, one->id, e);
	case TOUCHED_ROUTE:
		return model_balancer_route(&m, one->id, e);
	case TOUCHED_CERT:
		return model_certs_one(&m, one->id, e);
	case TOUCHED_ANSWER:
		return model_certs_answer(&m, one->id, e);
	default:
		return model_certs_tickets(&m, e);
	}
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
		if (one->kind == TOUCHED_CLIENT && read_client(r, db, one, t->last, e) != 0)
			return -1;
		if (one->kind >= TOUCHED_POOL && one->kind <= TOUCHED_TICKETS &&
			read_balanced(r, db, one, t->last, e) != 0)
			return -1;
		if (one->kind == TOUCHED_NODE && read_node(r, db, one->id, e) != 0)
			return -1;
		if (one->kind == TOUCHED_CA && r->conf.on_ca != NULL)
			r->conf.on_ca(r->conf.arg);
	}
	return 0;
}

static int reload(struct model_reader *r, struct db *db, struct err *e);

/* One part of the log: 1 if there may be more, 0 at its end. */
static int read_part(struct model_reader *r, struct err *e)
{
	struct touches t;
	struct db *db;
	int rc;

	if (store_read_begin(r->conf.store, &db, e) != 0)
		return -1;
	touches_init(&t, true, r->seq);
	rc = touches_read(&t, db, CHUNK, e);
	if (rc == 0 && t.gap) {
		rc = reload(r, db, e) == 0 ? 1 : -1;
		t.last = 0;
	}
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
	struct placing p = { .reader = r, .db = db, .e = e };
	const struct model_balancer balanced = { r->model, db, &r->body, 0, 0 };

	if (group_list(db, &all, on_group, &p, e) != 0 || p.rc != 0)
		return -1;
	if (mapping_placed_all(db, on_placed, &p, e) != 0 || p.rc != 0)
		return -1;
	if (model_balancer_load(&balanced, e) != 0 || model_certs_load(&balanced, e) != 0)
		return -1;
	return client_placed_all(db, on_client, &p, e) != 0 || p.rc != 0 ? -1 : 0;
}

static int recall_one(struct model_reader *r, const struct touched *one, struct err *e)
{
	static const uint8_t kinds[] = { [TOUCHED_MAPPING] = OBJECT_MAPPING,
		[TOUCHED_CLIENT] = OBJECT_CLIENT,
		[TOUCHED_POOL] = OBJECT_POOL,
		[TOUCHED_ROUTE] = OBJECT_ROUTE,
		[TOUCHED_CERT] = OBJECT_CERT,
		[TOUCHED_ANSWER] = OBJECT_ACME,
		[TOUCHED_TICKETS] = OBJECT_TICKETS };
	struct model_put which = { .id = one->kind == TOUCHED_TICKETS ? TICKETS_ID : one->id };

	if (one->kind >= ARRAY_LEN(kinds))
		return 0;
	which.kind = kinds[one->kind];
	which.spread = one->kind != TOUCHED_MAPPING && one->kind != TOUCHED_ROUTE;
	return model_recall(r->model, &which, (uint64_t)one->seq, e);
}

/* One change, and what followed from it for mappings and clients. */
static int recall_change(struct model_reader *r, struct db *db, const struct touched *change, struct err *e)
{
	struct touches all;
	int rc;

	touches_init(&all, true, change->seq);
	touches_add(&all, change->kind, change->log_kind, change->id, change->seq);
	rc = touches_resolve(&all, db, e);
	LIST_FOREACH (it, &all.all)
		if (rc == 0)
			rc = recall_one(r, CONTAINER_OF(it, struct touched, link), e);
	touches_fini(&all);
	return rc;
}

/* Relays that are a little behind when controld starts get deltas, not snapshots. */
static int recall(struct model_reader *r, struct db *db, int64_t floor, struct err *e)
{
	struct touches t;
	int rc;

	touches_init(&t, false, floor);
	rc = touches_read(&t, db, UINT32_MAX, e);
	LIST_FOREACH (it, &t.all)
		if (rc == 0)
			rc = recall_change(r, db, CONTAINER_OF(it, struct touched, link), e);
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

static int load_model(struct model_reader *r, struct db *db, struct err *e)
{
	struct model_conf c = { .changes_max = r->conf.changes_max };
	int64_t first, floor;

	if (changes_last(db, &r->seq, c.log_id, e) != 0 || changes_first(db, &first, e) != 0)
		return -1;
	floor = first == 0 ? r->seq : MAX(first - 1, r->seq - (int64_t)r->conf.recall_max);
	c.rev = (uint64_t)r->seq;
	c.floor = (uint64_t)floor;
	if (model_new(&r->model, &c, e) != 0 || load_objects(r, db, e) != 0)
		return -1;
	return recall(r, db, floor, e);
}

/* Each node that was known, as if the log had named it: one that was revoked meanwhile is turned away; then the new ones. */
static int reload_nodes(struct model_reader *r, struct db *db, struct err *e)
{
	char(*ids)[PROTO_ID_SIZE];
	size_t n;
	int rc = roster_ids(r->conf.roster, &ids, &n, e);

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = read_node(r, db, ids[i], e);
	free(ids);
	return rc == 0 ? load_nodes(r, db, e) : -1;
}

/* Whoever stood still that long has missed what nobody can tell any more: all as it is now. */
static int reload(struct model_reader *r, struct db *db, struct err *e)
{
	struct model *before = r->model;
	const int64_t seq = r->seq;

	log_warn("change_log_gap", log_i("had", seq));
	r->model = NULL;
	if (load_model(r, db, e) != 0 || reload_nodes(r, db, e) != 0) {
		model_free(r->model);
		r->model = before;
		r->seq = seq;
		return -1;
	}
	model_become(before, r->model);
	r->model = before;
	if (r->conf.on_ca != NULL)
		r->conf.on_ca(r->conf.arg);
	return 0;
}

int model_reader_new(struct model_reader **out, const struct model_reader_conf *c, struct err *e)
{
	struct model_reader *r = calloc(1, sizeof *r);
	struct db *db = NULL;

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "change log: out of memory");
	r->conf = *c;
	buf_init(&r->body, BODY_MAX);
	if (store_read_begin(c->store, &db, e) != 0 || load_model(r, db, e) != 0 || load_nodes(r, db, e) != 0)
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
