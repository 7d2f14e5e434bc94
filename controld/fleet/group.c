#include "controld/fleet/group.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/fleet/fleet_json.h"
#include "controld/store/changes.h"
#include "controld/tunnels/tunnels.h"

#include <string.h>

/* A name may look like the id of another one. */
#define BY_ID_FIRST "ORDER BY CASE WHEN id = ?1 THEN 0 ELSE 1 END LIMIT 1"
#define COLUMNS     "id, name, description, version, created_ms, updated_ms, domain"

static const char sql_get[] = "SELECT " COLUMNS " FROM node_groups WHERE id = ?1 OR name = ?1 " BY_ID_FIRST;
static const char sql_list[] = "SELECT " COLUMNS " FROM node_groups WHERE id > ?1 AND "
			       "substr(lower(name), 1, length(?2)) = lower(?2) ORDER BY id LIMIT ?3";
static const char sql_insert[] =
	"INSERT INTO node_groups(id, tenant_id, name, description, version, created_ms, updated_ms, domain) "
	"VALUES (?1, '', ?2, ?3, 1, ?4, ?4, ?5)";
static const char sql_update[] = "UPDATE node_groups SET name = ?2, description = ?3, version = version + 1, "
				 "updated_ms = ?4, domain = ?5 WHERE id = "
				 "?1";
static const char sql_delete[] = "DELETE FROM node_groups WHERE id = ?1";
static const char sql_nodes[] = "SELECT COUNT(*) FROM nodes WHERE group_id = ?1";

static const char *const statements[] = { sql_get, sql_list, sql_insert, sql_update, sql_delete, sql_nodes };
const struct sql_table group_sql = { "group", statements, ARRAY_LEN(statements) };

static void group_load(struct group *g, struct query *q)
{
	*g = (struct group){ .version = query_int(q, 3), .created_ms = query_int(q, 4), .updated_ms = query_int(q, 5) };
	str_copy(g->id, sizeof g->id, query_text(q, 0));
	str_copy(g->name, sizeof g->name, query_text(q, 1));
	str_copy(g->description, sizeof g->description, query_text(q, 2));
	str_copy(g->domain, sizeof g->domain, query_text(q, 6));
}

int group_get(struct db *db, const char *id_or_name, struct group *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_get, e, bind_s(id_or_name)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		group_load(out, q);
	else if (rc == 0)
		err_set(e, ERR_NOT_FOUND, NULL, "there is no group '%s'", id_or_name);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int group_list(struct db *db, const struct group_query *f, group_fn fn, void *arg, struct err *e)
{
	struct query *q;
	struct group g;
	int rc;

	if (db_query(db, &q, sql_list, e, bind_s(f->after), bind_s(f->name), bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		group_load(&g, q);
		if (fn(&g, arg) != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}

static int group_log(
	struct db *tx, const char *op, const char *fields, const struct group *g, const struct who *who, struct err *e)
{
	const struct change c = { .kind = "group", .op = op, .subject = g->id, .fields = fields };

	return fleet_json_log(tx, &c, group_json(g), who, NULL, e);
}

static int taken(const struct group *g, struct err *e)
{
	if (e != NULL && e->code == ERR_ALREADY_EXISTS)
		err_set(e, ERR_ALREADY_EXISTS, "name", "there is a group '%s' already", g->name);
	return -1;
}

int group_create(struct db *tx, struct group *g, const struct who *who, struct err *e)
{
	rand_id(g->id, "grp");
	g->version = 1;
	g->created_ms = g->updated_ms = who->now_ms;
	if (db_exec(tx, sql_insert, e, bind_s(g->id), bind_s(g->name), bind_s(g->description), bind_i(who->now_ms),
		    bind_s(g->domain)) < 0)
		return taken(g, e);
	return group_log(tx, "create", "name,description,domain", g, who, e);
}

int group_update(struct db *tx, struct group *g, const struct who *who, struct err *e)
{
	if (db_exec(tx, sql_update, e, bind_s(g->id), bind_s(g->name), bind_s(g->description), bind_i(who->now_ms),
		    bind_s(g->domain)) < 0)
		return taken(g, e);
	g->version++;
	g->updated_ms = who->now_ms;
	return group_log(tx, "update", "name,description,domain", g, who, e);
}

/* ---- the end of a group ------------------------------------------------------------------------------------------ */

static int count_nodes(struct db *db, const char *id, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_nodes, e, bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

struct placed_here {
	const char *group;
	unsigned n;
};

static int on_placed(const struct mapping_placed *m, void *arg)
{
	struct placed_here *h = arg;

	h->n += strcmp(m->group_id, h->group) == 0;
	return 0;
}

int group_delete(struct db *tx, const struct group *g, const struct who *who, struct err *e)
{
	struct placed_here here = { .group = g->id };
	int64_t nodes = 0;

	if (str_eq(g->name, GROUP_DEFAULT))
		return err_set(e, ERR_CONFLICT, NULL, "the group '%s' stays", GROUP_DEFAULT);
	if (count_nodes(tx, g->id, &nodes, e) != 0 || mapping_placed_all(tx, on_placed, &here, e) != 0)
		return -1;
	if (nodes > 0)
		return err_set(e, ERR_CONFLICT, NULL, "group '%s' has %lld nodes; move or delete them first", g->name,
			(long long)nodes);
	if (here.n > 0)
		return err_set(e, ERR_CONFLICT, NULL, "%u mappings are placed on group '%s'; move or delete them first",
			here.n, g->name);
	if (db_exec(tx, sql_delete, e, bind_s(g->id)) < 0)
		return -1;
	return group_log(tx, "delete", "", g, who, e);
}

int group_bootstrap(struct db *tx, const struct who *who, struct err *e)
{
	struct group g;
	struct err none;

	if (group_get(tx, GROUP_DEFAULT, &g, &none) == 0)
		return 0;
	if (none.code != ERR_NOT_FOUND) {
		if (e != NULL)
			*e = none;
		return -1;
	}
	g = (struct group){ .name = GROUP_DEFAULT, .description = "every node that is in no other group" };
	return group_create(tx, &g, who, e);
}

json_t *group_json(const struct group *g)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", g->id, "name", g->name, "description", g->description,
		"domain", g->domain, "created_at", fleet_json_time(g->created_ms), "updated_at",
		fleet_json_time(g->updated_ms));
}
