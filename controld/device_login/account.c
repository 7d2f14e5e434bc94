#include "controld/device_login/account.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/device_login/device_login.h"
#include "controld/device_login/token_seal.h"
#include "controld/store/erasure.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"

#include <string.h>

#define COLUMNS                                                                                                    \
	"SELECT id, tenant_id, account_id, environment, refresh_hash, access_expires_ms, refresh_expires_ms, "     \
	"profile_uuid, profile_name, status, due_ms, failures, hold_until_ms, take, version, updated_ms, access, " \
	"refresh FROM device_accounts "
#define COL_ACCESS      16
#define COL_REFRESH     17
#define CONTEXT_ACCESS  "device-access:"
#define CONTEXT_REFRESH "device-refresh:"

enum {
	SQL_FIND,
	SQL_INSERT,
	SQL_REPLACE,
	SQL_OF_TENANT,
	SQL_GET,
	SQL_BY_REFRESH,
	SQL_HOLD,
	SQL_RENEW,
	SQL_FAILED,
	SQL_SELECT,
	SQL_DUE,
	SQL_ERASE,
	SQL_STALE_ACCESS,
	SQL_RESEAL_ACCESS,
	SQL_STALE_REFRESH,
	SQL_RESEAL_REFRESH,
};
static const char stale_access[] =
	"SELECT id, access FROM device_accounts WHERE substr(access, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal_access[] = "UPDATE device_accounts SET access = ?2 WHERE id = ?1 AND access = ?3";
static const char stale_refresh[] =
	"SELECT id, refresh FROM device_accounts WHERE substr(refresh, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal_refresh[] = "UPDATE device_accounts SET refresh = ?2 WHERE id = ?1 AND refresh = ?3";
static const char *const sql[] = {
	[SQL_FIND] = "SELECT id FROM device_accounts WHERE tenant_id = ?1 AND account_id = ?2",
	[SQL_INSERT] =
		"INSERT INTO device_accounts (id, tenant_id, account_id, environment, access, refresh, refresh_hash, "
		"before_hash, access_expires_ms, refresh_expires_ms, profile_uuid, profile_name, status, due_ms, "
		"failures, error, hold_until_ms, take, version, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, "
		"?6, "
		"?7, '', ?8, ?9, '', '', 'active', ?10, 0, '', 0, 0, 1, ?11, ?11)",
	[SQL_REPLACE] =
		"UPDATE device_accounts SET environment = ?2, access = ?3, refresh = ?4, refresh_hash = ?5, "
		"before_hash "
		"= '', access_expires_ms = ?6, refresh_expires_ms = ?7, status = 'active', due_ms = ?8, failures = 0, "
		"error = '', hold_until_ms = 0, take = take + 1, version = version + 1, updated_ms = ?9 WHERE id = ?1",
	[SQL_OF_TENANT] = COLUMNS "WHERE tenant_id = ?1 AND account_id = ?2",
	[SQL_GET] = COLUMNS "WHERE id = ?1",
	[SQL_BY_REFRESH] = COLUMNS "WHERE refresh_hash = ?1 OR (before_hash = ?1 AND updated_ms >= ?2) LIMIT 1",
	[SQL_HOLD] =
		"UPDATE device_accounts SET hold_until_ms = ?4, take = take + 1 WHERE id = ?1 AND version = ?2 AND "
		"hold_until_ms <= ?3",
	[SQL_RENEW] =
		"UPDATE device_accounts SET access = ?3, refresh = ?4, before_hash = CASE WHEN refresh_hash = ?5 THEN "
		"before_hash ELSE refresh_hash END, refresh_hash = ?5, access_expires_ms = ?6, refresh_expires_ms = "
		"?7, "
		"due_ms = ?8, status = 'active', failures = 0, error = '', hold_until_ms = 0, version = version + 1, "
		"updated_ms = ?9 WHERE id = ?1 AND take = ?2",
	[SQL_FAILED] = "UPDATE device_accounts SET status = ?3, due_ms = ?4, failures = failures + 1, error = ?5, "
		       "hold_until_ms = 0 WHERE id = ?1 AND take = ?2",
	[SQL_SELECT] = "UPDATE device_accounts SET profile_uuid = ?2, profile_name = ?3 WHERE id = ?1",
	[SQL_DUE] = "SELECT id FROM device_accounts WHERE status = 'active' AND due_ms <= ?1 AND hold_until_ms <= ?1 "
		    "ORDER BY "
		    "due_ms LIMIT 1",
	[SQL_ERASE] = "DELETE FROM device_accounts WHERE id IN (SELECT id FROM device_accounts WHERE tenant_id = ?1 "
		      "LIMIT ?2)",
	[SQL_STALE_ACCESS] = stale_access,
	[SQL_RESEAL_ACCESS] = reseal_access,
	[SQL_STALE_REFRESH] = stale_refresh,
	[SQL_RESEAL_REFRESH] = reseal_refresh,
};
const struct sql_table account_sql = { "device account", sql, ARRAY_LEN(sql) };
const struct sealed_column account_sealed[ACCOUNT_SEALED_N] = {
	{ "device_accounts.access", CONTEXT_ACCESS, false, stale_access, reseal_access },
	{ "device_accounts.refresh", CONTEXT_REFRESH, false, stale_refresh, reseal_refresh },
};

