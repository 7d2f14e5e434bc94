#include "controld/identity/session.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/erasure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	SQL_INSERT,
	SQL_FIND,
	SQL_ADVANCE,
	SQL_END,
	SQL_END_USER,
	SQL_END_TENANT,
	SQL_EXPIRED,
	SQL_CROWD,
	SQL_TRIM,
	SQL_IDENTITY,
	SQL_ERASE_USER,
	SQL_ERASE_TENANT
};
static const char *const sql[] = {
	[SQL_INSERT] = "INSERT INTO sessions (id, tenant_id, user_id, used, address, created_ms, expires_ms) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	/* by id alone: the id comes from a token that we made, and the tenant is what is looked for */
	[SQL_FIND] = "SELECT id, tenant_id, user_id, used, address, created_ms, expires_ms FROM sessions "
		     "WHERE id = ?1 AND expires_ms > ?2",
	[SQL_ADVANCE] = "UPDATE sessions SET used = ?3, expires_ms = ?4 WHERE id = ?1 AND tenant_id = ?2",
	[SQL_END] = "DELETE FROM sessions WHERE id = ?1 AND tenant_id = ?2",
	[SQL_END_USER] = "DELETE FROM sessions WHERE user_id = ?1 AND id <> ?2",
	[SQL_END_TENANT] = "DELETE FROM sessions WHERE tenant_id = ?1",
	[SQL_EXPIRED] = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_ms <= ?1 LIMIT ?2)",
	[SQL_CROWD] = "SELECT user_id FROM sessions GROUP BY user_id HAVING count(*) > ?1 LIMIT 1",
	/* ids sort by the time they were made */
	[SQL_TRIM] = "DELETE FROM sessions WHERE user_id = ?1 AND id NOT IN "
		     "(SELECT id FROM sessions WHERE user_id = ?1 ORDER BY id DESC LIMIT ?2)",
	[SQL_IDENTITY] = "SELECT s.user_id, s.tenant_id, m.role, u.system_admin FROM sessions s "
			 "JOIN users u ON u.id = s.user_id AND u.status = 'active' "
			 "JOIN memberships m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id "
			 "JOIN tenants t ON t.id = s.tenant_id AND t.status = 'active' "
			 "WHERE s.id = ?1 AND s.tenant_id = ?2 AND s.expires_ms > ?3",
	[SQL_ERASE_USER] = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = ?1 LIMIT ?2)",
	[SQL_ERASE_TENANT] = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE tenant_id = ?1 LIMIT ?2)",
};
const struct sql_table session_sql = { "session", sql, ARRAY_LEN(sql) };

/* ---- refresh tokens ---------------------------------------------------------------------------------------------- */

enum session_verdict session_judge(int64_t used, int64_t presented)
{
	if (presented == used + 1)
		return SESSION_NEW;
	if (presented == used && presented >= 0)
		return SESSION_AGAIN;
	return presented < used && presented >= 0 ? SESSION_REUSED : SESSION_UNKNOWN;
}

/* base64url of HMAC(key, "<id>.<generation>"). */
static void session_mac(char dst[48], const uint8_t key[SHA256_SIZE], const char *signed_part, size_t n)
{
	uint8_t mac[SHA256_SIZE];

	seal_hmac_sha256(key, SHA256_SIZE, signed_part, n, mac);
	str_b64url(dst, mac, sizeof mac);
}

void session_token_print(
	char dst[SESSION_TOKEN_SIZE], const uint8_t key[SHA256_SIZE], const char *id, int64_t generation)
{
	char mac[48];
	int n = snprintf(dst, SESSION_TOKEN_SIZE, "%s.%" PRId64, id, generation);

	session_mac(mac, key, dst, (size_t)n);
	snprintf(dst + n, SESSION_TOKEN_SIZE - (size_t)n, ".%s", mac);
}

