#include "controld/balancer/lb_route_claim.h"

#include "common/base/str.h"
#include "controld/balancer/lb_route_input.h"
#include "controld/tunnels/host_name_claim.h"

#include <string.h>

enum { SQL_HOLDER, SQL_INSERT, SQL_DELETE, SQL_LEFT };
static const char *const sql[] = {
	[SQL_HOLDER] = "SELECT route_id FROM lb_route_hosts WHERE group_id = ?1 AND protocol = ?2 AND name = ?3 AND "
		       "route_key = ?4",
	[SQL_INSERT] = "INSERT INTO lb_route_hosts (tenant_id, group_id, protocol, name, route_key, route_id) VALUES "
		       "(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_DELETE] = "DELETE FROM lb_route_hosts WHERE route_id = ?1",
	[SQL_LEFT] = "SELECT 1 FROM lb_route_hosts WHERE group_id = ?1 AND protocol = ?2 AND name = ?3 AND tenant_id = "
		     "?4 LIMIT 1",
};
const struct sql_table lb_route_claim_sql = { "lb_route_claim", sql, ARRAY_LEN(sql) };

/* ---- what it matches, in one spelling ------------------------------------------------------------------------------ */

#define PARTS_MAX 16

static void sort(const char *parts[PARTS_MAX], size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && strcmp(parts[j - 1], parts[j]) > 0; j--) {
			const char *swap = parts[j];

			parts[j] = parts[j - 1];
			parts[j - 1] = swap;
		}
}

static void put_methods(struct buf *key, const json_t *methods)
{
	const char *parts[PARTS_MAX];
	const json_t *one;
	size_t n = 0, i;

	json_array_foreach(methods, i, one) if (n < PARTS_MAX) parts[n++] = json_string_value(one);
	sort(parts, n);
	for (i = 0; i < n; i++)
		buf_printf(key, " %s", parts[i]);
}

/* Fields in the order of their names. */
static void put_wants(struct buf *key, const json_t *wants)
{
	const char *texts[PARTS_MAX];
	struct buf each;
	const json_t *one;
	size_t n = 0, i;

	buf_init(&each, LB_ROUTE_OBJECT_MAX);
	json_array_foreach(wants, i, one)
	{
		const char *value = json_string_value(json_object_get(one, "value"));

		buf_printf(&each, "%s%s%s", json_string_value(json_object_get(one, "name")), value != NULL ? "=" : "",
			value != NULL ? value : "");
		buf_u8(&each, '\0');
	}
	if (!each.failed)
		for (const char *p = (const char *)each.data; n < PARTS_MAX && n < json_array_size(wants);
			p += strlen(p) + 1)
			texts[n++] = p;
	sort(texts, n);
	for (i = 0; i < n; i++)
		buf_printf(key, "\n%s", texts[i]);
	key->failed |= each.failed;
	buf_free(&each);
}

static void put_key(struct buf *key, const struct lb_route *r)
{
	buf_printf(key, "%s", r->path_prefix);
	put_methods(key, json_object_get(r->settings, "methods"));
	put_wants(key, json_object_get(r->settings, "headers"));
}

/* ---- schemes -------------------------------------------------------------------------------------------------------- */

/* As the shared ports of relays are called. */
static const char *const protocols[] = { "http", "tls", NULL };

static bool speaks(const struct lb_route *r, const char *protocol)
{
	if (str_eq(protocol, "tls"))
		return r->ssl_enabled;
	return knobs_number(&lb_route_knobs, r->settings, "https_only") == 0;
}

/* ---- claiming ------------------------------------------------------------------------------------------------------- */

struct claiming {
	struct db *tx;
	const struct lb_claimant *by;
	const struct lb_route *route, *before;
	const char *key;
};

static int check_free(const struct claiming *c, const char *protocol, const char *name, struct err *e)
{
	const struct lb_route *r = c->route;
	struct query *q;
	int rc;

	if (db_query(c->tx, &q, sql[SQL_HOLDER], e, bind_s(r->group_id), bind_s(protocol), bind_s(name),
		    bind_s(c->key)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		err_set(e, ERR_ALREADY_EXISTS, "path_prefix",
			"path_prefix: route %s takes the very same requests for %s: path, methods, fields and scheme",
			query_text(q, 0), name);
		rc = err_detail(e, "unique", r->path_prefix);
	}
	query_end(q);
	return rc;
}

static int claim_one(const struct claiming *c, const char *protocol, const char *name, const char *field, struct err *e)
{
	const struct lb_route *r = c->route;
	const struct host_place at = { r->tenant_id, r->group_id, protocol, c->by->domain };

	if (host_name_claim_for_routes(c->tx, &at, field, name, e) != 0 || check_free(c, protocol, name, e) != 0)
		return -1;
	return db_exec(c->tx, sql[SQL_INSERT], e, bind_s(r->tenant_id), bind_s(r->group_id), bind_s(protocol),
		       bind_s(name), bind_s(c->key), bind_s(r->id)) < 0
	               ? -1
	               : 0;
}

static bool had(const struct lb_route *before, const struct lb_route *r, const char *name)
{
	const char *one;

	if (before == NULL || !str_eq(before->group_id, r->group_id))
		return false;
	for (size_t i = 0; (one = lb_route_host(before, i)) != NULL; i++)
		if (str_eq(one, name))
			return true;
	return false;
}

static int claim_all(const struct claiming *c, struct err *e)
{
	const struct lb_route *r = c->route;
	const struct lb_claimant *by = c->by;
	const char *name;

	for (size_t i = 0; (name = lb_route_host(r, i)) != NULL; i++) {
		const char *field = i == 0 ? "host" : "aliases";

		/* those that it has already stay, whoever changes something else */
		if (!had(c->before, r, name) && host_name_right(by->by, by->who, by->domain, field, name, e) != 0)
			return -1;
		for (const char *const *p = protocols; *p != NULL; p++)
			if (speaks(r, *p) && claim_one(c, *p, name, field, e) != 0)
				return -1;
	}
	return 0;
}

int lb_route_claim(struct db *tx, const struct lb_claimant *c, const struct lb_route *r, const struct lb_route *before,
	struct err *e)
{
	struct claiming all = { tx, c, r, before, "" };
	int rc = before != NULL ? lb_route_release(tx, before, e) : 0;
	struct buf key;

	buf_init(&key, LB_ROUTE_OBJECT_MAX);
	put_key(&key, r);
	all.key = buf_cstr(&key);
	if (rc == 0 && key.failed)
		rc = err_set(e, ERR_NOMEM, NULL, "route %s: out of memory", r->id);
	if (rc == 0)
		rc = claim_all(&all, e);
	buf_free(&key);
	return rc;
}

static int give_up(struct db *tx, const struct lb_route *r, const char *protocol, const char *name, struct err *e)
{
	const struct host_place at = { r->tenant_id, r->group_id, protocol, "" };
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_LEFT], e, bind_s(r->group_id), bind_s(protocol), bind_s(name),
		    bind_s(r->tenant_id)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc == 0 ? host_name_release_of_routes(tx, &at, name, e) : MIN(rc, 0);
}

int lb_route_release(struct db *tx, const struct lb_route *r, struct err *e)
{
	const char *name;

	if (db_exec(tx, sql[SQL_DELETE], e, bind_s(r->id)) < 0)
		return -1;
	for (size_t i = 0; (name = lb_route_host(r, i)) != NULL; i++)
		for (const char *const *p = protocols; *p != NULL; p++)
			if (give_up(tx, r, *p, name, e) != 0)
				return -1;
	return 0;
}
