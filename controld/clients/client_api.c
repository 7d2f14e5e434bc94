#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/clients/client.h"
#include "controld/clients/client_config.h"
#include "controld/clients/client_erase.h"
#include "controld/clients/client_input.h"
#include "controld/clients/client_secret.h"
#include "controld/clients/client_seen.h"
#include "controld/clients/room.h"
#include "controld/identity/identity.h"
#include "controld/identity/user.h"

#include <inttypes.h>
#include <string.h>

#define JSON_TYPE   "application/json; charset=utf-8"
#define STATUS_ROWS 2000 /* looked at for one page when the list is filtered by what relays say */

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct write {
	struct clients *c;
	struct request *rq;
	const struct identity *who;
	const json_t *body;
	int64_t now_ms;
	bool config;                     /* the body is the config alone */
	bool rotate;                     /* a new secret is made */
	char secret[CLIENT_SECRET_SIZE]; /* to be shown once; "" if none was made */
	struct client client, before;
	struct client_live live;
};

static void write_begin(struct write *w, void *feature, struct request *rq)
{
	memset(w, 0, sizeof *w);
	w->c = feature;
	w->rq = rq;
	w->who = request_identity(rq);
	w->body = request_body(rq);
	w->now_ms = clock_wall_ms();
}

static void write_end(struct write *w)
{
	seal_wipe(w->secret, sizeof w->secret);
}

static struct client_actor actor_of(const struct write *w)
{
	return (struct client_actor){ w->who->actor, request_id(w->rq), w->now_ms };
}

static int fail_input(const struct err_list *errs, struct err *e)
{
	if (errs->n == 0)
		return 0;
	if (e != NULL)
		*e = errs->items[0];
	return -1;
}

/* The client that the path names; ids that cannot be are not found either. */
static int id_of(const struct request *rq, int64_t *id, struct err *e)
{
	const char *text = request_param(rq, "id");

	if (client_id_parse(text, id) == 0)
		return 0;
	return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", text);
}

/* Whose it shall be: the caller's, or of another user of the tenant for who manages those. */
static int take_owner(struct db *tx, struct write *w, struct err *e)
{
	const json_t *v = json_object_get(w->body, "user_id");
	const char *user_id = json_string_value(v);
	struct user u;

	if (w->config || v == NULL || str_eq(user_id != NULL ? user_id : "", w->client.user_id))
		return 0;
	if (!w->who->system_admin && w->who->role < ROLE_ADMIN)
		return err_set(e, ERR_FORBIDDEN, "user_id", "user_id: only administrators give clients to others");
	if (user_id != NULL && user_get(tx, w->client.tenant_id, user_id, &u, NULL) != 0) {
		err_set(e, ERR_VALIDATION, "user_id", "user_id: the tenant has no user '%s'", user_id);
		return err_detail(e, "unknown", user_id);
	}
	return str_copy(w->client.user_id, sizeof w->client.user_id, user_id != NULL ? user_id : "");
}

static int check_quota(struct db *tx, const struct write *w, struct err *e)
{
	const uint32_t most = clients_limits(w->c).clients_max;
	int64_t n;

	if (most == 0)
		return 0;
	if (client_count(tx, w->client.tenant_id, "", NULL, &n, e) != 0)
		return -1;
	return n < most ? 0 : err_set(e, ERR_LIMIT, NULL, "the tenant has %u clients, which is the most", most);
}

static int answer(struct write *w, struct reply *rp, int status, struct err *e)
{
	struct buf *b = reply_open(rp, status, JSON_TYPE);

	if (w->config)
		client_config_print(&w->client.conf, NULL, b);
	else if (w->secret[0] != '\0')
		client_print_with_secret(b, &w->client, &w->live, w->secret);
	else
		client_print(b, NULL, &w->client, &w->live);
	reply_etag(rp, w->client.version);
	return b->failed ? err_set(e, ERR_NOMEM, NULL, "client %" PRId64 ": out of memory", w->client.id) : 0;
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct client_actor by = actor_of(w);

	if (check_quota(tx, w, e) != 0 || take_owner(tx, w, e) != 0 || client_pick_id(tx, &w->client, e) != 0)
		return -1;
	if (client_log(tx, &w->client, "create", "", &by, e) != 0)
		return -1;
	return client_insert(tx, &w->client, e);
}

static int take_id(struct write *w, struct err *e)
{
	w->client.id = json_integer_value(json_object_get(w->body, "id"));
	if (w->client.id == 0 || w->who->system_admin)
		return 0;
	return err_set(e, ERR_FORBIDDEN, "id", "id: only a system administrator chooses the id of a client");
}

