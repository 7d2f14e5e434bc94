#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/balancer/room.h"
#include "controld/balancer/settle.h"

#include <stdlib.h>
#include <string.h>

/* ---- answering ---------------------------------------------------------------------------------------------------- */

struct printing {
	struct balancer *b;
	struct db *db;
	struct buf *out;
	unsigned room; /* pools that still fit */
	char last[PROTO_ID_SIZE];
	bool more;
	struct err *e;
	int rc;
};

static int on_backend(const struct lb_backend *one, void *arg)
{
	const struct printing *p = arg;

	lb_backend_print(p->out, one, lb_health_name(p->b, one));
	return 0;
}

static void print_error(struct buf *out, json_t *error)
{
	char *text = error != NULL ? json_dumps(error, JSON_COMPACT) : NULL;

	if (text != NULL)
		jsonw_raw(out, "error", text, strlen(text));
	else
		jsonw_null(out, "error");
	free(text);
	json_decref(error);
}

/* The object of the API: the row, what relays say, its backends. */
static int print_pool(struct printing *p, const struct lb_pool *pool)
{
	const struct lb_backend_filter f = { pool->tenant_id, pool->id, "", "", LB_POOL_BACKENDS_MAX };
	struct settle places = { .n_places = 0 };
	json_t *error;
	const char *status;

	if (settle_pool_places(p->b, p->db, pool, &places, p->e) != 0)
		return -1;
	status = settle_status(p->b, &places, &error);
	jsonw_object(p->out, NULL);
	lb_pool_print(p->out, pool);
	jsonw_str(p->out, "status", status);
	print_error(p->out, error);
	jsonw_array(p->out, "backends");
	if (lb_backend_list(p->db, &f, on_backend, p, p->e) != 0)
		return -1;
	jsonw_end_array(p->out);
	jsonw_end_object(p->out);
	return 0;
}

static int reply_pool(
	struct balancer *b, const char *tenant_id, const char *name, int status, struct reply *rp, struct err *e)
{
	struct printing p = { .b = b, .out = reply_open(rp, status, LB_JSON_TYPE), .e = e };
	struct lb_pool pool;
	int rc;

	if (store_read_begin(b->store, &p.db, e) != 0)
		return -1;
	rc = lb_pool_get(p.db, tenant_id, name, &pool, e);
	if (rc == 0) {
		rc = print_pool(&p, &pool);
		reply_etag(rp, pool.version);
		lb_pool_fini(&pool);
	}
	store_read_end(p.db);
	return rc != 0 ? -1 : lb_check_size(p.out, e);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct write {
	struct balancer *b;
	struct request *rq;
	const struct identity *who;
	int64_t now_ms;
	struct err_list *errs;
	size_t known; /* of errs, before the transaction, which may run again */
	struct lb_pool pool, before;
	struct settle settle;
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
	lb_pool_fini(&w->pool);
	lb_pool_fini(&w->before);
}

static int reply_write(struct write *w, struct reply *rp, int status, struct err *e)
{
	(void)str_copy(w->settle.tenant_id, sizeof w->settle.tenant_id, w->pool.tenant_id);
	(void)str_copy(w->settle.id, sizeof w->settle.id, w->pool.id);
	w->settle.status = status;
	w->settle.print = reply_pool;
	return settle_reply(w->b, rp, &w->settle, e);
}

static int check_room(struct db *tx, const struct write *w, struct err *e)
{
	const uint32_t most = w->b->conf.pools_max;
	int64_t n;

	if (most == 0)
		return 0;
	if (lb_pool_count(tx, w->who->tenant_id, &n, e) != 0)
		return -1;
	return n < most ? 0 : err_set(e, ERR_LIMIT, NULL, "the tenant has %u pools, which is the most", most);
}

static int check_unique(struct db *tx, const struct lb_pool *p, struct err *e)
{
	struct lb_pool there;

	if (lb_pool_get(tx, p->tenant_id, p->name, &there, NULL) != 0)
		return 0;
	lb_pool_fini(&there);
	err_set(e, ERR_POOL_EXISTS, "name", "name: there is a pool '%s' already", p->name);
	return err_detail(e, "unique", p->name);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);
	struct lb_pool *p = &w->pool;

