#include "controld/store/secrets.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/db.h"
#include "controld/store/reseal.h"

#include <string.h>

static const char sql_get[] = "SELECT sealed FROM secrets WHERE name = ?1";
static const char sql_put[] =
	"INSERT INTO secrets(name, sealed, updated_at) VALUES (?1, ?2, ?3) "
	"ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at";
static const char sql_delete[] = "DELETE FROM secrets WHERE name = ?1";
static const char sql_all[] = "SELECT sealed, name FROM secrets ORDER BY name";
static const char sql_any[] = "SELECT 1 FROM secrets LIMIT 1";
static const char sql_stale[] =
	"SELECT name, sealed FROM secrets WHERE substr(sealed, 1, 5) <> ?1 ORDER BY name LIMIT ?2";
static const char sql_reseal[] = "UPDATE secrets SET sealed = ?2 WHERE name = ?1 AND sealed = ?3";

#define SECRET_MARK "master-key"

static const char *const secrets_statements[] = { sql_get, sql_put, sql_delete, sql_all, sql_any, sql_stale,
	sql_reseal };
const struct sql_table secrets_sql = { "secrets", secrets_statements, ARRAY_LEN(secrets_statements) };
const struct sealed_column secrets_sealed = { "secrets", "secret:", false, sql_stale, sql_reseal };

/* What is sealed here is 2 | which key it was (4) | as common/crypto/seal.h writes it. Before there was more than one key
 * it was the last part alone, which begins with 1. */
enum { KEYED = 2, UNKEYED = 1, KEY_ID = 4 };

_Static_assert(
	SECRETS_HEAD == 1 + KEY_ID && SECRETS_OVERHEAD == SECRETS_HEAD + SEAL_OVERHEAD, "head, and a sealed blob");

/* The name is part of what is authenticated: a sealed value cannot be moved to another name. */
static int secret_context(char *dst, size_t size, const char *name, struct err *e)
{
	if (str_fmt(dst, size, "secret:%s", name) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "secret %s: name too long", name);
	return 0;
}

/* Tells keys apart, and nothing else about them. */
static void head_of(uint8_t head[SECRETS_HEAD], const uint8_t *key)
{
	static const char what[] = "portway key id";
	uint8_t mac[SHA256_SIZE];

	seal_hmac_sha256(key, SEAL_KEY_SIZE, what, sizeof what - 1, mac);
	head[0] = KEYED;
	memcpy(head + 1, mac, KEY_ID);
}

static int master_key(struct db *db, const uint8_t **key, struct err *e)
{
	if ((*key = store_master_key(db->store, 0)) == NULL)
		return err_set(e, ERR_INTERNAL, NULL, "secrets: the store has no master key");
	return 0;
}

int secrets_head(struct db *db, uint8_t head[SECRETS_HEAD], struct err *e)
{
	const uint8_t *key;

	if (master_key(db, &key, e) != 0)
		return -1;
	head_of(head, key);
	return 0;
}

int secrets_seal(struct db *db, const char *context, const void *p, size_t n, struct buf *out, struct err *e)
{
	const uint8_t *key;
	uint8_t *dst;

	if (master_key(db, &key, e) != 0)
		return -1;
	if ((dst = buf_reserve(out, n + SECRETS_OVERHEAD)) == NULL)
		return err_set(e, ERR_TOO_LARGE, NULL, "%s: %zu bytes, no room to seal them", context, n);
	head_of(dst, key);
	if (seal_wrap(dst + SECRETS_HEAD, key, context, p, n, e) != 0)
		return -1;
	out->len += n + SECRETS_OVERHEAD;
	return 0;
}

/* Whether it may have been sealed with that key. */
static bool may_open(const uint8_t *key, const uint8_t *sealed, size_t n)
{
	uint8_t head[SECRETS_HEAD];

	if (n > 0 && sealed[0] == UNKEYED)
		return true;
	head_of(head, key);
	return n >= SECRETS_HEAD && memcmp(head, sealed, SECRETS_HEAD) == 0;
}

