#include "controld/clients/client.h"

#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/clients/client_config.h"
#include "controld/clients/client_secret.h"
#include "controld/clients/client_status.h"
#include "controld/store/changes.h"
#include "controld/store/search.h"

#include <inttypes.h>
#include <string.h>

/* Of ids that are picked: ten digits, as people read them out. */
#define ID_FIRST INT64_C(1000000000)
#define ID_LAST  INT64_C(9999999999)
#define ID_TRIES 8

#define FROM_CLIENTS "SELECT " CLIENT_COLUMNS " FROM clients c "

enum { SQL_GET, SQL_LIST, SQL_EXISTS, SQL_TAKEN, SQL_COUNT, SQL_INSERT, SQL_UPDATE, SQL_DELETE };
static const char *const sql[] = {
	[SQL_GET] = FROM_CLIENTS "WHERE c.id = ?2 AND (?1 = '' OR c.tenant_id = ?1) AND c.status <> 'deleting'",
	[SQL_LIST] = FROM_CLIENTS
	"WHERE c.tenant_id = ?1 AND c.id > ?2 AND (?3 = '' OR c.user_id = ?3) AND (?4 = '' OR c.type = ?4) AND (?5 = "
	"'' "
	"OR c.id = ?6 OR lower(c.name) LIKE ?7 ESCAPE '!') AND c.status <> 'deleting' ORDER BY c.id LIMIT ?8",
	[SQL_EXISTS] = "SELECT 1 FROM clients WHERE id = ?2 AND tenant_id = ?1 AND status <> 'deleting'",
	[SQL_TAKEN] = "SELECT 1 FROM clients WHERE id = ?1",
	[SQL_COUNT] =
		"SELECT count(*) FROM clients WHERE (?1 = '' OR tenant_id = ?1) AND (?2 = '' OR user_id = ?2) AND "
		"(?3 = '' OR type = ?3) AND status <> 'deleting'",
	[SQL_INSERT] = "INSERT INTO clients (id, tenant_id, user_id, name, type, status, single, config, keys, "
		       "expires_ms, version, seq, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		       "?10, ?11, ?12, ?13, ?14)",
	[SQL_UPDATE] = "UPDATE clients SET tenant_id = ?2, user_id = ?3, name = ?4, type = ?5, status = ?6, single = "
		       "?7, config = ?8, keys = ?9, expires_ms = ?10, version = ?11, seq = ?12, created_ms = ?13, "
		       "updated_ms = ?14 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM clients WHERE id = ?1",
};
const struct sql_table client_sql = { "client", sql, ARRAY_LEN(sql) };

void client_id_print(char dst[PROTO_ID_SIZE], int64_t id)
{
	str_fmt(dst, PROTO_ID_SIZE, "%" PRId64, id);
}

int client_id_parse(const char *s, int64_t *out)
{
	return s[0] != '0' ? str_to_i64(s, 1, CLIENT_ID_MAX - 1, out) : -1; /* one spelling for one id */
}

const char *client_type_name(enum client_type type)
{
	return type == CLIENT_ANONYMOUS ? "anonymous" : "registered";
}

/* ---- the object --------------------------------------------------------------------------------------------------- */

