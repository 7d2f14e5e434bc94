#include "controld/balancer/lb_route_change.h"

#include "common/base/str.h"
#include "controld/balancer/lb_route_claim.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/traffic.h"

struct pools {
	char ids[LB_ROUTE_POOLS_MAX][PROTO_ID_SIZE];
	size_t n;
};

static int on_pool(const char *id, void *arg)
{
	struct pools *p = arg;

	if (p->n < LB_ROUTE_POOLS_MAX)
		(void)str_copy(p->ids[p->n++], PROTO_ID_SIZE, id);
	return 0;
}

static bool holds(const struct pools *p, const char *id)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->ids[i], id))
			return true;
	return false;
}

struct telling {
	struct db *tx;
	const struct lb_actor *by;
	const char *group_id;
	int64_t makes; /* routes of the group that use it after the first came, or the last went */
};

/* Logs those of `pools` that are not in `but` and that as many routes of the group use now as make the difference. */
static int tell(const struct telling *t, const struct pools *pools, const struct pools *but, struct err *e)
{
	int64_t n;

	for (size_t i = 0; i < pools->n; i++) {
		if (but != NULL && holds(but, pools->ids[i]))
			continue;
		if (lb_pool_routes_in(t->tx, pools->ids[i], t->group_id, &n, e) != 0)
			return -1;
		if (n == t->makes && lb_pool_moved(t->tx, pools->ids[i], t->by, e) != 0)
			return -1;
	}
	return 0;
}

static int note_place(struct db *tx, const struct lb_route *r, struct err *e)
{
	const struct placement_object o = { r->id, r->tenant_id, r->group_id, r->node_id };

	return placement_note_object(tx, &o, e);
}

int lb_route_came(struct db *tx, struct lb_route *r, const struct lb_actor *by, struct err *e)
{
	const struct telling first = { tx, by, r->group_id, 1 };
	struct pools now = { .n = 0 };

	if (lb_route_log(tx, r, "create", "", by, e) != 0 || lb_route_insert(tx, r, e) != 0 ||
		note_place(tx, r, e) != 0 || traffic_open(tx, r->id, r->tenant_id, r->user_id, e) != 0)
		return -1;
	if (lb_route_pools_of(tx, r->id, on_pool, &now, e) != 0)
		return -1;
	return tell(&first, &now, NULL, e);
}

int lb_route_changed(struct db *tx, const struct lb_route *before, struct lb_route *r, const char *fields,
	const struct lb_actor *by, struct err *e)
{
	const struct telling last = { tx, by, before->group_id, 0 }, first = { tx, by, r->group_id, 1 };
	const bool stays = str_eq(before->group_id, r->group_id);
	struct pools old = { .n = 0 }, now = { .n = 0 };

	if (lb_route_pools_of(tx, r->id, on_pool, &old, e) != 0 || lb_route_log(tx, r, "update", fields, by, e) != 0 ||
		lb_route_update(tx, r, e) != 0 || note_place(tx, r, e) != 0 ||
		lb_route_pools_of(tx, r->id, on_pool, &now, e) != 0)
		return -1;
	if (tell(&last, &old, stays ? &now : NULL, e) != 0)
		return -1;
	return tell(&first, &now, stays ? &old : NULL, e);
}

int lb_route_remove(struct db *tx, struct lb_route *r, const struct lb_actor *by, struct err *e)
{
	const struct telling last = { tx, by, r->group_id, 0 };
	struct pools old = { .n = 0 };

	if (lb_route_pools_of(tx, r->id, on_pool, &old, e) != 0 || lb_route_log(tx, r, "delete", "", by, e) != 0 ||
		lb_route_release(tx, r, e) != 0 || lb_route_delete(tx, r->id, e) != 0)
		return -1;
	return tell(&last, &old, NULL, e);
}

/* ---- those that go with their owner ------------------------------------------------------------------------------- */

static int erase_routes(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	const struct lb_actor by = { "system", "", o->now_ms };
	struct lb_route r;
	int rc = 0;

	(void)position;
	for (*n = 0; *n < limit; (*n)++) {
		rc = lb_route_find_owned(tx, o->tenant, o->id, &r, e);
		if (rc != 1)
			break;
		rc = lb_route_remove(tx, &r, &by, e);
		lb_route_fini(&r);
		if (rc != 0)
			break;
	}
	return rc < 0 ? -1 : 0;
}

/* A user's pools may be used by others of his tenant: they stay, without his name. Those of a tenant go. */
static int erase_pools(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	const struct lb_actor by = { "system", "", o->now_ms };
	struct lb_pool p;
	int rc = 0;

	(void)position;
	for (*n = 0; *n < limit; (*n)++) {
		rc = lb_pool_find_owned(tx, o->tenant, o->id, &p, e);
		if (rc != 1)
			break;
		if (o->tenant) {
			rc = lb_pool_remove(tx, &p, &by, e);
		} else {
			p.user_id[0] = '\0';
			rc = lb_pool_touch(tx, &p, "user_id", &by, e);
		}
		lb_pool_fini(&p);
		if (rc != 0)
			break;
	}
	return rc < 0 ? -1 : 0;
}

const struct erasure lb_route_erasure = { "route", "lb_routes,lb_route_pools,lb_route_hosts", erase_routes };
const struct erasure lb_pool_erasure = { "pool", "lb_pools,lb_backends", erase_pools };