int secrets_unseal(struct db *db, const char *context, const void *p, size_t n, struct buf *out, struct err *e)
{
	const uint8_t *sealed = p, *key;
	const size_t head = n > 0 && sealed[0] == KEYED ? SECRETS_HEAD : 0;
	size_t plain_n;
	uint8_t *dst;

	if (master_key(db, &key, e) != 0)
		return -1;
	if (n < head + SEAL_OVERHEAD)
		return err_set(e, ERR_CRYPTO, NULL, "%s: %zu bytes are no sealed value", context, n);
	n -= head;
	if ((dst = buf_reserve(out, n - SEAL_OVERHEAD)) == NULL)
		return err_set(e, ERR_TOO_LARGE, NULL, "%s: %zu bytes, no room for them", context, n - SEAL_OVERHEAD);
	for (size_t i = 0; (key = store_master_key(db->store, i)) != NULL; i++)
		if (may_open(key, sealed, head + n) &&
			seal_unwrap(dst, &plain_n, key, context, sealed + head, n, e) == 0) {
			out->len += plain_n;
			return 0;
		}
	return err_set(e, ERR_CRYPTO, NULL, "%s: sealed with another master key, or damaged", context);
}

/* The row's sealed value, opened and appended to out. */
static int secret_open(struct db *db, struct query *q, const char *name, struct buf *out, struct err *e)
{
	char context[128];
	size_t n;
	const void *sealed = query_blob(q, 0, &n);

	if (secret_context(context, sizeof context, name, e) != 0)
		return -1;
	return secrets_unseal(db, context, sealed, n, out, e);
}

int secrets_get(struct db *db, const char *name, struct buf *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_get, e, bind_s(name)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 0)
		rc = err_set(e, ERR_NOT_FOUND, NULL, "secret %s: there is none", name);
	else if (rc == 1)
		rc = secret_open(db, q, name, out, e);
	query_end(q);
	return rc;
}

int secrets_put(struct db *tx, const char *name, const void *p, size_t n, struct err *e)
{
	char context[128];
	struct buf sealed;
	int rc = -1;

	if (n > SECRETS_MAX)
		return err_set(e, ERR_TOO_LARGE, NULL, "secret %s: %zu bytes, at most %d", name, n, SECRETS_MAX);
	if (secret_context(context, sizeof context, name, e) != 0)
		return -1;
	buf_init(&sealed, SECRETS_MAX + SECRETS_OVERHEAD);
	if (secrets_seal(tx, context, p, n, &sealed, e) == 0 &&
		db_exec(tx, sql_put, e, bind_s(name), bind_b(sealed.data, sealed.len), bind_i(clock_wall_ms())) >= 0)
		rc = 0;
	buf_free(&sealed);
	return rc;
}

int secrets_delete(struct db *tx, const char *name, struct err *e)
{
	return db_exec(tx, sql_delete, e, bind_s(name)) < 0 ? -1 : 0;
}

int secrets_check(struct db *db, struct err *e)
{
	struct query *q;
	struct buf plain;
	int rc;

	if (db_query(db, &q, sql_all, e) != 0)
		return -1;
	buf_init(&plain, SECRETS_MAX + SEAL_OVERHEAD);
	while ((rc = query_next(q, e)) == 1 && (rc = secret_open(db, q, query_text(q, 1), &plain, e)) == 0) {
		seal_wipe(plain.data, plain.len);
		buf_reset(&plain);
	}
	query_end(q);
	buf_free(&plain);
	return rc;
}

int secrets_claim(struct db *tx, struct err *e)
{
	struct err why;
	struct buf plain;
	int rc;

	buf_init(&plain, SECRETS_MAX + SEAL_OVERHEAD);
	rc = secrets_get(tx, SECRET_MARK, &plain, &why);
	buf_free(&plain);
	if (rc == 0) /* with the key of now, so that who has the one before only is told */
		return secrets_check(tx, e) != 0 ? -1 : secrets_put(tx, SECRET_MARK, "", 0, e);
	if (why.code == ERR_NOT_FOUND) /* of a database from before there were marks, or a new one */
		return secrets_check(tx, e) != 0 ? -1 : secrets_put(tx, SECRET_MARK, "", 0, e);
	if (why.code == ERR_CRYPTO)
		return err_set(e, ERR_CRYPTO, "master_key",
			"the database is sealed with another master key; give this controld the one that the others "
			"have "
			"(CONTROLD_MASTER_KEY, or their master.key in data_dir)");
	if (e != NULL)
		*e = why;
	return -1;
}

int secrets_any(struct db *db, bool *any, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_any, e) != 0)
		return -1;
	rc = query_next(q, e);
	*any = rc == 1;
	query_end(q);
	return rc < 0 ? -1 : 0;
}