int client_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct err_list *errs = request_errors(rq);
	struct write w;
	int rc;

	write_begin(&w, feature, rq);
	client_init(&w.client, w.now_ms);
	str_copy(w.client.tenant_id, sizeof w.client.tenant_id, w.who->tenant_id);
	str_copy(w.client.user_id, sizeof w.client.user_id, w.who->user_id);
	client_apply(&w.client, w.body, w.now_ms, errs);
	rc = fail_input(errs, e);
	if (rc == 0)
		rc = take_id(&w, e);
	if (rc == 0)
		rc = client_secret_add(&w.client, w.secret, 0, w.now_ms, e);
	if (rc == 0)
		rc = store_write(w.c->store, STORE_LOGGED, work_create, &w, e);
	if (rc == 0)
		rc = answer(&w, rp, 201, e);
	write_end(&w);
	return rc;
}

static int load_for_change(struct db *tx, struct write *w, struct err *e)
{
	char etag[32];
	int64_t id;

	if (id_of(w->rq, &id, e) != 0 || client_get(tx, w->who->tenant_id, id, &w->before, e) != 0)
		return -1;
	w->client = w->before;
	str_fmt(etag, sizeof etag, "\"v%" PRId64 "\"", w->before.version);
	return request_if_match(w->rq, etag, e);
}

static int save_changes(struct db *tx, struct write *w, struct err *e)
{
	const struct client_actor by = actor_of(w);
	struct buf fields;
	int rc = 0;

	client_secret_prune(&w->client, w->now_ms);
	buf_init(&fields, 256);
	client_diff(&w->before, &w->client, &fields);
	if (fields.len > 0) { /* what is sent as it was changes nothing */
		w->client.version++;
		w->client.updated_ms = w->now_ms;
		rc = client_log(tx, &w->client, "update", buf_cstr(&fields), &by, e);
		if (rc == 0)
			rc = client_update(tx, &w->client, e);
	}
	buf_free(&fields);
	if (rc == 0)
		rc = client_seen_live(tx, w->c->conf.statuses, w->client.id, &w->live, e);
	return rc;
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	struct err_list *errs = request_errors(w->rq);

	if (load_for_change(tx, w, e) != 0)
		return -1;
	if (w->config)
		client_config_apply(&w->client.conf, w->body, "", errs);
	else
		client_apply(&w->client, w->body, w->now_ms, errs);
	if (fail_input(errs, e) != 0 || take_owner(tx, w, e) != 0)
		return -1;
	return save_changes(tx, w, e);
}

static int update(void *feature, struct request *rq, struct reply *rp, bool config, struct err *e)
{
	struct write w;

	write_begin(&w, feature, rq);
	w.config = config;
	if (store_write(w.c->store, STORE_LOGGED, work_update, &w, e) != 0)
		return -1;
	clients_changed(w.c);
	return answer(&w, rp, 200, e);
}

int client_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return update(feature, rq, rp, false, e);
}

int client_api_put_config(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return update(feature, rq, rp, true, e);
}

/* ---- secrets ------------------------------------------------------------------------------------------------------ */

static int work_rotate(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	struct err_list *errs = request_errors(w->rq);
	const int64_t overlap_ms = client_overlap_ms(w->body, errs);

	if (fail_input(errs, e) != 0 || load_for_change(tx, w, e) != 0 ||
		client_secret_add(&w->client, w->secret, overlap_ms, w->now_ms, e) != 0)
		return -1;
	return save_changes(tx, w, e);
}

int client_api_rotate(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w;
	int rc;

	write_begin(&w, feature, rq);
	rc = store_write(w.c->store, STORE_LOGGED, work_rotate, &w, e);
	if (rc == 0)
		rc = answer(&w, rp, 200, e);
	write_end(&w);
	return rc;
}

static int work_add_key(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	struct err_list *errs = request_errors(w->rq);
	struct client_new_key k;

	client_key_apply(&k, w->body, w->now_ms, errs);
	if (fail_input(errs, e) != 0 || load_for_change(tx, w, e) != 0 ||
		client_key_add(&w->client, &k, w->now_ms, e) != 0)
		return -1;
	return save_changes(tx, w, e);
}

int client_api_add_key(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w;

	write_begin(&w, feature, rq);
	if (store_write(w.c->store, STORE_LOGGED, work_add_key, &w, e) != 0)
		return -1;
	return answer(&w, rp, 200, e);
}

static int work_drop_secret(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const char *id = request_param(w->rq, "secret_id");

	if (load_for_change(tx, w, e) != 0)
		return -1;
	if (client_secret_remove(&w->client, id) != 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "the client has no secret '%s'", id);
	return save_changes(tx, w, e);
}

