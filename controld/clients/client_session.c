#include "controld/clients/client_session.h"

#include "common/base/str.h"

enum { SQL_INSERT, SQL_TRIM, SQL_FIND, SQL_ADVANCE, SQL_END, SQL_END_ALL, SQL_EXPIRED };
static const char *const sql[] = {
	[SQL_INSERT] =
		"INSERT INTO client_sessions (id, tenant_id, client_id, used, created_ms, expires_ms) VALUES (?1, "
		"?2, ?3, ?4, ?5, ?6)",
	/* ids sort by the time they were made */
	[SQL_TRIM] = "DELETE FROM client_sessions WHERE client_id = ?1 AND id NOT IN (SELECT id FROM client_sessions "
		     "WHERE client_id = ?1 ORDER BY id DESC LIMIT ?2)",
	[SQL_FIND] = "SELECT id, tenant_id, client_id, used, created_ms, expires_ms FROM client_sessions WHERE id = ?1 "
		     "AND expires_ms > ?2",
	[SQL_ADVANCE] = "UPDATE client_sessions SET used = ?2, expires_ms = ?3 WHERE id = ?1",
	[SQL_END] = "DELETE FROM client_sessions WHERE id = ?1",
	[SQL_END_ALL] = "DELETE FROM client_sessions WHERE client_id = ?1",
	[SQL_EXPIRED] =
		"DELETE FROM client_sessions WHERE id IN (SELECT id FROM client_sessions WHERE expires_ms <= ?1 "
		"LIMIT ?2)",
};
const struct sql_table client_session_sql = { "client_session", sql, ARRAY_LEN(sql) };

int client_session_insert(struct db *tx, const struct client_session *s, struct err *e)
{
	if (db_exec(tx, sql[SQL_INSERT], e, bind_s(s->id), bind_s(s->tenant_id), bind_i(s->client_id), bind_i(s->used),
		    bind_i(s->created_ms), bind_i(s->expires_ms)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_TRIM], e, bind_i(s->client_id), bind_i(CLIENT_SESSIONS_MAX)), 0);
}

int client_session_find(struct db *db, const char *id, int64_t now_ms, struct client_session *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(id), bind_i(now_ms)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		str_copy(out->id, sizeof out->id, query_text(q, 0));
		str_copy(out->tenant_id, sizeof out->tenant_id, query_text(q, 1));
		out->client_id = query_int(q, 2);
		out->used = query_int(q, 3);
		out->created_ms = query_int(q, 4);
		out->expires_ms = query_int(q, 5);
	}
	query_end(q);
	return rc;
}

int client_session_advance(struct db *tx, const struct client_session *s, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_ADVANCE], e, bind_s(s->id), bind_i(s->used), bind_i(s->expires_ms)), 0);
}

int client_session_end(struct db *tx, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_END], e, bind_s(id));
}

int client_session_end_all(struct db *tx, int64_t client_id, struct err *e)
{
	return db_exec(tx, sql[SQL_END_ALL], e, bind_i(client_id));
}

int client_session_delete_expired(struct db *tx, int64_t now_ms, unsigned limit, struct err *e)
{
	return db_exec(tx, sql[SQL_EXPIRED], e, bind_i(now_ms), bind_i(limit));
}
