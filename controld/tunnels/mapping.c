#include "controld/tunnels/mapping.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/clients/anonymous.h"
#include "controld/store/search.h"
#include "controld/tunnels/mapping_columns.h"
#include "controld/tunnels/mapping_host.h"
#include "controld/tunnels/mapping_settings.h"
#include "controld/tunnels/mapping_socks.h"

#include <stdlib.h>
#include <string.h>

/* Of the tenant ?1, whose status is looked up once a statement. */
#define TENANT_STATUS "(SELECT status FROM tenants WHERE id = ?1)"
#define FROM_MAPPINGS        \
	", " TRAFFIC_COLUMNS \
	" FROM mappings m JOIN traffic t ON t.scope = 'mapping' AND t.tenant_id = m.tenant_id AND t.id = m.id "
#define LIST "SELECT " MAPPING_COLUMNS_OF(TENANT_STATUS, "mu.status", MAPPING_QUOTA) FROM_MAPPINGS MAPPING_USERS
/* For a single row PostgreSQL takes a third less for subqueries than for joins, and SQLite takes the same. */
#define USER_STATUS "(SELECT status FROM users WHERE id = m.user_id)"
#define USER_QUOTA  "(SELECT " MAPPING_QUOTA " FROM user_quotas mq WHERE mq.user_id = m.user_id)" /* NULL reads as 0 */
#define ONE         "SELECT " MAPPING_COLUMNS_OF(TENANT_STATUS, USER_STATUS, USER_QUOTA) FROM_MAPPINGS

#define LIST_FILTER                                                                                                  \
	"m.tenant_id = ?1 AND m.id > ?2 AND (?3 = '' OR m.user_id = ?3) AND (?4 = '' OR m.protocol = ?4) AND (?5 = " \
	"'' OR "                                                                                                     \
	"m.group_id = ?5 OR m.group_name = ?5) AND (?6 = '' OR m.node_id = ?6 OR m.node_name = ?6) AND (?7 = '' OR " \
	"m.id "                                                                                                      \
	"= ?7 OR lower(m.name) LIKE ?8 ESCAPE '!' OR lower(m.target_host) LIKE ?8 ESCAPE '!') "

enum {
	SQL_GET,
	SQL_LIST,
	SQL_LIST_OF_CLIENT,
	SQL_LIST_OF_END,
	SQL_FIND,
	SQL_COUNT,
	SQL_COUNT_OF_TENANT,
	SQL_COUNT_OF_CLIENT,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_DELETE
};
static const char *const sql[] = {
	[SQL_GET] = ONE "WHERE m.id = ?2 AND m.tenant_id = ?1",
	[SQL_LIST] = LIST "WHERE " LIST_FILTER "ORDER BY m.id LIMIT ?9",
	[SQL_LIST_OF_CLIENT] = LIST "WHERE m.target_client_id = ?10 AND " LIST_FILTER "ORDER BY m.id LIMIT ?9",
	[SQL_LIST_OF_END] =
		LIST "WHERE m.id IN (SELECT id FROM mappings WHERE target_client_id = ?10 UNION "
		     "SELECT id FROM mappings WHERE source_client_id = ?10) AND " LIST_FILTER "ORDER BY m.id LIMIT ?9",
	[SQL_FIND] = "SELECT target_client_id FROM mappings WHERE id = ?2 AND tenant_id = ?1",
	/* over an index alone: it is asked by every create */
	[SQL_COUNT_OF_TENANT] = "SELECT count(*) FROM mappings WHERE tenant_id = ?1",
	[SQL_COUNT] = "SELECT count(*), coalesce(sum(active), 0) FROM mappings WHERE (?1 = '' OR tenant_id = ?1) AND "
		      "(?2 = '' OR "
		      "user_id = ?2)",
	[SQL_COUNT_OF_CLIENT] =
		"SELECT count(*), coalesce(sum(active), 0) FROM mappings WHERE id IN (SELECT id FROM mappings WHERE "
		"target_client_id = ?1 UNION SELECT id FROM mappings WHERE source_client_id = ?1) AND (?2 = '' OR "
		"group_id = ?2)",
	[SQL_INSERT] =
		"INSERT INTO mappings (id, tenant_id, user_id, name, description, group_id, group_name, node_id, "
		"node_name, active, protocol, bind_address, source_port, source_port_end, target_host, target_port, "
		"dial_any, expires_ms, settings, version, seq, created_ms, updated_ms, port_picks, "
		"target_client_id, source_client_id, host_names, socks_user, socks_proof, socks_allow) VALUES (?1, ?2, "
		"?3, ?4, "
		"?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, "
		"?26, ?27, "
		"?28, ?29, ?30)",
	[SQL_UPDATE] =
		"UPDATE mappings SET tenant_id = ?2, user_id = ?3, name = ?4, description = ?5, group_id = ?6, "
		"group_name = ?7, node_id = ?8, node_name = ?9, active = ?10, protocol = ?11, bind_address = ?12, "
		"source_port = ?13, source_port_end = ?14, target_host = ?15, target_port = ?16, dial_any = ?17, "
		"expires_ms = ?18, settings = ?19, version = ?20, seq = ?21, created_ms = ?22, updated_ms = ?23, "
		"port_picks = ?24, target_client_id = ?25, source_client_id = ?26, host_names = ?27, socks_user = ?28, "
		"socks_proof = ?29, socks_allow = ?30 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM mappings WHERE id = ?1",
};
const struct sql_table mapping_sql = { "mapping", sql, ARRAY_LEN(sql) };

