#include "controld/clients/client_erase.h"

#include "controld/clients/client_seen.h"
#include "controld/clients/client_session.h"
#include "controld/clients/room.h"
#include "controld/store/erasure.h"

/*
 * First those that have to be switched off, then those that nothing holds any more. Nothing is logged for the end of a
 * row: that the client went is in the log already.
 */
enum { SQL_CONDEMNED, SQL_LEFT, SQL_OF_USER, SQL_OF_TENANT };
static const char *const sql[] = {
	[SQL_CONDEMNED] =
		"SELECT " CLIENT_COLUMNS " FROM clients c WHERE c.status <> 'deleting' AND c.type = 'anonymous' AND "
		"c.expires_ms > 0 AND c.expires_ms <= ?1 LIMIT 1",
	[SQL_LEFT] =
		"SELECT " CLIENT_COLUMNS " FROM clients c WHERE c.status = 'deleting' AND NOT EXISTS (SELECT 1 FROM "
		"mappings m WHERE m.target_client_id = c.id) AND NOT EXISTS (SELECT 1 FROM mappings m WHERE "
		"m.source_client_id = c.id) LIMIT 1",
	[SQL_OF_USER] =
		"SELECT " CLIENT_COLUMNS " FROM clients c WHERE c.user_id = ?1 AND c.status <> 'deleting' LIMIT 1",
	[SQL_OF_TENANT] =
		"SELECT " CLIENT_COLUMNS " FROM clients c WHERE c.tenant_id = ?1 AND c.status <> 'deleting' LIMIT 1",
};
const struct sql_table client_erase_sql = { "client_erase", sql, ARRAY_LEN(sql) };

int client_erase_begin(struct db *tx, struct client *c, const struct client_actor *by, struct err *e)
{
	c->deleting = true;
	c->conf.n_keys = 0;
	c->version++;
	c->updated_ms = by->now_ms;
	if (client_log(tx, c, "delete", "", by, e) != 0)
		return -1;
	return client_update(tx, c, e);
}

/* 1 and *c, 0 when there is none. */
static int find(struct db *db, const char *statement, int64_t now_ms, struct client *c, struct err *e)
{
	struct query *q;
	int rc;

	if (statement == sql[SQL_CONDEMNED])
		rc = db_query(db, &q, statement, e, bind_i(now_ms));
	else
		rc = db_query(db, &q, statement, e);
	if (rc != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && client_load(c, q, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

int client_erase_due(struct db *db, int64_t now_ms, bool *any, struct err *e)
{
	struct client c;
	int rc = find(db, sql[SQL_CONDEMNED], now_ms, &c, e);

	if (rc == 0)
		rc = find(db, sql[SQL_LEFT], now_ms, &c, e);
	*any = rc == 1;
	return MIN(rc, 0);
}

static int erase_one(struct db *tx, int64_t now_ms, struct err *e)
{
	const struct client_actor by = { "system", "", now_ms };
	struct client c;
	int rc = find(tx, sql[SQL_CONDEMNED], now_ms, &c, e);

	if (rc == 1)
		return client_erase_begin(tx, &c, &by, e) == 0 ? 1 : -1;
	if (rc == 0)
		rc = find(tx, sql[SQL_LEFT], now_ms, &c, e);
	if (rc == 1 && (client_seen_delete(tx, c.id, e) != 0 || client_session_end_all(tx, c.id, e) < 0 ||
			       client_delete(tx, c.id, e) != 0))
		rc = -1;
	return rc;
}

int client_erase_some(struct db *tx, unsigned limit, int64_t now_ms, unsigned *n, struct err *e)
{
	int rc = 0;

	for (*n = 0; *n < limit && (rc = erase_one(tx, now_ms, e)) == 1; ++*n)
		;
	return MIN(rc, 0);
}

/* ---- of a user or tenant that goes -------------------------------------------------------------------------------- */

/* 1 and *c, 0 when there is none. */
static int find_owned(struct db *tx, const struct erase_owner *o, struct client *c, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[o->tenant ? SQL_OF_TENANT : SQL_OF_USER], e, bind_s(o->id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && client_load(c, q, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

/* The rows go when no mapping names them any more, whatever became of their owner. */
static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	const struct client_actor by = { "system", "", o->now_ms };
	struct client c;
	int rc = 0;

	(void)position;
	for (*n = 0; *n < limit && (rc = find_owned(tx, o, &c, e)) == 1; ++*n)
		if (client_erase_begin(tx, &c, &by, e) != 0)
			return -1;
	return MIN(rc, 0);
}

const struct erasure client_erasure = { "client", "clients,client_seen,client_sessions", erase };
