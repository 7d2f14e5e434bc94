#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/balancer/room.h"
#include "controld/balancer/settle.h"
#include "controld/clients/client.h"
#include "controld/tunnels/mapping_dial.h"

#include <inttypes.h>

static int reply_backend(
	struct balancer *b, const char *tenant_id, const char *id, int status, struct reply *rp, struct err *e)
{
	struct buf *out = reply_open(rp, status, LB_JSON_TYPE);
	struct lb_backend one;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = lb_backend_get(db, tenant_id, id, &one, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	lb_backend_print(out, &one, lb_health_name(b, &one));
	reply_etag(rp, one.version);
	lb_backend_fini(&one);
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
	struct lb_backend one, before;
	struct lb_pool pool; /* of `one` */
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
	lb_backend_fini(&w->one);
	lb_backend_fini(&w->before);
	lb_pool_fini(&w->pool);
}

/* Of one that is no more: relays that still know it would send requests there. */
static int reply_gone(
	struct balancer *b, const char *tenant_id, const char *id, int status, struct reply *rp, struct err *e)
{
	(void)b;
	(void)tenant_id;
	(void)id;
	(void)e;
	reply_empty(rp, status);
	return 0;
}

static int reply_write(struct write *w, struct reply *rp, int status, struct err *e)
{
	(void)str_copy(w->settle.tenant_id, sizeof w->settle.tenant_id, w->one.tenant_id);
	(void)str_copy(w->settle.id, sizeof w->settle.id, w->one.id);
	w->settle.status = status;
	w->settle.print = status == 204 ? reply_gone : reply_backend;
	return settle_reply(w->b, rp, &w->settle, e);
}

/* The pool that its body names. */
static int find_pool(struct db *tx, struct write *w, struct err *e)
{
	struct lb_backend *one = &w->one;

	lb_pool_fini(&w->pool);
	if (err_list_has(w->errs, "pool"))
		return 0;
	if (lb_pool_get(tx, one->tenant_id, one->pool_name, &w->pool, e) != 0) {
		if (e != NULL && e->code == ERR_POOL_NOT_FOUND) {
			err_set(e, ERR_POOL_NOT_FOUND, "pool", "pool: there is no pool '%s'", one->pool_name);
			err_detail(e, "unknown", one->pool_name);
		}
		return -1;
	}
	(void)str_copy(one->pool_id, sizeof one->pool_id, w->pool.id);
	(void)str_copy(one->pool_name, sizeof one->pool_name, w->pool.name);
	lb_health_fit(one->settings, w->pool.settings, w->errs);
	return 0;
}

/* There may be too many of its pool already. */
static int check_room(struct db *tx, const struct write *w, struct err *e)
{
	int64_t n;

	if (err_list_has(w->errs, "pool"))
		return 0;
	if (lb_backend_count(tx, w->pool.id, &n, e) != 0)
		return -1;
	if (n >= LB_POOL_BACKENDS_MAX)
		return err_set(e, ERR_LIMIT, "pool", "pool: '%s' has %d backends, which is the most", w->pool.name,
			LB_POOL_BACKENDS_MAX);
	return 0;
}

static int check_client(struct db *tx, const struct lb_backend *one, struct err *e)
{
	char value[24];
	bool exists;

	if (client_exists(tx, one->tenant_id, one->client_id, &exists, e) != 0)
		return -1;
	if (exists)
		return 0;
	(void)str_fmt(value, sizeof value, "%" PRId64, one->client_id);
	err_set(e, ERR_VALIDATION, "client_id", "client_id: there is no client %s", value);
	return err_detail(e, "unknown", value);
}

/* May it be dialled by who shall dial? */
static int check_dial(struct db *tx, struct write *w, struct err *e)
{
	struct lb_backend *one = &w->one;
	struct mapping_conf asked = { .dial_any = one->dial_any };

	if (err_list_has(w->errs, "client_id"))
		return 0; /* then it is not known who dials */
	if (one->client_id != 0) {
		one->dial_any = false; /* the agent has a list of its own */
		return check_client(tx, one, e);
	}
	if (err_list_has(w->errs, "address"))
		return 0;
	(void)str_copy(asked.target_host, sizeof asked.target_host, one->host);
	if (mapping_dial_check(tx, one->tenant_id, &asked, e) == 0)
		return 0;
	if (e != NULL && e->code == ERR_DENIED_TARGET) {
		err_set(e, ERR_DENIED_TARGET, "address",
			"address: %s may not be dialled; an administrator can grant its range to the tenant "
			"(dial_allow)",
			one->host);
		err_detail(e, "granted", one->host);
	}
	return -1;
}

static int fail_there_already(const struct write *w, struct err *e)
{
	char address[LB_BACKEND_ADDRESS_SIZE];

	lb_backend_address(&w->one, address);
	err_set(e, ERR_ALREADY_EXISTS, "address", "address: pool '%s' has a backend %s already", w->pool.name, address);
	return err_detail(e, "unique", address);
}

struct same {
	const struct lb_backend *as;
	bool found;
};

static int on_same(const struct lb_backend *other, void *arg)
{
	struct same *s = arg;

	s->found = !str_eq(other->id, s->as->id) && str_eq(other->host, s->as->host) && other->port == s->as->port &&
	           other->client_id == s->as->client_id;
	return s->found;
}

static int check_unique(struct db *tx, const struct write *w, struct err *e)
{
	const struct lb_backend_filter f = { w->one.tenant_id, w->one.pool_id, "", "", LB_POOL_BACKENDS_MAX };
	struct same s = { .as = &w->one };

	if (err_list_has(w->errs, "pool") || err_list_has(w->errs, "address"))
		return 0;
	if (lb_backend_list(tx, &f, on_same, &s, e) != 0)
		return -1;
	return s.found ? fail_there_already(w, e) : 0;
}

/* The pool is what relays run: it has a new version. */
static int tell_pool(struct db *tx, struct write *w, struct err *e)
{
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);