static void print_targets(
	struct buf *b, const char *key, const struct client_live *live, size_t agent, enum client_trouble_kind kind)
{
	jsonw_array(b, key);
	for (size_t i = 0; i < live->n_down; i++) {
		if (live->down[i].agent != agent || live->down[i].kind != kind)
			continue;
		jsonw_object(b, NULL);
		jsonw_str(b, "mapping_id", live->down[i].mapping);
		jsonw_str(b, "reason", live->down[i].reason);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
}

static void print_agents(struct buf *b, const struct client_live *live)
{
	jsonw_array(b, "instances");
	for (size_t i = 0; i < live->n; i++) {
		const struct client_agent *a = &live->agents[i];

		jsonw_object(b, NULL);
		jsonw_str(b, "instance", a->state.instance);
		jsonw_str(b, "node_id", a->node_id);
		jsonw_str(b, "node", a->node_name);
		jsonw_str(b, "remote_addr", a->state.remote);
		jsonw_str(b, "version", a->state.version);
		jsonw_str(b, "status", a->state.state == CLIENT_STATE_ONLINE ? "online" : "error");
		jsonw_uint(b, "links", a->state.links);
		jsonw_time(b, "since", a->state.since_ms);
		print_targets(b, "targets_down", live, i, CLIENT_TROUBLE_DOWN);
		print_targets(b, "targets_doubted", live, i, CLIENT_TROUBLE_DOUBT);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
	jsonw_uint(b, "instances_left_out", live->more);
	jsonw_uint(b, "targets_left_out", live->more_down);
}

static void print_live(struct buf *b, const struct client_live *live)
{
	jsonw_str(b, "status", client_status_name(live->status));
	jsonw_str(b, "node_id", live->n > 0 ? live->agents[0].node_id : NULL);
	jsonw_time(b, "last_seen", live->seen_ms);
	print_agents(b, live);
}

static void print(
	struct buf *b, const char *key, const struct client *c, const struct client_live *live, const char *secret)
{
	char code[CLIENT_AUTH_CODE_SIZE];

	client_auth_code(c, code);
	jsonw_object(b, key);
	jsonw_int(b, "id", c->id);
	jsonw_str(b, "tenant_id", c->tenant_id);
	jsonw_str_or_null(b, "user_id", c->user_id);
	jsonw_str(b, "name", c->name);
	jsonw_str(b, "type", client_type_name(c->type));
	jsonw_bool(b, "enabled", c->active);
	jsonw_bool(b, "single", c->conf.single);
	jsonw_str(b, "auth_code", code);
	if (secret != NULL)
		jsonw_str(b, "secret_key", secret);
	client_secrets_print(c, "secrets", b);
	if (live != NULL)
		print_live(b, live);
	client_config_print(&c->conf, "config", b);
	jsonw_time(b, "expires_at", c->conf.expires_ms);
	jsonw_int(b, "version", c->version);
	jsonw_time(b, "created_at", c->created_ms);
	jsonw_time(b, "updated_at", c->updated_ms);
	jsonw_end_object(b);
}

void client_print(struct buf *b, const char *key, const struct client *c, const struct client_live *live)
{
	print(b, key, c, live, NULL);
}

void client_print_with_secret(struct buf *b, const struct client *c, const struct client_live *live, const char *secret)
{
	print(b, NULL, c, live, secret);
}

static void name_if(bool differs, const char *name, struct buf *fields)
{
	if (differs)
		buf_printf(fields, ",%s", name);
}

static bool same_keys(const struct client_conf *a, const struct client_conf *b)
{
	return a->n_keys == b->n_keys && memcmp(a->keys, b->keys, a->n_keys * sizeof a->keys[0]) == 0;
}

void client_diff(const struct client *a, const struct client *b, struct buf *fields)
{
	name_if(!str_eq(a->name, b->name), "name", fields);
	name_if(!str_eq(a->user_id, b->user_id), "user_id", fields);
	name_if(a->active != b->active, "enabled", fields);
	name_if(a->conf.single != b->conf.single, "single", fields);
	name_if(!same_keys(&a->conf, &b->conf), "secrets", fields);
	name_if(!client_config_same(&a->conf, &b->conf), "config", fields);
	name_if(a->conf.expires_ms != b->conf.expires_ms, "expires_at", fields);
	if (fields->len > 0)
		buf_consume(fields, 1); /* the first comma */
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	str_copy(dst, size, s != NULL ? s : "");
}

int client_load(struct client *c, struct query *q, struct err *e)
{
	memset(c, 0, sizeof *c);
	c->id = query_int(q, 0);
	load_text(c->tenant_id, sizeof c->tenant_id, q, 1);
	load_text(c->user_id, sizeof c->user_id, q, 2);
	load_text(c->name, sizeof c->name, q, 3);
	c->type = str_eq(query_text(q, 4), "anonymous") ? CLIENT_ANONYMOUS : CLIENT_REGISTERED;
	c->active = str_eq(query_text(q, 5), "active");
	c->deleting = str_eq(query_text(q, 5), "deleting");
	c->conf.single = query_int(q, 6) != 0;
	c->conf.expires_ms = query_int(q, 9);
	c->version = query_int(q, 10);
	c->seq = query_int(q, 11);
	c->created_ms = query_int(q, 12);
	c->updated_ms = query_int(q, 13);
	c->owner_active = query_int(q, 14) != 0;
	return client_config_load(&c->conf, query_text(q, 7), e) != 0 ||
	                       client_secrets_load(c, query_text(q, 8), e) != 0
	               ? -1
	               : 0;
}

static int not_found(int64_t id, struct err *e)
{
	return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %" PRId64, id);
}

/* 1 and *out, 0, or -1. */
static int load_first(struct query *q, struct client *out, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1 && client_load(out, q, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

int client_get(struct db *db, const char *tenant_id, int64_t id, struct client *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_i(id)) != 0)
		return -1;
	rc = load_first(q, out, e);
	return rc == 0 ? not_found(id, e) : MIN(rc, 0);
}

int client_exists(struct db *db, const char *tenant_id, int64_t id, bool *exists, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_EXISTS], e, bind_s(tenant_id), bind_i(id)) != 0)
		return -1;
	rc = query_next(q, e);
	*exists = rc == 1;
	query_end(q);
	return MIN(rc, 0);
}