void account_wipe(struct account *a)
{
	seal_wipe(a, sizeof *a);
}

/* ---- what is sealed ---------------------------------------------------------------------------------------------- */

struct sealed {
	struct buf access, refresh;
};

static int seal(struct db *tx, const struct account *a, struct sealed *s, struct err *e)
{
	memset(s, 0, sizeof *s);
	if (token_seal(tx, &s->access, CONTEXT_ACCESS, a->id, a->access, e) != 0)
		return -1;
	return token_seal(tx, &s->refresh, CONTEXT_REFRESH, a->id, a->refresh, e);
}

static void sealed_fini(struct sealed *s)
{
	buf_free(&s->access);
	buf_free(&s->refresh);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static int load(struct db *db, struct query *q, struct account *a, struct err *e)
{
	int c = 0;

	memset(a, 0, sizeof *a);
	(void)str_copy(a->id, sizeof a->id, query_text(q, c++));
	(void)str_copy(a->tenant_id, sizeof a->tenant_id, query_text(q, c++));
	(void)str_copy(a->account_id, sizeof a->account_id, query_text(q, c++));
	(void)str_copy(a->environment, sizeof a->environment, query_text(q, c++));
	(void)str_copy(a->refresh_hash, sizeof a->refresh_hash, query_text(q, c++));
	a->access_expires_ms = query_int(q, c++);
	a->refresh_expires_ms = query_int(q, c++);
	(void)str_copy(a->profile_uuid, sizeof a->profile_uuid, query_text(q, c++));
	(void)str_copy(a->profile_name, sizeof a->profile_name, query_text(q, c++));
	(void)str_copy(a->status, sizeof a->status, query_text(q, c++));
	a->due_ms = query_int(q, c++);
	a->failures = query_int(q, c++);
	a->hold_until_ms = query_int(q, c++);
	a->take = query_int(q, c++);
	a->version = query_int(q, c++);
	a->updated_ms = query_int(q, c);
	if (token_unseal(db, q, COL_ACCESS, CONTEXT_ACCESS, a->id, a->access, e) != 0)
		return -1;
	return token_unseal(db, q, COL_REFRESH, CONTEXT_REFRESH, a->id, a->refresh, e);
}

/* The one row of a query that was begun. */
static int load_one(struct db *db, struct query *q, struct account *out, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1)
		rc = load(db, q, out, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOT_FOUND, NULL, "there is no such account; a device login makes one");
	query_end(q);
	return rc;
}

int account_of_tenant(struct db *db, const char *tenant_id, const char *account_id, struct account *out, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_OF_TENANT], e, bind_s(tenant_id), bind_s(account_id)) != 0)
		return -1;
	return load_one(db, q, out, e);
}

