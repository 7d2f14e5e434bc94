#include "controld/fleet/node_token.h"

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/fleet/fleet_json.h"
#include "controld/store/changes.h"

#include <string.h>

#define SELECT                                                                                                         \
	"SELECT t.id, t.node_id, n.name, g.name, t.created_by, t.created_ms, t.expires_ms, t.used_ms, t.secret_hash, " \
	"t.request_hash FROM join_tokens t LEFT JOIN nodes n ON n.id = t.node_id "                                     \
	"LEFT JOIN node_groups g ON g.id = n.group_id "

static const char sql_get[] = SELECT "WHERE t.id = ?1";
static const char sql_list[] =
	SELECT "WHERE t.id > ?1 AND (?2 = '' OR t.node_id = ?2 OR n.name = ?2) AND (?3 = '' OR CASE WHEN t.used_ms > 0 "
	       "THEN 'used' WHEN t.expires_ms <= ?4 THEN 'expired' ELSE 'open' END = ?3) ORDER BY t.id LIMIT ?5";
static const char sql_insert[] =
	"INSERT INTO join_tokens(id, tenant_id, node_id, secret_hash, created_by, created_ms, expires_ms, used_ms, "
	"request_hash) VALUES (?1, '', ?2, ?3, ?4, ?5, ?6, 0, '')";
static const char sql_use[] = "UPDATE join_tokens SET used_ms = ?2, request_hash = ?3 WHERE id = ?1";
static const char sql_delete[] = "DELETE FROM join_tokens WHERE id = ?1";
static const char sql_delete_of[] = "DELETE FROM join_tokens WHERE node_id = ?1";
static const char sql_prune[] = "DELETE FROM join_tokens WHERE expires_ms < ?1";

static const char *const statements[] = { sql_get, sql_list, sql_insert, sql_use, sql_delete, sql_delete_of,
	sql_prune };
const struct sql_table node_token_sql = { "node_token", statements, ARRAY_LEN(statements) };

static void hash_hex(char dst[65], const char *s)
{
	uint8_t sum[SHA256_SIZE];

	seal_sha256(s, strlen(s), sum);
	str_hex(dst, sum, sizeof sum);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void copy_column(char *dst, size_t size, struct query *q, int col)
{
	str_copy(dst, size, query_is_null(q, col) ? "" : query_text(q, col));
}

static void node_token_load(struct node_token *t, struct query *q)
{
	*t = (struct node_token){
		.created_ms = query_int(q, 5),
		.expires_ms = query_int(q, 6),
		.used_ms = query_int(q, 7),
	};
	copy_column(t->id, sizeof t->id, q, 0);
	copy_column(t->node_id, sizeof t->node_id, q, 1);
	copy_column(t->node_name, sizeof t->node_name, q, 2);
	copy_column(t->group_name, sizeof t->group_name, q, 3);
	copy_column(t->created_by, sizeof t->created_by, q, 4);
	copy_column(t->secret_hash, sizeof t->secret_hash, q, 8);
	copy_column(t->request_hash, sizeof t->request_hash, q, 9);
}

static int node_token_log(
	struct db *tx, const char *op, const struct node_token *t, const struct who *who, struct err *e)
{
	const struct change c = { .kind = "join_token", .op = op, .subject = t->id, .fields = "" };

	return fleet_json_log(tx, &c, node_token_json(t), who, NULL, e);
}

/* Tokens that have ended go when a new one comes, a week later: until then the list shows what became of them. */
int node_token_create(struct db *tx, struct node_token *t, char secret[64], const struct who *who, struct err *e)
{
	const int64_t week_ms = INT64_C(7) * 86400000;
	uint8_t random[32];

	rand_id(t->id, "jtk");
	rand_bytes(random, sizeof random);
	str_b64url(secret, random, sizeof random);
	seal_wipe(random, sizeof random);
	hash_hex(t->secret_hash, secret);
	str_copy(t->created_by, sizeof t->created_by, who->actor);
	t->created_ms = who->now_ms;
	t->used_ms = 0;
	t->request_hash[0] = '\0';
	if (db_exec(tx, sql_prune, e, bind_i(who->now_ms - week_ms)) < 0 ||
		db_exec(tx, sql_insert, e, bind_s(t->id), bind_s(t->node_id), bind_s(t->secret_hash),
			bind_s(t->created_by), bind_i(t->created_ms), bind_i(t->expires_ms)) < 0)
		return -1;
	return node_token_log(tx, "create", t, who, e);
}

int node_token_get(struct db *db, const char *id, struct node_token *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_get, e, bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		node_token_load(out, q);
	else if (rc == 0)
		err_set(e, ERR_NOT_FOUND, NULL, "there is no join token '%s'", id);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int node_token_list(struct db *db, const struct node_token_filter *f, node_token_fn fn, void *arg, struct err *e)
{
	struct node_token t;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_list, e, bind_s(f->after), bind_s(f->node), bind_s(f->status), bind_i(f->now_ms),
		    bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		node_token_load(&t, q);
		if (fn(&t, arg) != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}

int node_token_delete(struct db *tx, const struct node_token *t, const struct who *who, struct err *e)
{
	if (db_exec(tx, sql_delete, e, bind_s(t->id)) < 0)
		return -1;
	return node_token_log(tx, "delete", t, who, e);
}

int node_token_delete_of(struct db *tx, const char *node_id, struct err *e)
{
	return db_exec(tx, sql_delete_of, e, bind_s(node_id)) < 0 ? -1 : 0;
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

static int invalid(struct err *e)
{
	return err_set(e, ERR_INVALID_TOKEN, "token", "this join token is not known, or was used");
}

int node_token_check(
	struct db *db, const struct msg_join *m, int64_t now_ms, struct node_token *out, bool *again, struct err *e)
{
	char secret_hash[65], request_hash[65];
	struct err why;

	hash_hex(secret_hash, m->secret);
	hash_hex(request_hash, m->request_pem);
	if (node_token_get(db, m->token_id, out, &why) != 0) {
		if (why.code == ERR_NOT_FOUND)
			return invalid(e);
		if (e != NULL)
			*e = why;
		return -1;
	}
	*again = out->used_ms != 0;
	if (!str_eq_secret(secret_hash, out->secret_hash) || (*again && strcmp(request_hash, out->request_hash) != 0))
		return invalid(e);
	if (now_ms >= out->expires_ms)
		return err_set(
			e, ERR_TOKEN_EXPIRED, "token", "the join token of node '%s' has expired", out->node_name);
	return 0;
}

int node_token_use(struct db *tx, const struct node_token *t, const struct msg_join *m, int64_t now_ms, struct err *e)
{
	char request_hash[65];

	hash_hex(request_hash, m->request_pem);
	return db_exec(tx, sql_use, e, bind_s(t->id), bind_i(now_ms), bind_s(request_hash)) < 0 ? -1 : 0;
}

json_t *node_token_json(const struct node_token *t)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", t->id, "name", t->node_name, "node_id",
		t->node_id, "group", t->group_name, "created_by", t->created_by, "created_at",
		fleet_json_time(t->created_ms), "expires_at", fleet_json_time(t->expires_ms), "used_at",
		fleet_json_time(t->used_ms));
}
