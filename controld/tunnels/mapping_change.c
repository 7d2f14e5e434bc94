#include "controld/tunnels/mapping_change.h"

#include "common/base/str.h"
#include "controld/clients/clients.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/host_name_claim.h"
#include "controld/tunnels/mapping_columns.h"
#include "controld/tunnels/port.h"

enum { SQL_ORPHAN, SQL_OF_USER, SQL_OF_TENANT };
static const char *const sql[] = {
	[SQL_ORPHAN] =
		"SELECT " MAPPING_COLUMNS " FROM " MAPPING_FROM
		"WHERE m.target_client_id IN (SELECT id FROM clients WHERE "
		"status = 'deleting') OR m.source_client_id IN (SELECT id FROM clients WHERE status = 'deleting') "
		"LIMIT 1",
	[SQL_OF_USER] = "SELECT " MAPPING_COLUMNS " FROM " MAPPING_FROM "WHERE m.user_id = ?1 LIMIT 1",
	[SQL_OF_TENANT] = "SELECT " MAPPING_COLUMNS " FROM " MAPPING_FROM "WHERE m.tenant_id = ?1 LIMIT 1",
};
const struct sql_table mapping_change_sql = { "mapping_change", sql, ARRAY_LEN(sql) };

int mapping_log(struct db *tx, struct mapping *m, const char *op, const char *fields, const struct mapping_actor *by,
	struct err *e)
{
	struct buf object;
	int rc;

	buf_init(&object, MAPPING_OBJECT_MAX);
	mapping_print(&object, NULL, m, NULL);
	const struct change c = { .time_ms = by->now_ms,
		.tenant = m->tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "mapping",
		.op = op,
		.subject = m->id,
		.fields = fields,
		.object = buf_cstr(&object) };
	rc = changes_append(tx, &c, &m->seq, e);
	buf_free(&object);
	return rc;
}

/* Logs the client when as many of its mappings are in the group now as make the difference. */
static int tell_client(struct db *tx, const struct mapping *m, int64_t client_id, int64_t makes,
	const struct mapping_actor *by, struct err *e)
{
	const struct client_actor actor = { by->name, by->request_id, by->now_ms };
	struct mapping_counts n;

	if (client_id == 0)
		return 0;
	if (mapping_count_of_client(tx, client_id, m->group_id, &n, e) != 0)
		return -1;
	return n.all == makes ? client_moved(tx, client_id, &actor, e) : 0;
}

static int tell_clients(
	struct db *tx, const struct mapping *m, int64_t makes, const struct mapping_actor *by, struct err *e)
{
	const int64_t target = mapping_client(m), source = mapping_source(m);

	if (tell_client(tx, m, target, makes, by, e) != 0)
		return -1;
	return source != target ? tell_client(tx, m, source, makes, by, e) : 0;
}

int mapping_came(struct db *tx, const struct mapping *m, const struct mapping_actor *by, struct err *e)
{
	if (traffic_serve(tx, m->id, m->tenant_id, mapping_client(m), mapping_source(m), e) != 0)
		return -1;
	return tell_clients(tx, m, 1, by, e);
}

int mapping_left(struct db *tx, const struct mapping *m, const struct mapping_actor *by, struct err *e)
{
	return tell_clients(tx, m, 0, by, e);
}

int mapping_moved(struct db *tx, const struct mapping *before, const struct mapping *m, const struct mapping_actor *by,
	struct err *e)
{
	if (str_eq(before->conf.target_client, m->conf.target_client) &&
		str_eq(before->conf.source_client, m->conf.source_client) && str_eq(before->group_id, m->group_id))
		return 0;
	if (mapping_left(tx, before, by, e) != 0)
		return -1;
	return mapping_came(tx, m, by, e);
}

/* The relays have the object and with it what its on_delete says, so nothing of it needs to stay here. */
int mapping_remove(struct db *tx, struct mapping *m, const struct mapping_actor *by, struct err *e)
{
	if (port_release(tx, m->id, e) != 0 || host_name_release(tx, m->id, e) != 0 ||
		mapping_log(tx, m, "delete", "", by, e) != 0)
		return -1;
	if (mapping_delete(tx, m->id, e) != 0)
		return -1;
	return mapping_left(tx, m, by, e);
}

/* ---- those that go with their owner or their client --------------------------------------------------------------- */

/* 1 and *m, 0 when there is none left. */
static int load_first(struct query *q, struct mapping *m, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1 && mapping_load(m, q, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

static int find_orphan(struct db *tx, struct mapping *m, struct err *e)
{
	struct query *q;

	return db_query(tx, &q, sql[SQL_ORPHAN], e) != 0 ? -1 : load_first(q, m, e);
}

static int find_owned(struct db *tx, const struct erase_owner *o, struct mapping *m, struct err *e)
{
	struct query *q;

	if (db_query(tx, &q, sql[o->tenant ? SQL_OF_TENANT : SQL_OF_USER], e, bind_s(o->id)) != 0)
		return -1;
	return load_first(q, m, e);
}

int mapping_find_orphans(struct db *db, bool *any, struct err *e)
{
	struct mapping m;
	const int rc = find_orphan(db, &m, e);

	if (rc == 1)
		mapping_fini(&m);
	*any = rc == 1;
	return rc < 0 ? -1 : 0;
}

/* Orphans, or what this owner has; at most limit. */
static int remove_some(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t now_ms, unsigned *n, struct err *e)
{
	const struct mapping_actor by = { "system", "", now_ms };
	struct mapping m;
	int rc = 0;

	for (*n = 0; *n < limit; (*n)++) {
		rc = o != NULL ? find_owned(tx, o, &m, e) : find_orphan(tx, &m, e);
		if (rc != 1)
			break;
		rc = mapping_remove(tx, &m, &by, e);
		mapping_fini(&m);
		if (rc != 0)
			break;
	}
	return rc < 0 ? -1 : 0;
}

int mapping_remove_orphans(struct db *tx, unsigned limit, int64_t now_ms, unsigned *n, struct err *e)
{
	return remove_some(tx, NULL, limit, now_ms, n, e);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	return remove_some(tx, o, limit, o->now_ms, n, e);
}

const struct erasure mapping_erasure = { "mapping", "mappings,ports,host_names", erase };