int client_api_drop_secret(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w;

	write_begin(&w, feature, rq);
	if (store_write(w.c->store, STORE_LOGGED, work_drop_secret, &w, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct client_actor by = actor_of(w);

	if (load_for_change(tx, w, e) != 0)
		return -1;
	return client_erase_begin(tx, &w->client, &by, e);
}

int client_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w;

	write_begin(&w, feature, rq);
	if (store_write(w.c->store, STORE_LOGGED, work_delete, &w, e) != 0)
		return -1;
	clients_changed(w.c);
	reply_empty(rp, 204);
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static int read_one(
	struct clients *c, const struct request *rq, const char *tenant_id, struct write *out, struct err *e)
{
	struct db *db;
	int64_t id;
	int rc;

	if (id_of(rq, &id, e) != 0 || store_read_begin(c->store, &db, e) != 0)
		return -1;
	rc = client_get(db, tenant_id, id, &out->client, e);
	if (rc == 0)
		rc = client_seen_live(db, c->conf.statuses, id, &out->live, e);
	store_read_end(db);
	return rc;
}

static int get(
	struct clients *c, struct request *rq, struct reply *rp, const char *tenant_id, bool config, struct err *e)
{
	struct write w;

	write_begin(&w, c, rq);
	w.config = config;
	if (read_one(c, rq, tenant_id, &w, e) != 0)
		return -1;
	client_secret_prune(&w.client, w.now_ms);
	return answer(&w, rp, 200, e);
}

int client_api_get_of(struct clients *c, struct request *rq, struct reply *rp, const char *tenant_id, struct err *e)
{
	return get(c, rq, rp, tenant_id, false, e);
}

int client_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return get(feature, rq, rp, request_identity(rq)->tenant_id, false, e);
}

int client_api_get_config(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return get(feature, rq, rp, request_identity(rq)->tenant_id, true, e);
}

struct page_of_clients {
	struct clients *c;
	struct db *db;
	const char *tenant_id;
	const char *status; /* wanted; NULL: any */
	int64_t now_ms;
	unsigned room; /* items that still fit */
	unsigned rows; /* looked at */
	char last[PROTO_ID_SIZE];
	bool more;
	struct buf *items; /* the answer's body */
	struct client_live live;
	struct err *e;
	int rc;
};

static int add_to_page(const struct client *found, void *arg)
{
	struct page_of_clients *p = arg;
	struct client c = *found;

	if (p->room == 0) {
		p->more = true;
		return 1;
	}
	p->rows++;
	client_id_print(p->last, c.id);
	if (p->status != NULL && !str_eq(p->status, client_status_name(client_statuses_of(p->c->conf.statuses, c.id))))
		return 0;
	p->rc = client_seen_live(p->db, p->c->conf.statuses, c.id, &p->live, p->e);
	if (p->rc != 0)
		return 1;
	client_secret_prune(&c, p->now_ms);
	client_print(p->items, NULL, &c, &p->live);
	p->room--;
	return 0;
}

static const char *query_or_none(const struct request *rq, const char *name)
{
	const char *s = request_query(rq, name);

	return s != NULL ? s : "";
}

static int read_page(struct page_of_clients *p, struct request *rq, const struct page *page, struct err *e)
{
	struct client_filter f = { .tenant_id = p->tenant_id,
		.user_id = query_or_none(rq, "user_id"),
		.type = query_or_none(rq, "type"),
		.search = query_or_none(rq, "q"),
		.limit = p->status != NULL ? STATUS_ROWS : page->limit + 1 };
	int rc;

	if (page->after[0] != '\0' && client_id_parse(page->after, &f.after) != 0)
		return err_set(e, ERR_VALIDATION, "cursor", "cursor: '%s' is not one of ours", page->after);
	if (store_read_begin(p->c->store, &p->db, e) != 0)
		return -1;
	rc = client_list(p->db, &f, add_to_page, p, e);
	store_read_end(p->db);
	p->more |= p->rows == f.limit;
	return rc != 0 ? rc : p->rc;
}

int client_api_list_of(struct clients *c, struct request *rq, struct reply *rp, const char *tenant_id, struct err *e)
{
	struct page_of_clients p = {
		.c = c, .tenant_id = tenant_id, .status = request_query(rq, "status"), .now_ms = clock_wall_ms(), .e = e
	};
	struct page page;
	int rc;

	if (request_page(rq, &page, e) != 0)
		return -1;
	p.room = page.limit;
	p.items = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(p.items, NULL);
	jsonw_array(p.items, "items");
	rc = read_page(&p, rq, &page, e);
	jsonw_end_array(p.items);
	jsonw_str(p.items, "next_cursor", p.more ? p.last : NULL);
	jsonw_end_object(p.items);
	return rc;
}

int client_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return client_api_list_of(feature, rq, rp, request_identity(rq)->tenant_id, e);
}
