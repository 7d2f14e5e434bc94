#include "controld/fleet/node_cert.h"

#include "common/base/err.h"
#include "common/crypto/cert.h"

#define CA_STEPS 2 /* a rotation and a retirement: what is older is of a CA that nobody trusts */

static const char sql_insert[] =
	"INSERT INTO node_certs(serial, tenant_id, node_id, not_after_ms, revoked_ms, ca_step, "
	"used_ms) VALUES (?1, '', ?2, ?3, 0, ?4, ?5)";
static const char sql_count[] =
	"SELECT count(*) FROM node_certs WHERE node_id = ?1 AND revoked_ms = 0 AND ca_step >= ?2";
static const char sql_prune[] = "DELETE FROM node_certs WHERE node_id = ?1 AND not_after_ms < ?2";
static const char sql_revoke[] = "UPDATE node_certs SET revoked_ms = ?2 WHERE node_id = ?1 AND revoked_ms = 0";
static const char sql_forget[] = "DELETE FROM node_certs WHERE node_id = ?1";
static const char sql_refused[] = "SELECT serial FROM node_certs WHERE node_id = ?1 AND revoked_ms > 0";

static const char sql_step[] = "SELECT ca_step FROM node_certs WHERE serial = ?1 AND node_id = ?2";
static const char sql_use[] = "UPDATE node_certs SET used_ms = ?3 WHERE serial = ?1 AND node_id = ?2 AND used_ms = 0";

static const char sql_good[] =
	"SELECT 1 FROM node_certs WHERE serial = ?1 AND node_id = ?2 AND revoked_ms = 0 AND ca_step >= ?3";

static const char *const statements[] = { sql_insert, sql_count, sql_prune, sql_revoke, sql_forget, sql_refused,
	sql_step, sql_use, sql_good };
const struct sql_table node_cert_sql = { "node_cert", statements, ARRAY_LEN(statements) };

/*
 * Rows cannot go before their certificate ends, or revoking the node would miss it. Those of CAs that are gone open no door any more, and
 * take no place: a CA gives them during its own rotation, after it, and during the next one.
 */
static int check_room(struct db *tx, const struct node_cert *c, struct err *e)
{
	struct query *q;
	int64_t good = 0;
	int rc;

	if (db_query(tx, &q, sql_count, e, bind_s(c->node_id), bind_i(c->ca_step - CA_STEPS)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		good = query_int(q, 0);
	query_end(q);
	if (rc == 1 && good >= NODE_CERTS_MAX)
		return err_set(e, ERR_RATE_LIMITED, NULL,
			"node %s has %d certificates that have not ended, which is the most; a new join token starts "
			"over",
			c->node_id, NODE_CERTS_MAX);
	return rc == 1 ? 0 : -1;
}

int node_cert_add(struct db *tx, const struct node_cert *c, int64_t now_ms, struct err *e)
{
	if (db_exec(tx, sql_prune, e, bind_s(c->node_id), bind_i(now_ms)) < 0 || check_room(tx, c, e) != 0 ||
		db_exec(tx, sql_insert, e, bind_s(c->cert->serial), bind_s(c->node_id), bind_i(c->cert->not_after_ms),
			bind_i(c->ca_step), bind_i(c->used_ms)) < 0)
		return -1;
	return 0;
}

int node_cert_use(
	struct db *tx, const char *node_id, const char *serial, int64_t now_ms, int64_t *ca_step, struct err *e)
{
	struct query *q;
	int rc;

	*ca_step = -1;
	if (db_query(tx, &q, sql_step, e, bind_s(serial), bind_s(node_id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*ca_step = query_int(q, 0);
	query_end(q);
	if (rc != 1)
		return rc;
	return db_exec(tx, sql_use, e, bind_s(serial), bind_s(node_id), bind_i(now_ms)) < 0 ? -1 : 0;
}

int node_cert_is_good(struct db *db, const char *node_id, const char *serial, int64_t since_step, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_good, e, bind_s(serial), bind_s(node_id), bind_i(since_step)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

int node_cert_revoke(struct db *tx, const char *node_id, int64_t now_ms, struct err *e)
{
	return db_exec(tx, sql_revoke, e, bind_s(node_id), bind_i(now_ms)) < 0 ? -1 : 0;
}

int node_cert_forget(struct db *tx, const char *node_id, struct err *e)
{
	return db_exec(tx, sql_forget, e, bind_s(node_id)) < 0 ? -1 : 0;
}

int node_cert_refused(
	struct db *db, const char *node_id, int (*fn)(const char *serial, void *arg), void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_refused, e, bind_s(node_id)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && fn(query_text(q, 0), arg) == 0)
		;
	query_end(q);
	return rc < 0 ? -1 : 0;
}
