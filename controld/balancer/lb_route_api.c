#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/balancer/lb_route_change.h"
#include "controld/balancer/lb_route_claim.h"
#include "controld/balancer/lb_route_input.h"
#include "controld/balancer/room.h"
#include "controld/balancer/settle.h"

/* ---- answering ---------------------------------------------------------------------------------------------------- */

static void place_of(const struct lb_route *r, struct settle *s)
{
	(void)str_copy(s->object, sizeof s->object, r->id);
	(void)str_copy(s->places[0].group_id, PROTO_ID_SIZE, r->group_id);
	(void)str_copy(s->places[0].node_id, PROTO_ID_SIZE, r->node_id);
	s->seq = r->seq;
	s->n_places = r->active && r->owner_active ? 1 : 0;
}

static void print_route(struct balancer *b, struct buf *out, const struct lb_route *r)
{
	struct settle place = { .n_places = 0 };
	json_t *error = NULL;
	const char *status = "inactive";

	place_of(r, &place);
	if (place.n_places > 0)
		status = settle_status(b, &place, &error);
	lb_route_print(out, r, status, error);
	json_decref(error);
}

static int reply_route(
	struct balancer *b, const char *tenant_id, const char *id, int status, struct reply *rp, struct err *e)
{
	struct buf *out = reply_open(rp, status, LB_JSON_TYPE);
	struct lb_route r;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = lb_route_get(db, tenant_id, id, &r, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	print_route(b, out, &r);
	reply_etag(rp, r.version);
	lb_route_fini(&r);
	return lb_check_size(out, e);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct write {
	struct balancer *b;
	struct request *rq;
	const struct identity *who;
	int64_t now_ms;
	struct err_list *errs;
	size_t known; /* of errs, before the transaction, which may run again */
	struct lb_route route, before;
};

static struct write write_begin(void *feature, struct request *rq)
{
	struct err_list *errs = request_errors(rq);

	return (struct write){ .b = feature,
		.rq = rq,
		.who = request_identity(rq),
		.now_ms = clock_wall_ms(),
		.errs = errs,
		.known = errs->n };
}

static void write_end(struct write *w)
{
	lb_route_fini(&w->route);
	lb_route_fini(&w->before);
}

static int reply_write(struct write *w, struct reply *rp, int status, struct err *e)
{
	struct settle s = { .status = status, .print = reply_route };

	place_of(&w->route, &s);
	(void)str_copy(s.tenant_id, sizeof s.tenant_id, w->route.tenant_id);
	(void)str_copy(s.id, sizeof s.id, w->route.id);
	return settle_reply(w->b, rp, &s, e);
}

static int place(struct db *tx, struct write *w, struct err *e)
{
	const struct relays *r = &w->b->relays;

	if (err_list_has(w->errs, "group") || err_list_has(w->errs, "node"))
		return 0;
	return r->ops->place(
		r->self, tx, w->route.group_name, w->route.node_name, w->route.group_id, w->route.node_id, e);
}

/* What names the requests that are a route's alone. */
static const char *const claimed_by[] = { "host", "aliases", "path_prefix", "methods", "headers", "ssl_enabled",
	"https_only", "group", "node" };

static int claim(struct db *tx, struct write *w, const struct lb_route *before, struct err *e)
{
	const struct relays *r = &w->b->relays;
	char domain[HOST_NAME_SIZE];
	const struct lb_claimant c = { w->who, (enum host_names_by)w->b->conf.host_names_by, domain };

	for (size_t i = 0; i < ARRAY_LEN(claimed_by); i++)
		if (err_list_has(w->errs, claimed_by[i]))
			return 0; /* then it is not known what it would claim */
	if (r->ops->domain(r->self, tx, w->route.group_id, domain, e) != 0)
		return -1;
	return lb_route_claim(tx, &c, &w->route, before, e);
}

static int check_room(struct db *tx, const struct write *w, struct err *e)
{
	const uint32_t most = w->b->conf.routes_max;
	int64_t n;

	if (most == 0)
		return 0;
	if (lb_route_count(tx, w->who->tenant_id, &n, e) != 0)
		return -1;
	return n < most ? 0 : err_set(e, ERR_LIMIT, NULL, "the tenant has %u routes, which is the most", most);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);

	w->errs->n = w->known;
	rand_id(w->route.id, "rte");
	if (check_room(tx, w, e) != 0 || lb_gather(place(tx, w, e), w->errs, e) != 0 ||
		lb_route_check_pools(tx, &w->route, w->errs, e) != 0 ||
		lb_gather(claim(tx, w, NULL, e), w->errs, e) != 0 || lb_fail_input(w->errs, e) != 0)
		return -1;
	return lb_route_came(tx, &w->route, &by, e);
}

int lb_route_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc;

