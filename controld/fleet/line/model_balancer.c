#include "controld/fleet/line/model_balancer.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/balancer/lb_placed.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "proto/update.h"

#define GROUPS_MAX 256 /* that one pool stands in */

struct reading {
	const struct model_balancer *m;
	int rc;
	struct err *e;
};

/* ---- routes ------------------------------------------------------------------------------------------------------ */

static int on_route(const struct lb_route_placed *r, void *arg)
{
	struct reading *g = arg;
	const struct model_balancer *m = g->m;
	struct model_put put = { .kind = OBJECT_ROUTE,
		.id = r->id,
		.group = r->group_id,
		.node = r->node_id,
		.seq = MAX((uint64_t)r->seq, m->seq) };

	buf_reset(m->body);
	if (r->present)
		route_conf_encode(r->conf, m->body);
	if (m->body->failed)
		log_error("route_not_encoded", log_s("route", r->id));
	if (!r->present || m->body->failed) {
		if (m->rev > 0)
			g->rc = model_remove(m->model, r->id, m->rev, g->e);
		return g->rc;
	}
	put.body = m->body->data;
	put.n = m->body->len;
	if (m->rev == 0)
		g->rc = model_load(m->model, &put, g->e);
	else if (!model_has(m->model, &put, (uint64_t)r->seq)) /* else its owner changed, and that says nothing here */
		g->rc = model_put(m->model, &put, m->rev, g->e);
	return g->rc;
}

int model_balancer_route(const struct model_balancer *m, const char *id, struct err *e)
{
	struct reading g = { .m = m, .e = e };

	return lb_route_placed_get(m->db, id, on_route, &g, e) != 0 || g.rc != 0 ? -1 : 0;
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

struct homes {
	char ids[GROUPS_MAX][PROTO_ID_SIZE];
	const char *list[GROUPS_MAX];
	size_t n;
};

static int on_home(const char *group_id, void *arg)
{
	struct homes *h = arg;

	if (h->n == GROUPS_MAX) {
		log_error("pool_in_too_many_groups", log_s("group", group_id));
		return 0;
	}
	(void)str_copy(h->ids[h->n], sizeof h->ids[0], group_id);
	h->list[h->n] = h->ids[h->n];
	h->n++;
	return 0;
}

static int read_homes(struct db *db, const char *pool, struct homes *h, struct err *e)
{
	struct group standard;

	if (lb_pool_placed_groups(db, pool, on_home, h, e) != 0)
		return -1;
	if (h->n > 0)
		return 0;
	return group_get(db, GROUP_DEFAULT, &standard, e) != 0 ? -1 : on_home(standard.id, h);
}

static int load_pool(const struct reading *g, struct model_put *put, const struct homes *h)
{
	int rc = 0;

	for (size_t i = 0; i < h->n && rc == 0; i++) {
		put->group = h->list[i];
		rc = model_load(g->m->model, put, g->e);
	}
	return rc;
}

static int on_pool(const struct lb_pool_placed *p, void *arg)
{
	struct reading *g = arg;
	const struct model_balancer *m = g->m;
	struct model_put put = { .kind = OBJECT_POOL,
		.id = p->id,
		.group = "",
		.node = "",
		.spread = true,
		.seq = MAX((uint64_t)p->seq, m->seq),
		.since = (uint64_t)p->seq };
	struct homes homes = { .n = 0 };

	buf_reset(m->body);
	if (p->present) {
		pool_conf_encode(p->conf, m->body);
		g->rc = read_homes(m->db, p->id, &homes, g->e);
	}
	if (m->body->failed) {
		log_error("pool_not_encoded", log_s("pool", p->id));
		homes.n = 0;
	}
	put.body = m->body->data;
	put.n = m->body->len;
	if (g->rc == 0 && m->rev == 0)
		g->rc = load_pool(g, &put, &homes);
	else if (g->rc == 0)
		g->rc = model_spread(m->model, &put, homes.list, homes.n, m->rev, g->e);
	return g->rc;
}

int model_balancer_pool(const struct model_balancer *m, const char *id, struct err *e)
{
	struct reading g = { .m = m, .e = e };

	return lb_pool_placed_get(m->db, id, on_pool, &g, e) != 0 || g.rc != 0 ? -1 : 0;
}

int model_balancer_load(const struct model_balancer *m, struct err *e)
{
	struct reading g = { .m = m, .e = e };

	if (lb_pool_placed_all(m->db, on_pool, &g, e) != 0 || g.rc != 0)
		return -1;
	return lb_route_placed_all(m->db, on_route, &g, e) != 0 || g.rc != 0 ? -1 : 0;
}