void mapping_fini(struct mapping *m)
{
	mapping_conf_fini(&m->conf);
}

static const char *const protocol_names[] = { [MAPPING_TCP] = "tcp",
	[MAPPING_UDP] = "udp",
	[MAPPING_HTTP] = "http",
	[MAPPING_TLS] = "tls",
	[MAPPING_SOCKS5] = "socks5" };

const char *mapping_protocol_name(const struct mapping_conf *c)
{
	return protocol_names[c->protocol];
}

uint8_t mapping_protocol_parse(const char *name)
{
	for (size_t i = MAPPING_TCP; i < ARRAY_LEN(protocol_names); i++)
		if (str_eq(protocol_names[i], name))
			return (uint8_t)i;
	return MAPPING_TCP;
}

const char *mapping_transport_name(const struct mapping_conf *c)
{
	return c->protocol == MAPPING_UDP ? "udp" : "tcp";
}

bool mapping_serves(const struct mapping *m, int64_t now_ms)
{
	return m->active && m->owner_active && !m->over_quota &&
	       (m->conf.expires_ms == 0 || m->conf.expires_ms > now_ms);
}

int64_t mapping_client(const struct mapping *m)
{
	int64_t id;

	return client_id_parse(m->conf.target_client, &id) == 0 ? id : 0;
}

void mapping_set_client(struct mapping *m, int64_t client_id)
{
	m->conf.target_client[0] = '\0';
	if (client_id != 0)
		client_id_print(m->conf.target_client, client_id);
}

int64_t mapping_source(const struct mapping *m)
{
	int64_t id;

	return client_id_parse(m->conf.source_client, &id) == 0 ? id : 0;
}

void mapping_set_source(struct mapping *m, int64_t client_id)
{
	m->conf.source_client[0] = '\0';
	if (client_id != 0)
		client_id_print(m->conf.source_client, client_id);
}

/* ---- the object --------------------------------------------------------------------------------------------------- */
static void print_error(struct buf *b, const json_t *error)
{
	char *text = error != NULL ? json_dumps(error, JSON_COMPACT) : NULL;

	if (text != NULL)
		jsonw_raw(b, "error", text, strlen(text));
	else
		jsonw_null(b, "error");
	free(text);
}

static void print_ends(struct buf *b, const struct mapping_conf *c)
{
	jsonw_str(b, "protocol", mapping_protocol_name(c));
	mapping_host_print(&c->hosts, b);
	jsonw_str(b, "bind_address", c->bind);
	if (mapping_conf_has_hosts(c))
		jsonw_null(b, "source_port");
	else
		jsonw_uint(b, "source_port", c->port_first);
	if (c->port_last != c->port_first)
		jsonw_uint(b, "source_port_end", c->port_last);
	else
		jsonw_null(b, "source_port_end");
	jsonw_str(b, "target_host", c->target_host);
	jsonw_uint(b, "target_port", c->target_port);
	jsonw_str_or_null(b, "socks_user", c->socks_user);
	jsonw_str_or_null(b, "socks_allow", c->socks_allow);
}

