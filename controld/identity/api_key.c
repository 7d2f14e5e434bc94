#include "controld/identity/api_key.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/identity/fold.h"
#include "controld/identity/scope.h"
#include "controld/store/erasure.h"

#include <stdio.h>
#include <string.h>

enum { API_KEY_BYTES = 32, API_KEY_PREFIX = 9 };

#define API_KEY_COLUMNS "id, tenant_id, user_id, name, prefix, hash, role, system_admin, created_ms, expires_ms, scopes"
#define API_KEY_ROWS                                                                                            \
	"SELECT k.id, k.tenant_id, k.user_id, k.name, k.prefix, k.hash, k.role, k.system_admin, k.created_ms, " \
	"k.expires_ms, k.scopes, coalesce(u.used_ms, 0), coalesce(u.address, '') FROM api_keys k LEFT JOIN "    \
	"api_key_uses u ON u.key_id = k.id "

enum {
	SQL_GET,
	SQL_LIST,
	SQL_COUNT,
	SQL_HAS,
	SQL_INSERT,
	SQL_DELETE,
	SQL_DELETE_USER,
	SQL_DELETE_NAMED,
	SQL_IDENTITY,
	SQL_ERASE_USER,
	SQL_ERASE_TENANT
};
static const char *const sql[] = {
	[SQL_GET] = API_KEY_ROWS "WHERE k.id = ?3 AND (?1 = '' OR k.tenant_id = ?1) AND (?2 = '' OR k.user_id = ?2)",
	[SQL_LIST] = API_KEY_ROWS "WHERE (?1 = '' OR k.tenant_id = ?1) "
				  "AND (?2 = '' OR k.user_id = ?2) AND (?3 = '' OR k.tenant_id = ?3) AND (?4 = '' OR "
				  "k.user_id = ?4) AND (?5 = '' OR k.role = ?5) AND k.id > ?6 ORDER BY k.id LIMIT ?7",
	[SQL_COUNT] = "SELECT count(*) FROM api_keys WHERE tenant_id = ?1",
	[SQL_HAS] = "SELECT 1 FROM api_keys WHERE hash = ?1",
	[SQL_INSERT] =
		"INSERT INTO api_keys (" API_KEY_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[SQL_DELETE] = "DELETE FROM api_keys WHERE id = ?2 AND tenant_id = ?1",
	[SQL_DELETE_USER] = "DELETE FROM api_keys WHERE user_id = ?1",
	[SQL_DELETE_NAMED] = "DELETE FROM api_keys WHERE tenant_id = ?1 AND user_id = '' AND name = ?2 AND hash <> ?3",
	/* the lower of the key's role and the user's is taken in C: roles are words here */
	[SQL_IDENTITY] = "SELECT k.id, k.tenant_id, k.user_id, k.role, k.system_admin, k.expires_ms, m.role, "
			 "u.system_admin, k.scopes FROM api_keys k "
			 "JOIN tenants t ON t.id = k.tenant_id AND t.status = 'active' "
			 "LEFT JOIN users u ON u.id = k.user_id AND u.status = 'active' "
			 "LEFT JOIN memberships m ON m.tenant_id = k.tenant_id AND m.user_id = u.id WHERE k.hash = ?1",
	[SQL_ERASE_USER] = "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE user_id = ?1 LIMIT ?2)",
	[SQL_ERASE_TENANT] = "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE tenant_id = ?1 LIMIT ?2)",
};
const struct sql_table api_key_sql = { "api_key", sql, ARRAY_LEN(sql) };

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void api_key_hash(char hash[API_KEY_HASH_SIZE], const char *text)
{
	uint8_t digest[SHA256_SIZE];

	seal_sha256(text, strlen(text), digest);
	str_hex(hash, digest, sizeof digest);
}

void api_key_set_text(struct api_key *k, const char *text)
{
	api_key_hash(k->hash, text);
	snprintf(k->prefix, sizeof k->prefix, "%.*s", API_KEY_PREFIX, text);
}

void api_key_make(struct api_key *k, char text[API_KEY_TEXT_SIZE], int64_t now_ms)
{
	uint8_t secret[API_KEY_BYTES];
	char encoded[API_KEY_TEXT_SIZE - 4];

	*k = (struct api_key){ .role = ROLE_VIEWER, .created_ms = now_ms, .scopes = SCOPE_ALL };
	rand_id(k->id, "key");
	rand_bytes(secret, sizeof secret);
	str_b64url(encoded, secret, sizeof secret);
	snprintf(text, API_KEY_TEXT_SIZE, "pw_%s", encoded);
	seal_wipe(secret, sizeof secret);
	api_key_set_text(k, text);
}