	if (lb_pool_touch(tx, &w->pool, "backends", &by, e) != 0)
		return -1;
	return settle_pool_places(w->b, tx, &w->pool, &w->settle, e);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);

	w->errs->n = w->known;
	if (lb_gather(find_pool(tx, w, e), w->errs, e) != 0 || lb_gather(check_room(tx, w, e), w->errs, e) != 0 ||
		lb_gather(check_unique(tx, w, e), w->errs, e) != 0 ||
		lb_gather(check_dial(tx, w, e), w->errs, e) != 0 || lb_fail_input(w->errs, e) != 0)
		return -1;
	rand_id(w->one.id, "bck");
	if (lb_backend_log(tx, &w->one, "create", "", &by, e) != 0 || lb_backend_insert(tx, &w->one, e) != 0)
		return -1;
	return tell_pool(tx, w, e);
}

int lb_backend_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc;

	if (lb_backend_init(&w.one) != 0)
		return err_set(e, ERR_NOMEM, NULL, "backend: out of memory");
	(void)str_copy(w.one.tenant_id, sizeof w.one.tenant_id, w.who->tenant_id);
	w.one.created_ms = w.one.updated_ms = w.now_ms;
	w.one.dial_any = w.who->system_admin;
	lb_backend_apply(&w.one, request_body(rq), w.errs);
	w.known = w.errs->n;
	rc = store_write(w.b->store, STORE_LOGGED, work_create, &w, e);
	if (rc == 0)
		rc = reply_write(&w, rp, 201, e);
	write_end(&w);
	return rc;
}

static int load_for_change(struct db *tx, struct write *w, struct lb_backend *one, struct err *e)
{
	lb_backend_fini(one); /* of a run before */
	if (lb_backend_get(tx, w->who->tenant_id, request_param(w->rq, "id"), one, e) != 0)
		return -1;
	return lb_match(w->rq, one->version, e);
}

/* Another address, another agent: another right to dial, which belongs to who wrote it. */
static int follow_address(struct db *tx, struct write *w, struct err *e)
{
	struct lb_backend *one = &w->one;
	const struct lb_backend *old = &w->before;
	const bool moved = !str_eq(one->host, old->host) || one->port != old->port || one->client_id != old->client_id;

	if (moved) {
		one->dial_any = w->who->system_admin;
		if (lb_gather(check_dial(tx, w, e), w->errs, e) != 0)
			return -1;
	}
	if (!moved && str_eq(one->pool_id, old->pool_id))
		return 0;
	return lb_gather(check_unique(tx, w, e), w->errs, e);
}

