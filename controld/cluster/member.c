#include "controld/cluster/member.h"

#include "common/base/err.h"
#include "common/base/str.h"

enum { SQL_INSERT, SQL_BEAT, SQL_DELETE, SQL_PRUNE, SQL_LIST };
static const char *const sql[] = {
	[SQL_INSERT] = "INSERT INTO controlds(id, tenant_id, name, version, address, line_address, schema_number, "
		       "started_ms, seen_ms, beat, seq) VALUES (?1, '', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQL_BEAT] = "UPDATE controlds SET seen_ms = ?2, beat = ?3, seq = ?4 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM controlds WHERE id = ?1",
	[SQL_PRUNE] = "DELETE FROM controlds WHERE seen_ms < ?1",
	[SQL_LIST] = "SELECT id, name, version, address, line_address, schema_number, started_ms, seen_ms, beat, seq "
		     "FROM controlds ORDER BY id",
};
const struct sql_table member_sql = { "member", sql, ARRAY_LEN(sql) };

int member_insert(struct db *tx, const struct member *m, struct err *e)
{
	return db_exec(tx, sql[SQL_INSERT], e, bind_s(m->id), bind_s(m->name), bind_s(m->version), bind_s(m->address),
		       bind_s(m->line_address), bind_i(m->schema), bind_i(m->started_ms), bind_i(m->seen_ms),
		       bind_i(m->beat), bind_i(m->seq)) < 0
	               ? -1
	               : 0;
}

int member_beat(struct db *tx, const struct member *m, struct err *e)
{
	return db_exec(tx, sql[SQL_BEAT], e, bind_s(m->id), bind_i(m->seen_ms), bind_i(m->beat), bind_i(m->seq));
}

int member_delete(struct db *tx, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE], e, bind_s(id)) < 0 ? -1 : 0;
}

int member_prune(struct db *tx, int64_t before_ms, struct err *e)
{
	return db_exec(tx, sql[SQL_PRUNE], e, bind_i(before_ms)) < 0 ? -1 : 0;
}

static void load(struct member *m, struct query *q)
{
	*m = (struct member){
		.schema = query_int(q, 5),
		.started_ms = query_int(q, 6),
		.seen_ms = query_int(q, 7),
		.beat = query_int(q, 8),
		.seq = query_int(q, 9),
	};
	(void)str_copy(m->id, sizeof m->id, query_text(q, 0));
	(void)str_copy(m->name, sizeof m->name, query_text(q, 1));
	(void)str_copy(m->version, sizeof m->version, query_text(q, 2));
	(void)str_copy(m->address, sizeof m->address, query_text(q, 3));
	(void)str_copy(m->line_address, sizeof m->line_address, query_text(q, 4));
}

int member_list(struct db *db, member_fn fn, void *arg, struct err *e)
{
	struct member m;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		load(&m, q);
		if (fn(&m, arg) != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}
