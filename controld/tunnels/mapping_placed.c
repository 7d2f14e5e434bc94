#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/tunnels/mapping.h"
#include "controld/tunnels/mapping_columns.h"
#include "controld/tunnels/mapping_dial.h"
#include "controld/tunnels/tunnels.h"

/* What tunnels.h gives to fleet/: mappings as the relays see them. */

enum { SQL_ONE, SQL_ALL, SQL_IDS_OF_USER, SQL_IDS_OF_TENANT, SQL_IDS_OF_CLIENT, SQL_GROUPS };
static const char *const sql[] = {
	[SQL_ONE] = "SELECT " MAPPING_COLUMNS " FROM " MAPPING_FROM "WHERE m.id = ?1",
	[SQL_ALL] = "SELECT " MAPPING_COLUMNS " FROM " MAPPING_FROM,
	[SQL_IDS_OF_USER] = "SELECT id FROM mappings WHERE user_id = ?1",
	[SQL_IDS_OF_TENANT] = "SELECT id FROM mappings WHERE tenant_id = ?1",
	[SQL_IDS_OF_CLIENT] = "SELECT id FROM mappings WHERE target_client_id = ?1 UNION SELECT id FROM mappings "
			      "WHERE source_client_id = ?1",
	[SQL_GROUPS] =
		"SELECT group_id FROM mappings WHERE target_client_id = ?1 UNION SELECT group_id FROM mappings WHERE "
		"source_client_id = ?1",
};
const struct sql_table mapping_placed_sql = { "mapping_placed", sql, ARRAY_LEN(sql) };

struct giver {
	struct db *db;
	int64_t now_ms;
	struct dial_grants grants;
	mapping_placed_fn fn;
	void *arg;
};

/*
 * A mapping that is switched off or has expired is taken from the relays, which then do what its on_delete says. One
 * whose owner is suspended, going or over his quota stays there, disabled: its connections are cut whatever on_delete says.
 */
static int give(struct giver *g, const struct mapping *m, struct err *e)
{
	struct mapping_placed p = { .seq = m->seq, .conf = m->conf };

	if (dial_grants_read(&g->grants, g->db, m->tenant_id, e) != 0)
		return -1;
	str_copy(p.id, sizeof p.id, m->id);
	str_copy(p.group_id, sizeof p.group_id, m->group_id);
	str_copy(p.node_id, sizeof p.node_id, m->node_id);
	p.present = m->active && (m->conf.expires_ms == 0 || m->conf.expires_ms > g->now_ms);
	p.conf.enabled = m->owner_active && !m->over_quota;
	dial_grants_lend(&g->grants, &p.conf);
	return g->fn(&p, g->arg);
}

static int give_row(struct giver *g, struct query *q, struct err *e)
{
	struct mapping m;
	int rc;

	if (mapping_load(&m, q, e) != 0)
		return -1;
	rc = give(g, &m, e);
	mapping_fini(&m);
	return rc;
}

int mapping_placed_get(struct db *db, const char *id, mapping_placed_fn fn, void *arg, struct err *e)
{
	struct giver g = { .db = db, .now_ms = clock_wall_ms(), .fn = fn, .arg = arg };
	struct mapping_placed gone = { .present = false };
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ONE], e, bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		rc = give_row(&g, q, e);
	else if (rc == 0) {
		str_copy(gone.id, sizeof gone.id, id);
		rc = fn(&gone, arg);
	}
	query_end(q);
	return rc;
}

int mapping_placed_all(struct db *db, mapping_placed_fn fn, void *arg, struct err *e)
{
	struct giver g = { .db = db, .now_ms = clock_wall_ms(), .fn = fn, .arg = arg };
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ALL], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		rc = give_row(&g, q, e);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc;
}

static int give_ids(struct query *q, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	int rc;

	while ((rc = query_next(q, e)) == 1) {
		rc = fn(query_text(q, 0), arg);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc;
}

static int ids_of_client(struct db *db, const char *statement, const char *client, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	struct query *q;
	int64_t id;

	if (client_id_parse(client, &id) != 0)
		return 0;
	return db_query(db, &q, statement, e, bind_i(id)) != 0 ? -1 : give_ids(q, fn, arg, e);
}

int mapping_ids_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	const char *statement = str_eq(kind, "user") ? sql[SQL_IDS_OF_USER] : sql[SQL_IDS_OF_TENANT];
	struct query *q;

	if (str_eq(kind, "client"))
		return ids_of_client(db, sql[SQL_IDS_OF_CLIENT], subject, fn, arg, e);
	if (!str_eq(kind, "user") && !str_eq(kind, "tenant"))
		return 0;
	return db_query(db, &q, statement, e, bind_s(subject)) != 0 ? -1 : give_ids(q, fn, arg, e);
}

int mapping_groups_of_client(
	struct db *db, const char *client, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e)
{
	return ids_of_client(db, sql[SQL_GROUPS], client, fn, arg, e);
}