static void print_placement(struct buf *b, const struct mapping *m)
{
	jsonw_str(b, "group", m->group_name);
	jsonw_str(b, "group_id", m->group_id);
	jsonw_str_or_null(b, "node", m->node_name);
	jsonw_str_or_null(b, "node_id", m->node_id);
}

static void print_client(struct buf *b, const char *key, int64_t id)
{
	if (id != 0)
		jsonw_int(b, key, id);
	else
		jsonw_null(b, key);
}

void mapping_print(struct buf *b, const char *key, const struct mapping *m, const struct mapping_live *live)
{
	jsonw_object(b, key);
	jsonw_str(b, "id", m->id);
	jsonw_str(b, "tenant_id", m->tenant_id);
	jsonw_str_or_null(b, "user_id", m->user_id);
	jsonw_str(b, "name", m->name);
	jsonw_str(b, "description", m->description);
	jsonw_str(b, "type", str_eq(m->tenant_id, ANONYMOUS_TENANT) ? "anonymous" : "standard");
	print_client(b, "source_client_id", mapping_source(m));
	print_client(b, "target_client_id", mapping_client(m));
	if (live != NULL) {
		jsonw_str(b, "source_client_status", live->source);
		jsonw_str(b, "target_client_status", live->target);
	}
	print_ends(b, &m->conf);
	print_placement(b, m);
	jsonw_str(b, "status", live != NULL ? live->status : m->active ? "active" : "inactive");
	if (live != NULL) {
		print_error(b, live->error);
		jsonw_str_or_null(b, "url", live->url);
	}
	mapping_settings_print(&m->conf, b);
	jsonw_time(b, "expires_at", m->conf.expires_ms);
	if (live != NULL)
		traffic_print(b, "traffic_stats", &live->traffic);
	jsonw_int(b, "version", m->version);
	jsonw_time(b, "created_at", m->created_ms);
	jsonw_time(b, "updated_at", m->updated_ms);
	jsonw_end_object(b);
}

static void name_if(bool differs, const char *name, struct buf *fields)
{
	if (differs)
		buf_printf(fields, ",%s", name);
}

void mapping_diff(const struct mapping *a, const struct mapping *b, struct buf *fields)
{
	const struct mapping_conf *c = &a->conf, *d = &b->conf;

	name_if(!str_eq(a->name, b->name), "name", fields);
	name_if(!str_eq(a->description, b->description), "description", fields);
	name_if(!str_eq(a->group_id, b->group_id), "group", fields);
	name_if(!str_eq(a->node_id, b->node_id), "node", fields);
	name_if(a->active != b->active, "status", fields);
	name_if(!mapping_hosts_equal(&c->hosts, &d->hosts), "host_names", fields);
	name_if(!str_eq(c->bind, d->bind), "bind_address", fields);
	name_if(c->port_first != d->port_first, "source_port", fields);
	name_if(c->port_last != d->port_last, "source_port_end", fields);
	name_if(!str_eq(c->source_client, d->source_client), "source_client_id", fields);
	name_if(!str_eq(c->target_client, d->target_client), "target_client_id", fields);
	name_if(!str_eq(c->target_host, d->target_host), "target_host", fields);
	name_if(c->target_port != d->target_port, "target_port", fields);
	name_if(c->expires_ms != d->expires_ms, "expires_at", fields);
	name_if(!str_eq(c->socks_user, d->socks_user), "socks_user", fields);
	name_if(memcmp(c->socks_proof, d->socks_proof, sizeof c->socks_proof) != 0, "socks_password", fields);
	name_if(!str_eq(c->socks_allow, d->socks_allow), "socks_allow", fields);
	mapping_settings_diff(c, d, fields);
	if (fields->len > 0)
		buf_consume(fields, 1); /* the first comma */
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */
static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	str_copy(dst, size, s != NULL ? s : "");
}
#define LOAD_TEXT(member, q, col) load_text(member, sizeof(member), q, col)