	w->errs->n = w->known;
	if (check_room(tx, w, e) != 0 || lb_gather(check_unique(tx, p, e), w->errs, e) != 0 ||
		lb_fail_input(w->errs, e) != 0)
		return -1;
	rand_id(p->id, "pol");
	if (lb_pool_log(tx, p, "create", "", &by, e) != 0 || lb_pool_insert(tx, p, e) != 0)
		return -1;
	return settle_pool_places(w->b, tx, p, &w->settle, e);
}

int lb_pool_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc;

	if (lb_pool_init(&w.pool) != 0)
		return err_set(e, ERR_NOMEM, NULL, "pool: out of memory");
	(void)str_copy(w.pool.tenant_id, sizeof w.pool.tenant_id, w.who->tenant_id);
	(void)str_copy(w.pool.user_id, sizeof w.pool.user_id, w.who->user_id);
	w.pool.created_ms = w.pool.updated_ms = w.now_ms;
	lb_pool_apply(&w.pool, request_body(rq), w.errs);
	w.known = w.errs->n;
	rc = store_write(w.b->store, STORE_LOGGED, work_create, &w, e);
	if (rc == 0)
		rc = reply_write(&w, rp, 201, e);
	write_end(&w);
	return rc;
}

static int load_for_change(struct db *tx, struct write *w, struct lb_pool *p, struct err *e)
{
	lb_pool_fini(p); /* of a run before */
	if (lb_pool_get(tx, w->who->tenant_id, request_param(w->rq, "name"), p, e) != 0)
		return -1;
	return lb_match(w->rq, p->version, e);
}

static int save_changes(struct db *tx, struct write *w, struct err *e)
{
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);
	struct buf fields;
	int rc = 0;

	buf_init(&fields, 1024);
	lb_pool_diff(&w->before, &w->pool, &fields);
	if (fields.len > 0) /* what is sent as it was changes nothing */
		rc = lb_pool_touch(tx, &w->pool, buf_cstr(&fields) + 1, &by, e);
	buf_free(&fields);
	return rc;
}

static int on_checked(const struct lb_backend *one, void *arg)
{
	const struct write *w = arg;
	const size_t before = w->errs->n;

	lb_health_fit_backend(one->id, one->settings, w->pool.settings, w->errs);
	return w->errs->n > before; /* one of them says it */
}

/* Those that say one half of their health check themselves have the other one from the pool. */
static int check_backends(struct db *tx, struct write *w, struct err *e)
{
	const struct lb_backend_filter f = { w->pool.tenant_id, w->pool.id, "", "", LB_POOL_BACKENDS_MAX };

	if (json_object_get(request_body(w->rq), "health_check") == NULL)
		return 0;
	return lb_backend_list(tx, &f, on_checked, w, e);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;

	w->errs->n = w->known;
	if (load_for_change(tx, w, &w->before, e) != 0 || load_for_change(tx, w, &w->pool, e) != 0)
		return -1;
	lb_pool_apply(&w->pool, request_body(w->rq), w->errs);
	if (check_backends(tx, w, e) != 0)
		return -1;
	if (lb_fail_input(w->errs, e) != 0 || save_changes(tx, w, e) != 0)
		return -1;
	return settle_pool_places(w->b, tx, &w->pool, &w->settle, e);
}

int lb_pool_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.b->store, STORE_LOGGED, work_update, &w, e);

	if (rc == 0)
		rc = reply_write(&w, rp, 200, e);
	write_end(&w);
	return rc;
}

/* ---- deleting ------------------------------------------------------------------------------------------------------ */

#define USERS_NAMED 5

struct users {
	char names[USERS_NAMED * (PROTO_ID_SIZE + 2)];
	unsigned n;
};