/* The pool that it has left. */
static int follow_pool(struct db *tx, struct write *w, struct err *e)
{
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);
	struct lb_pool old;
	int rc;

	if (str_eq(w->one.pool_id, w->before.pool_id))
		return 0;
	if (check_room(tx, w, e) != 0 || lb_pool_get(tx, w->one.tenant_id, w->before.pool_name, &old, e) != 0)
		return -1;
	rc = lb_pool_touch(tx, &old, "backends", &by, e);
	lb_pool_fini(&old);
	return rc;
}

static int save_changes(struct db *tx, struct write *w, struct err *e)
{
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);
	struct buf fields;
	int rc = 0;

	buf_init(&fields, 1024);
	lb_backend_diff(&w->before, &w->one, &fields);
	if (fields.len == 0) { /* what is sent as it was changes nothing */
		buf_free(&fields);
		return settle_pool_places(w->b, tx, &w->pool, &w->settle, e);
	}
	w->one.version++;
	w->one.updated_ms = w->now_ms;
	rc = follow_pool(tx, w, e);
	if (rc == 0)
		rc = lb_backend_log(tx, &w->one, "update", buf_cstr(&fields) + 1, &by, e);
	buf_free(&fields);
	if (rc != 0 || lb_backend_update(tx, &w->one, e) != 0)
		return -1;
	return tell_pool(tx, w, e);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;

	w->errs->n = w->known;
	if (load_for_change(tx, w, &w->before, e) != 0 || load_for_change(tx, w, &w->one, e) != 0)
		return -1;
	lb_backend_apply(&w->one, request_body(w->rq), w->errs);
	if (lb_gather(find_pool(tx, w, e), w->errs, e) != 0 || follow_address(tx, w, e) != 0 ||
		lb_fail_input(w->errs, e) != 0)
		return -1;
	return save_changes(tx, w, e);
}

int lb_backend_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
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

	if (load_for_change(tx, w, &w->one, e) != 0 || find_pool(tx, w, e) != 0)
		return -1;
	if (lb_backend_log(tx, &w->one, "delete", "", &by, e) != 0 || lb_backend_delete(tx, w->one.id, e) != 0)
		return -1;
	return tell_pool(tx, w, e);
}

int lb_backend_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.b->store, STORE_LOGGED, work_delete, &w, e);

	if (rc == 0)
		rc = reply_write(&w, rp, 204, e);
	write_end(&w);
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

int lb_backend_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return reply_backend(feature, request_identity(rq)->tenant_id, request_param(rq, "id"), 200, rp, e);
}

struct page_of_backends {
	struct balancer *b;
	struct buf *out;
	unsigned room;
	char last[PROTO_ID_SIZE];
	bool more;
};

static int on_backend(const struct lb_backend *one, void *arg)
{
	struct page_of_backends *p = arg;

	if (p->room == 0) {
		p->more = true;
		return 1;
	}
	p->room--;
	(void)str_copy(p->last, sizeof p->last, one->id);
	lb_backend_print(p->out, one, lb_health_name(p->b, one));
	return 0;
}

static int read_page(struct page_of_backends *p, struct request *rq, const struct page *page, struct err *e)
{
	const char *tenant_id = request_identity(rq)->tenant_id, *pool = lb_query(rq, "pool");
	struct lb_backend_filter f = { tenant_id, "", lb_query(rq, "region"), page->after, page->limit + 1 };
	struct lb_pool found = { .settings = NULL };
	struct db *db;
	int rc = 0;

	if (store_read_begin(p->b->store, &db, e) != 0)
		return -1;
	if (pool[0] != '\0') {
		rc = lb_pool_get(db, tenant_id, pool, &found, e);
		f.pool_id = found.id;
	}
	if (rc == 0)
		rc = lb_backend_list(db, &f, on_backend, p, e);
	store_read_end(db);
	lb_pool_fini(&found);
	return rc;
}

int lb_backend_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct page_of_backends p = { .b = feature };
	struct page page;
	int rc;

	if (request_page(rq, &page, e) != 0)
		return -1;
	p.room = page.limit;
	p.out = reply_open(rp, 200, LB_JSON_TYPE);
	jsonw_object(p.out, NULL);
	jsonw_array(p.out, "backends");
	rc = read_page(&p, rq, &page, e);
	jsonw_end_array(p.out);
	jsonw_str(p.out, "next_cursor", p.more ? p.last : NULL);
	jsonw_end_object(p.out);
	return rc != 0 ? -1 : lb_check_size(p.out, e);
}