static void load_conf(struct mapping_conf *c, struct query *q, int col)
{
	c->protocol = mapping_protocol_parse(query_text(q, col));
	LOAD_TEXT(c->bind, q, col + 1);
	c->port_first = (uint16_t)query_int(q, col + 2);
	c->port_last = (uint16_t)query_int(q, col + 3);
	LOAD_TEXT(c->target_host, q, col + 4);
	c->target_port = (uint16_t)query_int(q, col + 5);
	c->dial_any = query_int(q, col + 6) != 0;
	c->expires_ms = query_int(q, col + 7);
}

int mapping_load(struct mapping *m, struct query *q, struct err *e)
{
	const char *settings = query_text(q, 18);

	m->conf = (struct mapping_conf){ .enabled = true };
	LOAD_TEXT(m->id, q, 0);
	LOAD_TEXT(m->tenant_id, q, 1);
	LOAD_TEXT(m->user_id, q, 2);
	LOAD_TEXT(m->name, q, 3);
	LOAD_TEXT(m->description, q, 4);
	LOAD_TEXT(m->group_id, q, 5);
	LOAD_TEXT(m->group_name, q, 6);
	LOAD_TEXT(m->node_id, q, 7);
	LOAD_TEXT(m->node_name, q, 8);
	m->active = query_int(q, 9) != 0;
	load_conf(&m->conf, q, 10);
	m->version = query_int(q, 19);
	m->seq = query_int(q, 20);
	m->created_ms = query_int(q, 21);
	m->updated_ms = query_int(q, 22);
	m->port_picks = (uint8_t)query_int(q, 23);
	mapping_set_client(m, query_int(q, 24));
	m->owner_active = query_int(q, 25) != 0;
	m->over_quota = query_int(q, 26) == 2;
	if (query_int(q, 26) != 0)
		str_copy(m->conf.account, sizeof m->conf.account, m->user_id);
	mapping_set_source(m, query_int(q, 27));
	LOAD_TEXT(m->conf.socks_user, q, 29);
	mapping_socks_load(&m->conf, query_text(q, 30));
	LOAD_TEXT(m->conf.socks_allow, q, 31);
	if (mapping_settings_load(&m->conf, settings != NULL ? settings : "{}", e) == 0 &&
		mapping_host_load(&m->conf.hosts, query_text(q, 28), e) == 0)
		return 0;
	mapping_fini(m);
	return -1;
}

int mapping_get(
	struct db *db, const char *tenant_id, const char *id, struct mapping *m, struct traffic *t, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 0)
		rc = err_set(e, ERR_MAPPING_NOT_FOUND, NULL, "there is no mapping '%s'", id);
	else if (rc == 1)
		rc = mapping_load(m, q, e);
	if (rc == 0)
		traffic_load(t, q, MAPPING_COLUMNS_N);
	query_end(q);
	return rc;
}

int mapping_list(struct db *db, const struct mapping_filter *f, mapping_fn fn, void *arg, struct err *e)
{
	char pattern[2 * MAPPING_NAME_MAX];
	struct mapping m;
	struct traffic t;
	struct query *q;
	int rc, more = 0;

	search_prefix(pattern, sizeof pattern, f->search);
	const struct bind binds[] = { bind_s(f->tenant_id), bind_s(f->after), bind_s(f->user_id), bind_s(f->protocol),
		bind_s(f->group), bind_s(f->node), bind_s(f->search), bind_s(pattern), bind_i(f->limit),
		bind_i(f->end_id != 0 ? f->end_id : f->client_id) };
	const int statement = f->end_id != 0 ? SQL_LIST_OF_END : f->client_id != 0 ? SQL_LIST_OF_CLIENT : SQL_LIST;

	if (db_query_v(db, &q, sql[statement], e, binds, ARRAY_LEN(binds) - (statement == SQL_LIST)) != 0)
		return -1;
	while (more == 0 && (rc = query_next(q, e)) == 1) {
		rc = mapping_load(&m, q, e);
		if (rc != 0)
			break;
		traffic_load(&t, q, MAPPING_COLUMNS_N);
		more = fn(&m, &t, arg);
		mapping_fini(&m);
	}
	query_end(q);
	return more == 0 && rc != 0 ? -1 : 0;
}