json_t *api_key_json(const struct api_key *k)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:s?}", "id", k->id, "tenant_id",
		k->tenant_id, "user_id", k->user_id, "name", k->name, "prefix", k->prefix, "role", role_name(k->role),
		"system_admin", k->system_admin, "created_at", fold_time(k->created_ms), "expires_at",
		fold_time(k->expires_ms), "scopes", scope_list(k->scopes), "last_used_at", fold_time(k->used_ms),
		"last_used_ip", k->used_from[0] != '\0' ? k->used_from : NULL);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void api_key_load(struct api_key *k, struct query *q)
{
	(void)str_copy(k->id, sizeof k->id, query_text(q, 0));
	(void)str_copy(k->tenant_id, sizeof k->tenant_id, query_text(q, 1));
	(void)str_copy(k->user_id, sizeof k->user_id, query_text(q, 2));
	(void)str_copy(k->name, sizeof k->name, query_text(q, 3));
	(void)str_copy(k->prefix, sizeof k->prefix, query_text(q, 4));
	(void)str_copy(k->hash, sizeof k->hash, query_text(q, 5));
	if (role_parse(query_text(q, 6), &k->role) != 0)
		k->role = ROLE_NONE;
	k->system_admin = query_int(q, 7) != 0;
	k->created_ms = query_int(q, 8);
	k->expires_ms = query_int(q, 9);
	(void)str_copy(k->scopes, sizeof k->scopes, query_text(q, 10));
	k->used_ms = query_int(q, 11);
	(void)str_copy(k->used_from, sizeof k->used_from, query_text(q, 12));
}

int api_key_get(struct db *db, const char *scope, const char *owner, const char *id, struct api_key *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(scope), bind_s(owner), bind_s(id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		api_key_load(out, q);
	query_end(q);
	if (rc < 0)
		return -1;
	return rc == 1 ? 0 : err_set(e, ERR_API_KEY_NOT_FOUND, NULL, "there is no API key %s", id);
}

int api_key_insert(struct db *tx, const struct api_key *k, struct err *e)
{
	return db_exec(tx, sql[SQL_INSERT], e, bind_s(k->id), bind_s(k->tenant_id), bind_s(k->user_id), bind_s(k->name),
		       bind_s(k->prefix), bind_s(k->hash), bind_s(role_name(k->role)), bind_i(k->system_admin),
		       bind_i(k->created_ms), bind_i(k->expires_ms), bind_s(k->scopes)) < 0
	               ? -1
	               : 0;
}

int api_key_delete(struct db *tx, const char *tenant_id, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE], e, bind_s(tenant_id), bind_s(id));
}

int api_key_delete_user(struct db *tx, const char *user_id, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE_USER], e, bind_s(user_id));
}

int api_key_delete_named(struct db *tx, const char *tenant_id, const char *name, const char *hash, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE_NAMED], e, bind_s(tenant_id), bind_s(name), bind_s(hash));
}

int api_key_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNT], e, bind_s(tenant_id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int api_key_has_hash(struct db *db, const char *hash, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_HAS], e, bind_s(hash)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

int api_key_list(struct db *db, const struct api_key_filter *f, api_key_fn fn, void *arg, struct err *e)
{
	struct api_key k;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(f->scope), bind_s(f->owner), bind_s(f->tenant_id),
		    bind_s(f->user_id), bind_s(f->role), bind_s(f->after), bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		api_key_load(&k, q);
		if ((rc = fn(&k, arg)) != 0)
			break;
	}
	query_end(q);
	return rc;
}

/* ---- who it stands for ------------------------------------------------------------------------------------------- */

/* A row of SQL_IDENTITY; false when its user is gone, suspended or no member any more. */
static bool api_key_fill(struct identity *id, struct query *q)
{
	bool of_user = query_text(q, 2)[0] != '\0';
	enum role user_role;

	*id = (struct identity){ .api_key = true, .system_admin = query_int(q, 4) != 0 };
	if (role_parse(query_text(q, 3), &id->role) != 0)
		return false;
	(void)str_copy(id->token_id, sizeof id->token_id, query_text(q, 0));
	(void)str_fmt(id->actor, sizeof id->actor, "key:%s", id->token_id);
	(void)str_copy(id->tenant_id, sizeof id->tenant_id, query_text(q, 1));
	(void)str_copy(id->user_id, sizeof id->user_id, query_text(q, 2));
	if (str_copy(id->scopes, sizeof id->scopes, query_text(q, 8)) != 0)
		return false;
	if (!of_user)
		return true;
	if (query_is_null(q, 6) || role_parse(query_text(q, 6), &user_role) != 0)
		return false;
	id->role = MIN(id->role, user_role);
	id->system_admin = id->system_admin && query_int(q, 7) != 0;
	return true;
}

int api_key_identity(struct db *db, const char *text, int64_t now_ms, struct identity *out, struct err *e)
{
	char hash[API_KEY_HASH_SIZE];
	struct identity id;
	struct query *q;
	int64_t expires_ms = 0;
	bool good = false;
	int rc;

	api_key_hash(hash, text);
	if (db_query(db, &q, sql[SQL_IDENTITY], e, bind_s(hash)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		expires_ms = query_int(q, 5);
		good = api_key_fill(&id, q);
	}
	query_end(q);
	if (rc < 0)
		return -1;
	if (!good)
		return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "API key is not valid");
	if (expires_ms != 0 && expires_ms <= now_ms)
		return err_set(e, ERR_TOKEN_EXPIRED, NULL, "API key has expired");
	*out = id;
	return 0;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	return erase_by(tx, sql[SQL_ERASE_USER], sql[SQL_ERASE_TENANT], o, limit, n, e);
}

const struct erasure api_key_erasure = { "api_key", "api_keys", erase };