int session_token_parse(const char *token, const uint8_t key[SHA256_SIZE], char id[RAND_ID_SIZE], int64_t *generation)
{
	size_t n = strnlen(token, SESSION_TOKEN_SIZE);
	const char *dot1 = n < SESSION_TOKEN_SIZE ? strchr(token, '.') : NULL;
	const char *dot2 = dot1 != NULL ? strchr(dot1 + 1, '.') : NULL;
	char mac[48], number[24];
	size_t id_n, number_n;

	if (dot2 == NULL)
		return -1;
	session_mac(mac, key, token, (size_t)(dot2 - token));
	id_n = (size_t)(dot1 - token);
	number_n = (size_t)(dot2 - dot1 - 1);
	if (!str_eq_secret(mac, dot2 + 1) || id_n >= RAND_ID_SIZE || number_n >= sizeof number)
		return -1;
	memcpy(id, token, id_n);
	id[id_n] = '\0';
	memcpy(number, dot1 + 1, number_n);
	number[number_n] = '\0';
	return str_to_i64(number, 0, INT64_MAX - 1, generation);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int session_insert(struct db *tx, const struct session *s, struct err *e)
{
	return db_exec(tx, sql[SQL_INSERT], e, bind_s(s->id), bind_s(s->tenant_id), bind_s(s->user_id), bind_i(s->used),
		       bind_s(s->address), bind_i(s->created_ms), bind_i(s->expires_ms)) < 0
	               ? -1
	               : 0;
}

int session_find(struct db *db, const char *id, int64_t now_ms, struct session *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(id), bind_i(now_ms)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		(void)str_copy(out->id, sizeof out->id, query_text(q, 0));
		(void)str_copy(out->tenant_id, sizeof out->tenant_id, query_text(q, 1));
		(void)str_copy(out->user_id, sizeof out->user_id, query_text(q, 2));
		out->used = query_int(q, 3);
		(void)str_copy(out->address, sizeof out->address, query_text(q, 4));
		out->created_ms = query_int(q, 5);
		out->expires_ms = query_int(q, 6);
	}
	query_end(q);
	return rc;
}

int session_advance(struct db *tx, const struct session *s, struct err *e)
{
	return db_exec(tx, sql[SQL_ADVANCE], e, bind_s(s->id), bind_s(s->tenant_id), bind_i(s->used),
		       bind_i(s->expires_ms)) < 0
	               ? -1
	               : 0;
}

int session_end(struct db *tx, const char *tenant_id, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_END], e, bind_s(id), bind_s(tenant_id));
}

int session_end_user(struct db *tx, const char *user_id, const char *keep, struct err *e)
{
	return db_exec(tx, sql[SQL_END_USER], e, bind_s(user_id), bind_s(keep));
}

int session_end_tenant(struct db *tx, const char *tenant_id, struct err *e)
{
	return db_exec(tx, sql[SQL_END_TENANT], e, bind_s(tenant_id));
}

int session_delete_expired(struct db *tx, int64_t now_ms, unsigned limit, struct err *e)
{
	return db_exec(tx, sql[SQL_EXPIRED], e, bind_i(now_ms), bind_i(limit));
}

int session_crowd(struct db *db, unsigned max, char user_id[RAND_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_CROWD], e, bind_i(max)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		(void)str_copy(user_id, RAND_ID_SIZE, query_text(q, 0));
	query_end(q);
	return rc;
}

int session_trim(struct db *tx, const char *user_id, unsigned keep, struct err *e)
{
	return db_exec(tx, sql[SQL_TRIM], e, bind_s(user_id), bind_i(keep));
}

int session_identity(
	struct db *db, const char *id, const char *tenant_id, int64_t now_ms, struct identity *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_IDENTITY], e, bind_s(id), bind_s(tenant_id), bind_i(now_ms)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && role_parse(query_text(q, 2), &out->role) == 0) {
		(void)str_copy(out->user_id, sizeof out->user_id, query_text(q, 0));
		(void)str_copy(out->actor, sizeof out->actor, query_text(q, 0));
		(void)str_copy(out->tenant_id, sizeof out->tenant_id, query_text(q, 1));
		out->system_admin = query_int(q, 3) != 0;
		out->api_key = false;
		rc = 0;
	} else if (rc >= 0)
		rc = err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: its session has ended");
	query_end(q);
	return rc;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	return erase_by(tx, sql[SQL_ERASE_USER], sql[SQL_ERASE_TENANT], o, limit, n, e);
}

const struct erasure session_erasure = { "session", "sessions", erase };
