#include "controld/tunnels/connection_code.h"

#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/clients/client.h"
#include "controld/store/erasure.h"

#include <string.h>

#define LETTERS      "0123456789ABCDEFGHJKMNPQRSTVWXYZ" /* Crockford's base32 */
#define CODE_LETTERS 12

#define COLUMNS \
	"id, tenant_id, user_id, client_id, protocol, target_host, target_port, lifetime_ms, created_ms, expires_ms"

enum { SQL_INSERT, SQL_USE, SQL_LIST, SQL_DELETE, SQL_EXPIRE, SQL_ERASE_USER, SQL_ERASE_TENANT };
static const char *const sql[] = {
	[SQL_INSERT] = "INSERT INTO connection_codes (" COLUMNS
		       ", hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	/* A code is worth what its maker is: called c for that condition, which is the one on clients. */
	[SQL_USE] = "DELETE FROM connection_codes AS c WHERE c.hash = ?1 AND c.expires_ms > ?2 AND " CLIENT_OWNER_ACTIVE
		    " RETURNING " COLUMNS,
	[SQL_LIST] = "SELECT " COLUMNS " FROM connection_codes WHERE tenant_id = ?1 AND expires_ms > ?2 ORDER BY id",
	[SQL_DELETE] = "DELETE FROM connection_codes WHERE tenant_id = ?1 AND id = ?2",
	[SQL_EXPIRE] = "DELETE FROM connection_codes WHERE expires_ms <= ?1",
	[SQL_ERASE_USER] = "DELETE FROM connection_codes WHERE user_id = ?1",
	[SQL_ERASE_TENANT] = "DELETE FROM connection_codes WHERE tenant_id = ?1",
};
const struct sql_table connection_code_sql = { "connection_code", sql, ARRAY_LEN(sql) };

void connection_code_make(struct connection_code *c, char text[CONNECTION_CODE_SIZE])
{
	size_t n = 0;

	rand_id(c->id, "code");
	for (int i = 0; i < CODE_LETTERS; i++) {
		if (i > 0 && i % 4 == 0)
			text[n++] = '-';
		text[n++] = LETTERS[rand_below(strlen(LETTERS))];
	}
	text[n] = '\0';
}

/* As people type it: o is 0, i and l are 1. */
static void hash_of(char hash[2 * SHA256_SIZE + 1], const char *text)
{
	char plain[CODE_LETTERS + 1] = "";
	uint8_t digest[SHA256_SIZE];
	size_t n = 0;

	for (; *text != '\0' && n < CODE_LETTERS; text++) {
		char c = (char)(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text);

		c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
		if (strchr(LETTERS, c) != NULL)
			plain[n++] = c;
	}
	seal_sha256(plain, n, digest);
	str_hex(hash, digest, sizeof digest);
}

int connection_code_insert(struct db *tx, const struct connection_code *c, const char *text, struct err *e)
{
	char hash[2 * SHA256_SIZE + 1];

	hash_of(hash, text);
	return MIN(db_exec(tx, sql[SQL_INSERT], e, bind_s(c->id), bind_s(c->tenant_id), bind_s(c->user_id),
			   bind_i(c->client_id), bind_i(c->protocol), bind_s(c->target_host), bind_i(c->target_port),
			   bind_i(c->lifetime_ms), bind_i(c->created_ms), bind_i(c->expires_ms), bind_s(hash)),
		0);
}

static void load(struct connection_code *c, struct query *q)
{
	memset(c, 0, sizeof *c);
	str_copy(c->id, sizeof c->id, query_text(q, 0));
	str_copy(c->tenant_id, sizeof c->tenant_id, query_text(q, 1));
	str_copy(c->user_id, sizeof c->user_id, query_text(q, 2));
	c->client_id = query_int(q, 3);
	c->protocol = query_int(q, 4) == MAPPING_UDP ? MAPPING_UDP : MAPPING_TCP;
	str_copy(c->target_host, sizeof c->target_host, query_text(q, 5));
	c->target_port = (uint16_t)query_int(q, 6);
	c->lifetime_ms = query_int(q, 7);
	c->created_ms = query_int(q, 8);
	c->expires_ms = query_int(q, 9);
}

int connection_code_use(struct db *tx, const char *text, int64_t now_ms, struct connection_code *out, struct err *e)
{
	char hash[2 * SHA256_SIZE + 1];
	struct query *q;
	int rc;

	hash_of(hash, text);
	if (db_query(tx, &q, sql[SQL_USE], e, bind_s(hash), bind_i(now_ms)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		load(out, q);
	while (rc == 1 && query_next(q, e) == 1) /* to its end: only then is the row gone */
		;
	query_end(q);
	if (rc == 0)
		return err_set(e, ERR_INVALID_TOKEN, "code", "code: it is not known, was used, or has ended");
	return MIN(rc, 0);
}

int connection_code_list(
	struct db *db, const char *tenant_id, int64_t now_ms, connection_code_fn fn, void *arg, struct err *e)
{
	struct connection_code c;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(tenant_id), bind_i(now_ms)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		load(&c, q);
		rc = fn(&c, arg);
		if (rc != 0)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}

int connection_code_delete(struct db *tx, const char *tenant_id, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_DELETE], e, bind_s(tenant_id), bind_s(id));
}

int connection_code_expire(struct db *tx, int64_t now_ms, struct err *e)
{
	return db_exec(tx, sql[SQL_EXPIRE], e, bind_i(now_ms));
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit, (void)position;
	*n = 0;
	return MIN(db_exec(tx, sql[o->tenant ? SQL_ERASE_TENANT : SQL_ERASE_USER], e, bind_s(o->id)), 0);
}

const struct erasure connection_code_erasure = { "connection_code", "connection_codes", erase };
