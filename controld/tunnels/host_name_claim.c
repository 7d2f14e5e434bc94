#include "controld/tunnels/host_name_claim.h"

#include "common/base/str.h"
#include "common/net/host_name.h"

#include <string.h>

#define ROUTES "routes" /* instead of a mapping's id */

enum { SQL_HOLDER, SQL_BELOW, SQL_INSERT, SQL_RELEASE, SQL_RELEASE_ONE };
static const char *const sql[] = {
	[SQL_HOLDER] =
		"SELECT tenant_id, mapping_id FROM host_names WHERE group_id = ?1 AND protocol = ?2 AND name = ?3",
	/* rare: only who claims a wildcard asks */
	[SQL_BELOW] = ("SELECT tenant_id, mapping_id FROM host_names WHERE group_id = ?1 AND protocol = ?2 AND "
		       "tenant_id <> ?3 "
		       "AND length(name) > length(?4) AND substr(name, length(name) - length(?4) + 1) = ?4 LIMIT 1"),
	[SQL_INSERT] =
		"INSERT INTO host_names (tenant_id, group_id, protocol, name, mapping_id) VALUES (?1, ?2, ?3, ?4, ?5)",
	[SQL_RELEASE] = "DELETE FROM host_names WHERE mapping_id = ?1",
	[SQL_RELEASE_ONE] = ("DELETE FROM host_names WHERE group_id = ?1 AND protocol = ?2 AND name = ?3 AND "
			     "tenant_id = ?4 AND mapping_id = '" ROUTES "'"),
};
const struct sql_table host_name_claim_sql = { "host_name_claim", sql, ARRAY_LEN(sql) };

static int fail_taken(const char *name, const char *mapping_id, struct err *e)
{
	if (mapping_id != NULL && str_eq(mapping_id, ROUTES))
		err_set(e, ERR_HOST_TAKEN, "host_names", "host_names: '%s' is already held by a route", name);
	else if (mapping_id != NULL)
		err_set(e, ERR_HOST_TAKEN, "host_names", "host_names: '%s' is already held by mapping %s", name,
			mapping_id);
	else
		err_set(e, ERR_HOST_TAKEN, "host_names", "host_names: '%s' is already in use", name);
	return err_detail(e, "unique", name);
}

/* Fails where a row is found that stands in the way; own: also one of the same tenant. */
static int check_row(struct query *q, const struct host_place *at, bool own, const char *name, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1) {
		const bool ours = str_eq(query_text(q, 0), at->tenant_id);

		rc = !ours || own ? fail_taken(name, ours ? query_text(q, 1) : NULL, e) : 0;
	}
	query_end(q);
	return rc;
}

static int check_holder(
	struct db *tx, const struct host_place *at, const char *held, bool own, const char *name, struct err *e)
{
	struct query *q;

	if (db_query(tx, &q, sql[SQL_HOLDER], e, bind_s(at->group_id), bind_s(at->protocol), bind_s(held)) != 0)
		return -1;
	return check_row(q, at, own, name, e);
}

/* Wildcards of others above the name. */
static int check_above(struct db *tx, const struct host_place *at, const char *name, struct err *e)
{
	char wild[HOST_NAME_SIZE + 1] = "*"; /* and the name from a dot on */

	for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
		str_copy(wild + 1, sizeof wild - 1, dot);
		if (check_holder(tx, at, wild, false, name, e) != 0)
			return -1;
	}
	return 0;
}

/* Names of others below the wildcard. */
static int check_below(struct db *tx, const struct host_place *at, const char *wild, struct err *e)
{
	struct query *q;

	if (db_query(tx, &q, sql[SQL_BELOW], e, bind_s(at->group_id), bind_s(at->protocol), bind_s(at->tenant_id),
		    bind_s(wild + 1)) != 0)
		return -1;
	return check_row(q, at, false, wild, e);
}

int host_name_claim(struct db *tx, const struct host_place *at, const char *mapping_id, const char *name, struct err *e)
{
	const bool shared = host_name_is_below(name, at->domain);

	if (check_holder(tx, at, name, true, name, e) != 0)
		return -1;
	if (!shared && check_above(tx, at, name, e) != 0)
		return -1;
	if (!shared && host_pattern_is_wild(name) && check_below(tx, at, name, e) != 0)
		return -1;
	return db_post(tx, sql[SQL_INSERT], e, bind_s(at->tenant_id), bind_s(at->group_id), bind_s(at->protocol),
		bind_s(name), bind_s(mapping_id));
}

int host_name_release(struct db *tx, const char *mapping_id, struct err *e)
{
	return db_exec(tx, sql[SQL_RELEASE], e, bind_s(mapping_id)) < 0 ? -1 : 0;
}

/* ---- routes ------------------------------------------------------------------------------------------------------- */

/* 1: the tenant's routes have it already. */
static int routes_have(struct db *tx, const struct host_place *at, const char *name, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_HOLDER], e, bind_s(at->group_id), bind_s(at->protocol), bind_s(name)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		rc = str_eq(query_text(q, 0), at->tenant_id) && str_eq(query_text(q, 1), ROUTES);
	query_end(q);
	return rc;
}

int host_name_claim_for_routes(
	struct db *tx, const struct host_place *at, const char *field, const char *name, struct err *e)
{
	int rc = routes_have(tx, at, name, e);

	if (rc != 0)
		return MIN(rc, 0);
	rc = host_name_claim(tx, at, ROUTES, name, e);
	if (rc != 0 && e != NULL && e->code == ERR_HOST_TAKEN) {
		err_set(e, ERR_HOST_TAKEN, field, "%s: '%s' is already in use on these relays", field, name);
		err_detail(e, "unique", name);
	}
	return rc;
}

int host_name_release_of_routes(struct db *tx, const struct host_place *at, const char *name, struct err *e)
{
	return db_exec(tx, sql[SQL_RELEASE_ONE], e, bind_s(at->group_id), bind_s(at->protocol), bind_s(name),
		       bind_s(at->tenant_id)) < 0
	               ? -1
	               : 0;
}