static int each(struct query *q, client_fn fn, void *arg, struct err *e)
{
	struct client c;
	int rc, stop = 0;

	while (stop == 0 && (rc = query_next(q, e)) == 1) {
		rc = client_load(&c, q, e);
		if (rc != 0)
			break;
		stop = fn(&c, arg);
	}
	query_end(q);
	return stop == 0 && rc != 0 ? -1 : 0;
}

int client_list(struct db *db, const struct client_filter *f, client_fn fn, void *arg, struct err *e)
{
	char pattern[8 * CLIENT_NAME_MAX];
	struct query *q;
	int64_t id = 0;

	search_prefix(pattern, sizeof pattern, f->search);
	if (client_id_parse(f->search, &id) != 0)
		id = 0;
	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(f->tenant_id), bind_i(f->after), bind_s(f->user_id),
		    bind_s(f->type), bind_s(f->search), bind_i(id), bind_s(pattern), bind_i(f->limit)) != 0)
		return -1;
	return each(q, fn, arg, e);
}

int client_count(struct db *db, const char *tenant_id, const char *user_id, const char *type, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNT], e, bind_s(tenant_id), bind_s(user_id), bind_s(type != NULL ? type : "")) !=
		0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static int write_row(struct db *tx, const char *statement, const struct client *c, struct err *e)
{
	struct buf config, keys;
	int rc;

	buf_init(&config, CLIENT_OBJECT_MAX);
	buf_init(&keys, CLIENT_OBJECT_MAX);
	client_config_print(&c->conf, NULL, &config);
	client_secrets_store(c, &keys);
	rc = db_exec(tx, statement, e, bind_i(c->id), bind_s(c->tenant_id), bind_s(c->user_id), bind_s(c->name),
		bind_s(client_type_name(c->type)),
		bind_s(c->deleting  ? "deleting"
			: c->active ? "active"
				    : "inactive"),
		bind_i(c->conf.single), bind_s(buf_cstr(&config)), bind_s(buf_cstr(&keys)), bind_i(c->conf.expires_ms),
		bind_i(c->version), bind_i(c->seq), bind_i(c->created_ms), bind_i(c->updated_ms));
	buf_free(&config);
	buf_free(&keys);
	return MIN(rc, 0);
}

static int is_taken(struct db *tx, int64_t id, bool *taken, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_TAKEN], e, bind_i(id)) != 0)
		return -1;
	rc = query_next(q, e);
	*taken = rc == 1;
	query_end(q);
	return MIN(rc, 0);
}

int client_pick_id(struct db *tx, struct client *c, struct err *e)
{
	const bool asked = c->id != 0;
	bool taken = true;

	for (int i = 0; i < (asked ? 1 : ID_TRIES) && taken; i++) {
		if (!asked)
			c->id = ID_FIRST + (int64_t)rand_below((uint64_t)(ID_LAST - ID_FIRST + 1));
		if (is_taken(tx, c->id, &taken, e) != 0)
			return -1;
	}
	if (!taken)
		return 0;
	return err_set(e, ERR_CLIENT_ALREADY_EXISTS, "id", "id: there is a client %" PRId64 " already", c->id);
}

static int index_words(struct db *tx, const struct client *c, struct err *e)
{
	const char *const texts[] = { c->user_id, client_type_name(c->type), NULL };
	char id[PROTO_ID_SIZE];
	const struct search_object o = { "client", id, c->tenant_id, c->name, texts };

	client_id_print(id, c->id);
	return c->deleting ? search_drop(tx, "client", id, e) : search_put(tx, &o, e);
}

int client_insert(struct db *tx, const struct client *c, struct err *e)
{
	return write_row(tx, sql[SQL_INSERT], c, e) != 0 ? -1 : index_words(tx, c, e);
}

int client_update(struct db *tx, const struct client *c, struct err *e)
{
	return write_row(tx, sql[SQL_UPDATE], c, e) != 0 ? -1 : index_words(tx, c, e);
}

int client_delete(struct db *tx, int64_t id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_i(id)), 0);
}

int client_log(struct db *tx, struct client *c, const char *op, const char *fields, const struct client_actor *by,
	struct err *e)
{
	char id[PROTO_ID_SIZE];
	struct buf object;
	int rc;

	client_id_print(id, c->id);
	buf_init(&object, CLIENT_OBJECT_MAX);
	client_print(&object, NULL, c, NULL);
	const struct change change = { .time_ms = by->now_ms,
		.tenant = c->tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "client",
		.op = op,
		.subject = id,
		.fields = fields,
		.object = buf_cstr(&object) };
	rc = changes_append(tx, &change, &c->seq, e);
	buf_free(&object);
	return rc;
}