static int on_user(const char *route_id, void *arg)
{
	struct users *u = arg;
	const size_t at = strlen(u->names);

	if (u->n < USERS_NAMED)
		(void)str_fmt(u->names + at, sizeof u->names - at, "%s%s", u->n > 0 ? ", " : "", route_id);
	u->n++;
	return 0;
}

static int check_unused(struct db *tx, const struct lb_pool *p, struct err *e)
{
	struct users u = { .n = 0 };

	if (lb_route_ids_of(tx, "pool", p->id, on_user, &u, e) != 0)
		return -1;
	if (u.n == 0)
		return 0;
	if (u.n > USERS_NAMED)
		err_set(e, ERR_CONFLICT, "name", "pool '%s' is used by %u routes: %s and %u more", p->name, u.n,
			u.names, u.n - USERS_NAMED);
	else
		err_set(e, ERR_CONFLICT, "name", "pool '%s' is used by route%s %s", p->name, u.n > 1 ? "s" : "",
			u.names);
	return err_detail(e, "in_use", p->name);
}

/* Backends go with their pool, each with its own row in the log. */
static int on_orphan(const struct lb_backend *one, void *arg)
{
	char(*id)[PROTO_ID_SIZE] = arg;

	return str_copy(*id, sizeof *id, one->id) == 0;
}

int lb_pool_remove(struct db *tx, struct lb_pool *p, const struct lb_actor *by, struct err *e)
{
	const struct lb_backend_filter f = { p->tenant_id, p->id, "", "", 1 };
	struct lb_backend one;

	for (;;) {
		char id[PROTO_ID_SIZE] = "";

		if (lb_backend_list(tx, &f, on_orphan, &id, e) != 0)
			return -1;
		if (id[0] == '\0')
			break;
		if (lb_backend_get(tx, p->tenant_id, id, &one, e) != 0)
			return -1;
		const int rc = lb_backend_log(tx, &one, "delete", "", by, e);

		lb_backend_fini(&one);
		if (rc != 0 || lb_backend_delete(tx, id, e) != 0)
			return -1;
	}
	return lb_pool_log(tx, p, "delete", "", by, e) != 0 ? -1 : lb_pool_delete(tx, p->id, e);
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);

	if (load_for_change(tx, w, &w->pool, e) != 0 || check_unused(tx, &w->pool, e) != 0)
		return -1;
	return lb_pool_remove(tx, &w->pool, &by, e);
}

int lb_pool_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.b->store, STORE_LOGGED, work_delete, &w, e);

	if (rc == 0)
		reply_empty(rp, 204);
	write_end(&w);
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

int lb_pool_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return reply_pool(feature, request_identity(rq)->tenant_id, request_param(rq, "name"), 200, rp, e);
}

static int on_pool(const struct lb_pool *pool, void *arg)
{
	struct printing *p = arg;

	if (p->room == 0) {
		p->more = true;
		return 1;
	}
	p->room--;
	(void)str_copy(p->last, sizeof p->last, pool->id);
	p->rc = print_pool(p, pool);
	return p->rc != 0;
}

int lb_pool_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	struct page page;
	int rc;

	if (request_page(rq, &page, e) != 0)
		return -1;
	const struct lb_pool_filter f = { request_identity(rq)->tenant_id, "", lb_query(rq, "algorithm"),
		lb_query(rq, "q"), page.after, page.limit + 1 };
	struct printing p = { .b = b, .out = reply_open(rp, 200, LB_JSON_TYPE), .room = page.limit, .e = e };

	if (store_read_begin(b->store, &p.db, e) != 0)
		return -1;
	jsonw_object(p.out, NULL);
	jsonw_array(p.out, "pools");
	rc = lb_pool_list(p.db, &f, on_pool, &p, e);
	store_read_end(p.db);
	jsonw_end_array(p.out);
	jsonw_str(p.out, "next_cursor", p.more ? p.last : NULL);
	jsonw_end_object(p.out);
	return rc != 0 || p.rc != 0 ? -1 : lb_check_size(p.out, e);
}
