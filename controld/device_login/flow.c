#include "controld/device_login/flow.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/erasure.h"

#include <string.h>

enum { SQL_INSERT, SQL_GET, SQL_TURN, SQL_SLOWER, SQL_DONE, SQL_DELETE, SQL_PRUNE, SQL_ERASE };
static const char *const sql[] = {
	[SQL_INSERT] = "INSERT INTO device_flows (hash, tenant_id, environment, interval_ms, next_poll_ms, account, "
		       "expires_ms) "
		       "VALUES (?1, ?2, ?3, ?4, 0, '', ?5)",
	[SQL_GET] =
		"SELECT tenant_id, environment, interval_ms, next_poll_ms, account, expires_ms FROM device_flows WHERE "
		"hash = ?1 AND expires_ms > ?2",
	/* of two that ask at once one has his turn */
	[SQL_TURN] = "UPDATE device_flows SET next_poll_ms = ?3 WHERE hash = ?1 AND next_poll_ms = ?2",
	[SQL_SLOWER] = "UPDATE device_flows SET interval_ms = interval_ms + ?2, next_poll_ms = next_poll_ms + ?2 WHERE "
		       "hash = ?1",
	[SQL_DONE] = "UPDATE device_flows SET account = ?2 WHERE hash = ?1",
	[SQL_DELETE] = "DELETE FROM device_flows WHERE hash = ?1",
	[SQL_PRUNE] = "DELETE FROM device_flows WHERE expires_ms <= ?1",
	[SQL_ERASE] =
		"DELETE FROM device_flows WHERE hash IN (SELECT hash FROM device_flows WHERE tenant_id = ?1 LIMIT ?2)",
};
const struct sql_table flow_sql = { "device flow", sql, ARRAY_LEN(sql) };

void token_hash(char dst[TOKEN_HASH_SIZE], const char *token)
{
	uint8_t digest[SHA256_SIZE];

	seal_sha256(token, strlen(token), digest);
	str_hex(dst, digest, sizeof digest);
}

int flow_insert(struct db *tx, const struct flow *f, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_INSERT], e, bind_s(f->hash), bind_s(f->tenant_id), bind_s(f->environment),
			   bind_i(f->interval_ms), bind_i(f->expires_ms)),
		0);
}

int flow_get(struct db *db, const char *hash, int64_t now_ms, struct flow *out, struct err *e)
{
	struct query *q;
	int rc;

	memset(out, 0, sizeof *out);
	(void)str_copy(out->hash, sizeof out->hash, hash);
	if (db_query(db, &q, sql[SQL_GET], e, bind_s(hash), bind_i(now_ms)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		(void)str_copy(out->tenant_id, sizeof out->tenant_id, query_text(q, 0));
		(void)str_copy(out->environment, sizeof out->environment, query_text(q, 1));
		out->interval_ms = query_int(q, 2);
		out->next_poll_ms = query_int(q, 3);
		(void)str_copy(out->account, sizeof out->account, query_text(q, 4));
		out->expires_ms = query_int(q, 5);
	}
	query_end(q);
	return rc;
}

int flow_take_turn(struct db *tx, struct flow *f, int64_t now_ms, struct err *e)
{
	int n;

	if (now_ms < f->next_poll_ms)
		return MIN(flow_slow_down(tx, f->hash, e), 0);
	n = db_exec(tx, sql[SQL_TURN], e, bind_s(f->hash), bind_i(f->next_poll_ms), bind_i(now_ms + f->interval_ms));
	f->next_poll_ms = now_ms + f->interval_ms;
	return n;
}

int flow_slow_down(struct db *tx, const char *hash, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_SLOWER], e, bind_s(hash), bind_i(FLOW_SLOWER_MS)), 0);
}

int flow_done(struct db *tx, const char *hash, const char *account, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DONE], e, bind_s(hash), bind_s(account)), 0);
}

int flow_delete(struct db *tx, const char *hash, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_s(hash)), 0);
}

int flow_prune(struct db *tx, int64_t now_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_PRUNE], e, bind_i(now_ms)), 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	*n = 0;
	return o->tenant ? erase_by(tx, NULL, sql[SQL_ERASE], o, limit, n, e) : 0; /* they are the tenant's */
}

const struct erasure flow_erasure = { "device flow", "device_flows", erase };