int account_get(struct db *db, const char *id, struct account *out, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(id)) != 0)
		return -1;
	return load_one(db, q, out, e);
}

int account_by_refresh(struct db *db, const char *hash, int64_t since_ms, struct account *out, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_BY_REFRESH], e, bind_s(hash), bind_i(since_ms)) != 0)
		return -1;
	return load_one(db, q, out, e);
}

static int find(struct db *tx, struct account *a, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_FIND], e, bind_s(a->tenant_id), bind_s(a->account_id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		(void)str_copy(a->id, sizeof a->id, query_text(q, 0));
	query_end(q);
	return rc;
}

int account_put(struct db *tx, struct account *a, int64_t now_ms, struct err *e)
{
	struct sealed s = { .access = { .data = NULL } };
	int there = find(tx, a, e), rc = -1;

	if (there < 0)
		return -1;
	if (there == 0)
		rand_id(a->id, "dac");
	token_hash(a->refresh_hash, a->refresh);
	if (seal(tx, a, &s, e) == 0) {
		if (there == 0)
			rc = db_exec(tx, sql[SQL_INSERT], e, bind_s(a->id), bind_s(a->tenant_id), bind_s(a->account_id),
				bind_s(a->environment), bind_b(s.access.data, s.access.len),
				bind_b(s.refresh.data, s.refresh.len), bind_s(a->refresh_hash),
				bind_i(a->access_expires_ms), bind_i(a->refresh_expires_ms), bind_i(a->due_ms),
				bind_i(now_ms));
		else
			rc = db_exec(tx, sql[SQL_REPLACE], e, bind_s(a->id), bind_s(a->environment),
				bind_b(s.access.data, s.access.len), bind_b(s.refresh.data, s.refresh.len),
				bind_s(a->refresh_hash), bind_i(a->access_expires_ms), bind_i(a->refresh_expires_ms),
				bind_i(a->due_ms), bind_i(now_ms));
	}
	sealed_fini(&s);
	return MIN(rc, 0);
}

int account_hold(struct db *tx, struct account *a, int64_t now_ms, int64_t until_ms, struct err *e)
{
	const int n =
		db_exec(tx, sql[SQL_HOLD], e, bind_s(a->id), bind_i(a->version), bind_i(now_ms), bind_i(until_ms));

	if (n == 1)
		return account_get(tx, a->id, a, e) != 0 ? -1 : 1;
	return n;
}

int account_renew(struct db *tx, struct account *a, int64_t now_ms, struct err *e)
{
	struct sealed s;
	int rc = seal(tx, a, &s, e);

	token_hash(a->refresh_hash, a->refresh);
	if (rc == 0)
		rc = db_exec(tx, sql[SQL_RENEW], e, bind_s(a->id), bind_i(a->take), bind_b(s.access.data, s.access.len),
			bind_b(s.refresh.data, s.refresh.len), bind_s(a->refresh_hash), bind_i(a->access_expires_ms),
			bind_i(a->refresh_expires_ms), bind_i(a->due_ms), bind_i(now_ms));
	sealed_fini(&s);
	return rc;
}

int account_failed(
	struct db *tx, const struct account *a, bool expired, int64_t due_ms, const char *error, struct err *e)
{
	return db_exec(tx, sql[SQL_FAILED], e, bind_s(a->id), bind_i(a->take), bind_s(expired ? "expired" : "active"),
		bind_i(due_ms), bind_s(error));
}

int account_select(struct db *tx, const struct account *a, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_SELECT], e, bind_s(a->id), bind_s(a->profile_uuid), bind_s(a->profile_name)), 0);
}

int account_due(struct db *db, int64_t now_ms, char id[RAND_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_DUE], e, bind_i(now_ms)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		(void)str_copy(id, RAND_ID_SIZE, query_text(q, 0));
	query_end(q);
	return rc;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	*n = 0;
	return o->tenant ? erase_by(tx, NULL, sql[SQL_ERASE], o, limit, n, e) : 0; /* they are the tenant's */
}

const struct erasure account_erasure = { "device account", "device_accounts", erase };
