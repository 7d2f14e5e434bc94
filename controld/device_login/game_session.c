#include "controld/device_login/game_session.h"

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

#define COLUMNS                                                                                                  \
	"SELECT id, tenant_id, account, profile_uuid, expires_ms, due_ms, failures, version, session, identity " \
	"FROM device_sessions "
#define CONTEXT_SESSION  "device-session:"
#define CONTEXT_IDENTITY "device-identity:"

enum {
	SQL_INSERT,
	SQL_RENEW,
	SQL_FAILED,
	SQL_END,
	SQL_FIND,
	SQL_DUE,
	SQL_PRUNE,
	SQL_ERASE,
	SQL_STALE_SESSION,
	SQL_RESEAL_SESSION,
	SQL_STALE_IDENTITY,
	SQL_RESEAL_IDENTITY,
};
static const char stale_session[] =
	"SELECT id, session FROM device_sessions WHERE substr(session, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal_session[] = "UPDATE device_sessions SET session = ?2 WHERE id = ?1 AND session = ?3";
static const char stale_identity[] =
	"SELECT id, identity FROM device_sessions WHERE substr(identity, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal_identity[] = "UPDATE device_sessions SET identity = ?2 WHERE id = ?1 AND identity = ?3";
static const char *const sql[] = {
	[SQL_INSERT] = "INSERT INTO device_sessions (id, tenant_id, account, profile_uuid, session, identity, status, "
		       "expires_ms, "
		       "due_ms, failures, error, version, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
		       "'active', ?7, "
		       "?8, 0, '', 1, ?9, ?9)",
	[SQL_RENEW] = "UPDATE device_sessions SET session = ?3, identity = ?4, expires_ms = ?5, due_ms = ?6, failures "
		      "= 0, error = "
		      "'', version = version + 1, updated_ms = ?7 WHERE id = ?1 AND version = ?2 AND status = 'active'",
	[SQL_FAILED] = "UPDATE device_sessions SET due_ms = ?3, failures = failures + 1, error = ?4 WHERE id = ?1 AND "
		       "version = ?2",
	[SQL_END] = "UPDATE device_sessions SET status = 'ended', version = version + 1 WHERE id = ?1",
	[SQL_FIND] = COLUMNS
	"WHERE account = ?1 AND status = 'active' AND (?2 = '' OR id = ?2) AND (?3 = '' OR profile_uuid = "
	"?3) ORDER BY id DESC LIMIT 1",
	[SQL_DUE] = COLUMNS "WHERE status = 'active' AND due_ms <= ?1 ORDER BY due_ms LIMIT 1",
	[SQL_PRUNE] = "DELETE FROM device_sessions WHERE expires_ms < ?1",
	[SQL_ERASE] = "DELETE FROM device_sessions WHERE id IN (SELECT id FROM device_sessions WHERE tenant_id = ?1 "
		      "LIMIT ?2)",
	[SQL_STALE_SESSION] = stale_session,
	[SQL_RESEAL_SESSION] = reseal_session,
	[SQL_STALE_IDENTITY] = stale_identity,
	[SQL_RESEAL_IDENTITY] = reseal_identity,
};
const struct sql_table game_session_sql = { "game session", sql, ARRAY_LEN(sql) };
const struct sealed_column game_session_sealed[GAME_SESSION_SEALED_N] = {
	{ "device_sessions.session", CONTEXT_SESSION, false, stale_session, reseal_session },
	{ "device_sessions.identity", CONTEXT_IDENTITY, false, stale_identity, reseal_identity },
};

void game_session_wipe(struct game_session *s)
{
	seal_wipe(s, sizeof *s);
}

/* ---- what is sealed ---------------------------------------------------------------------------------------------- */

struct sealed {
	struct buf session, identity;
};

static int seal(struct db *tx, const struct game_session *g, struct sealed *s, struct err *e)
{
	memset(s, 0, sizeof *s);
	if (token_seal(tx, &s->session, CONTEXT_SESSION, g->id, g->session, e) != 0)
		return -1;
	return token_seal(tx, &s->identity, CONTEXT_IDENTITY, g->id, g->identity, e);
}

static void sealed_fini(struct sealed *s)
{
	buf_free(&s->session);
	buf_free(&s->identity);
}

static int load(struct db *db, struct query *q, struct game_session *s, struct err *e)
{
	memset(s, 0, sizeof *s);
	(void)str_copy(s->id, sizeof s->id, query_text(q, 0));
	(void)str_copy(s->tenant_id, sizeof s->tenant_id, query_text(q, 1));
	(void)str_copy(s->account, sizeof s->account, query_text(q, 2));
	(void)str_copy(s->profile_uuid, sizeof s->profile_uuid, query_text(q, 3));
	s->expires_ms = query_int(q, 4);
	s->due_ms = query_int(q, 5);
	s->failures = query_int(q, 6);
	s->version = query_int(q, 7);
	if (token_unseal(db, q, 8, CONTEXT_SESSION, s->id, s->session, e) != 0)
		return -1;
	return token_unseal(db, q, 9, CONTEXT_IDENTITY, s->id, s->identity, e);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int game_session_insert(struct db *tx, struct game_session *s, int64_t now_ms, struct err *e)
{
	struct sealed sealed;
	int rc;

	rand_id(s->id, "dgs");
	s->version = 1;
	if ((rc = seal(tx, s, &sealed, e)) == 0)
		rc = db_exec(tx, sql[SQL_INSERT], e, bind_s(s->id), bind_s(s->tenant_id), bind_s(s->account),
			bind_s(s->profile_uuid), bind_b(sealed.session.data, sealed.session.len),
			bind_b(sealed.identity.data, sealed.identity.len), bind_i(s->expires_ms), bind_i(s->due_ms),
			bind_i(now_ms));
	sealed_fini(&sealed);
	return MIN(rc, 0);
}

int game_session_renew(struct db *tx, struct game_session *s, int64_t now_ms, struct err *e)
{
	struct sealed sealed;
	int rc = seal(tx, s, &sealed, e);

	if (rc == 0)
		rc = db_exec(tx, sql[SQL_RENEW], e, bind_s(s->id), bind_i(s->version),
			bind_b(sealed.session.data, sealed.session.len),
			bind_b(sealed.identity.data, sealed.identity.len), bind_i(s->expires_ms), bind_i(s->due_ms),
			bind_i(now_ms));
	sealed_fini(&sealed);
	return rc;
}

int game_session_failed(struct db *tx, const struct game_session *s, int64_t due_ms, const char *error, struct err *e)
{
	return db_exec(tx, sql[SQL_FAILED], e, bind_s(s->id), bind_i(s->version), bind_i(due_ms), bind_s(error));
}

int game_session_end(struct db *tx, const char *id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_END], e, bind_s(id)), 0);
}

int game_session_find(struct db *db, const char *account, const char *id, const char *profile_uuid,
	struct game_session *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(account), bind_s(id), bind_s(profile_uuid)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		rc = load(db, q, out, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOT_FOUND, NULL, "the account has no such game session");
	query_end(q);
	return rc;
}

int game_session_due(struct db *db, int64_t now_ms, struct game_session *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_DUE], e, bind_i(now_ms)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1 && load(db, q, out, e) != 0)
		rc = -1;
	query_end(q);
	return rc;
}

int game_session_prune(struct db *tx, int64_t before_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_PRUNE], e, bind_i(before_ms)), 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	*n = 0;
	return o->tenant ? erase_by(tx, NULL, sql[SQL_ERASE], o, limit, n, e) : 0; /* they are the tenant's */
}

const struct erasure game_session_erasure = { "game session", "device_sessions", erase };