int mapping_find(struct db *db, const char *tenant_id, const char *id, int64_t *client_id, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*client_id = query_int(q, 0);
	query_end(q);
	return rc;
}

static int read_counts(struct query *q, struct mapping_counts *out, struct err *e)
{
	const int rc = query_next(q, e);

	if (rc == 1)
		*out = (struct mapping_counts){ query_int(q, 0), query_int(q, 1) };
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int mapping_count(struct db *db, const char *tenant_id, const char *user_id, struct mapping_counts *out, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_COUNT], e, bind_s(tenant_id), bind_s(user_id)) != 0)
		return -1;
	return read_counts(q, out, e);
}

int mapping_count_of_client(
	struct db *db, int64_t client_id, const char *group_id, struct mapping_counts *out, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_COUNT_OF_CLIENT], e, bind_i(client_id), bind_s(group_id)) != 0)
		return -1;
	return read_counts(q, out, e);
}

int mapping_count_of_tenant(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNT_OF_TENANT], e, bind_s(tenant_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static int write_row(struct db *tx, const char *statement, const struct mapping *m, struct err *e)
{
	const struct mapping_conf *c = &m->conf;
	char hosts[MAPPING_HOSTS_TEXT], proof[MAPPING_SOCKS_PROOF_TEXT];
	struct buf settings;
	int rc;

	mapping_host_store(&c->hosts, hosts);
	mapping_socks_store(c, proof);
	buf_init(&settings, MAPPING_OBJECT_MAX);
	mapping_settings_store(c, &settings);
	if (settings.failed) {
		buf_free(&settings);
		return err_set(e, ERR_NOMEM, NULL, "mapping %s: out of memory", m->id);
	}
	rc = db_exec(tx, statement, e, bind_s(m->id), bind_s(m->tenant_id), bind_s(m->user_id), bind_s(m->name),
		bind_s(m->description), bind_s(m->group_id), bind_s(m->group_name), bind_s(m->node_id),
		bind_s(m->node_name), bind_i(m->active), bind_s(mapping_protocol_name(c)), bind_s(c->bind),
		bind_i(c->port_first), bind_i(c->port_last), bind_s(c->target_host), bind_i(c->target_port),
		bind_i(c->dial_any), bind_i(c->expires_ms), bind_s(buf_cstr(&settings)), bind_i(m->version),
		bind_i(m->seq), bind_i(m->created_ms), bind_i(m->updated_ms), bind_i(m->port_picks),
		bind_i(mapping_client(m)), bind_i(mapping_source(m)), bind_s(hosts), bind_s(c->socks_user),
		bind_s(proof), bind_s(c->socks_allow));
	buf_free(&settings);
	return rc < 0 ? -1 : 0;
}

static int index_words(struct db *tx, const struct mapping *m, struct err *e)
{
	char port[8], hosts[MAPPING_HOSTS_TEXT];
	const char *const texts[] = { m->description, m->conf.target_host, m->group_name, m->conf.target_client, port,
		mapping_protocol_name(&m->conf), hosts, NULL };
	const struct search_object o = { "mapping", m->id, m->tenant_id, m->name, texts };

	str_fmt(port, sizeof port, "%u", m->conf.port_first);
	mapping_host_store(&m->conf.hosts, hosts);
	return search_put(tx, &o, e);
}

int mapping_insert(struct db *tx, const struct mapping *m, struct err *e)
{
	return write_row(tx, sql[SQL_INSERT], m, e) != 0 ? -1 : index_words(tx, m, e);
}

int mapping_update(struct db *tx, const struct mapping *m, struct err *e)
{
	return write_row(tx, sql[SQL_UPDATE], m, e) != 0 ? -1 : index_words(tx, m, e);
}

int mapping_delete(struct db *tx, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE], e, bind_s(id)) < 0 ? -1 : search_drop(tx, "mapping", id, e);
}