	if (lb_route_init(&w.route) != 0)
		return err_set(e, ERR_NOMEM, NULL, "route: out of memory");
	(void)str_copy(w.route.tenant_id, sizeof w.route.tenant_id, w.who->tenant_id);
	(void)str_copy(w.route.user_id, sizeof w.route.user_id, w.who->user_id);
	w.route.created_ms = w.route.updated_ms = w.now_ms;
	lb_route_apply(&w.route, request_body(rq), w.errs);
	w.known = w.errs->n;
	rc = store_write(w.b->store, STORE_LOGGED, work_create, &w, e);
	if (rc == 0)
		rc = reply_write(&w, rp, 201, e);
	write_end(&w);
	return rc;
}

static int load_for_change(struct db *tx, struct write *w, struct lb_route *r, struct err *e)
{
	lb_route_fini(r); /* of a run before */
	if (lb_route_get(tx, w->who->tenant_id, request_param(w->rq, "id"), r, e) != 0)
		return -1;
	return lb_match(w->rq, r->version, e);
}

static int save_changes(struct db *tx, struct write *w, struct err *e)
{
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);
	struct buf fields;
	int rc = 0;

	buf_init(&fields, 1024);
	lb_route_diff(&w->before, &w->route, &fields);
	if (fields.len > 0) { /* what is sent as it was changes nothing */
		w->route.version++;
		w->route.updated_ms = w->now_ms;
		rc = lb_gather(claim(tx, w, &w->before, e), w->errs, e);
	}
	if (rc == 0)
		rc = lb_fail_input(w->errs, e);
	if (rc == 0 && fields.len > 0)
		rc = lb_route_changed(tx, &w->before, &w->route, buf_cstr(&fields) + 1, &by, e);
	buf_free(&fields);
	return rc;
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	struct lb_route *r = &w->route;

	w->errs->n = w->known;
	if (load_for_change(tx, w, &w->before, e) != 0 || load_for_change(tx, w, r, e) != 0)
		return -1;
	lb_route_apply(r, request_body(w->rq), w->errs);
	if (!str_eq(r->group_name, w->before.group_name) || !str_eq(r->node_name, w->before.node_name))
		if (lb_gather(place(tx, w, e), w->errs, e) != 0)
			return -1;
	if (lb_route_check_pools(tx, r, w->errs, e) != 0)
		return -1;
	return save_changes(tx, w, e);
}

int lb_route_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.b->store, STORE_LOGGED, work_update, &w, e);

	if (rc == 0)
		rc = reply_write(&w, rp, 200, e);
	write_end(&w);
	return rc;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);

	if (load_for_change(tx, w, &w->route, e) != 0)
		return -1;
	return lb_route_remove(tx, &w->route, &by, e);
}

int lb_route_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.b->store, STORE_LOGGED, work_delete, &w, e);

	if (rc == 0)
		reply_empty(rp, 204);
	write_end(&w);
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

int lb_route_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return reply_route(feature, request_identity(rq)->tenant_id, request_param(rq, "id"), 200, rp, e);
}

struct page_of_routes {
	struct balancer *b;
	struct buf *out;
	unsigned room;
	char last[PROTO_ID_SIZE];
	bool more;
};

static int on_route(const struct lb_route *r, void *arg)
{
	struct page_of_routes *p = arg;

	if (p->room == 0) {
		p->more = true;
		return 1;
	}
	p->room--;
	(void)str_copy(p->last, sizeof p->last, r->id);
	print_route(p->b, p->out, r);
	return 0;
}

int lb_route_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct page_of_routes p = { .b = feature };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0)
		return -1;
	const struct lb_route_filter f = { request_identity(rq)->tenant_id, lb_query(rq, "host"), lb_query(rq, "pool"),
		lb_query(rq, "group"), "", page.after, page.limit + 1 };

	if (store_read_begin(p.b->store, &db, e) != 0)
		return -1;
	p.room = page.limit;
	p.out = reply_open(rp, 200, LB_JSON_TYPE);
	jsonw_object(p.out, NULL);
	jsonw_array(p.out, "routes");
	rc = lb_route_list(db, &f, on_route, &p, e);
	store_read_end(db);
	jsonw_end_array(p.out);
	jsonw_str(p.out, "next_cursor", p.more ? p.last : NULL);
	jsonw_end_object(p.out);
	return rc != 0 ? -1 : lb_check_size(p.out, e);
}
