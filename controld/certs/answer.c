#include "controld/certs/answer.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/certs/certs.h"
#include "controld/store/changes.h"
#include "controld/store/secrets.h"

#include <string.h>

#define BODY_MAX    (2 * ACME_PEM_MAX + 4096)
#define ANSWERS_MAX 100 /* taken at a time: no query is open while others run */

enum {
	SQL_PUT,
	SQL_DELETE,
	SQL_OF,
	SQL_ENDED,
	SQL_GET,
	SQL_ALL,
	SQL_GROUPS,
	SQL_OF_ROUTE,
	SQL_STALE,
	SQL_RESEAL,
};
const char answer_stale[] =
	"SELECT id, body FROM certificate_answers WHERE substr(body, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
const char answer_reseal[] = "UPDATE certificate_answers SET body = ?2 WHERE id = ?1 AND body = ?3";

#define COVERS "(h.name = a.host OR h.name = '*' OR (h.name LIKE '*.%' AND a.host LIKE '%' || substr(h.name, 2)))"

static const char *const sql[] = {
	[SQL_PUT] = "INSERT INTO certificate_answers (id, certificate_id, tenant_id, host, body, until_ms, seq) VALUES "
		    "(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET body = excluded.body, until_ms = "
		    "excluded.until_ms, seq = excluded.seq",
	[SQL_DELETE] = "DELETE FROM certificate_answers WHERE id = ?1",
	[SQL_OF] = "SELECT id, tenant_id FROM certificate_answers WHERE certificate_id = ?1 ORDER BY id LIMIT ?2",
	[SQL_ENDED] = "SELECT id, tenant_id FROM certificate_answers WHERE until_ms <= ?1 ORDER BY id LIMIT ?2",
	[SQL_GET] = "SELECT body, seq FROM certificate_answers WHERE id = ?1",
	[SQL_ALL] = "SELECT id FROM certificate_answers ORDER BY id",
	[SQL_GROUPS] = "SELECT DISTINCT h.group_id FROM certificate_answers a JOIN lb_route_hosts h ON h.tenant_id = "
		       "a.tenant_id AND h.protocol = 'tls' AND " COVERS " WHERE a.id = ?1",
	[SQL_OF_ROUTE] = "SELECT DISTINCT a.id FROM lb_route_hosts h JOIN certificate_answers a ON a.tenant_id = "
			 "h.tenant_id AND " COVERS " WHERE h.route_id = ?1 AND h.protocol = 'tls'",
	[SQL_STALE] = answer_stale,
	[SQL_RESEAL] = answer_reseal,
};
const struct sql_table answer_sql = { "certificate_answer", sql, ARRAY_LEN(sql) };

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static int note(struct db *tx, const char *id, const char *tenant_id, const char *op, int64_t now_ms, int64_t *seq,
	struct err *e)
{
	const struct change how = { .time_ms = now_ms,
		.tenant = tenant_id,
		.actor = "system",
		.kind = "certificate_answer",
		.op = op,
		.subject = id,
		.fields = "" };

	return changes_append(tx, &how, seq, e);
}

static void id_of(char id[PROTO_ID_SIZE], const struct answer *a)
{
	uint8_t digest[SHA256_SIZE];
	char text[PROTO_ID_SIZE + ACME_TOKEN_SIZE], hex[2 * 12 + 1];

	(void)str_fmt(text, sizeof text, "%s %s", a->certificate_id, a->token);
	seal_sha256(text, strlen(text), digest);
	str_hex(hex, digest, 12);
	(void)str_fmt(id, PROTO_ID_SIZE, "acm_%s", hex);
}

static int seal_body(struct db *tx, const char *id, const struct acme_conf *conf, struct buf *out, struct err *e)
{
	struct buf plain;
	char context[64];
	int rc;

	buf_init(&plain, BODY_MAX);
	buf_init(out, BODY_MAX + SECRETS_OVERHEAD);
	acme_conf_encode(conf, &plain);
	(void)str_fmt(context, sizeof context, ANSWER_SEALED_FOR "%s", id);
	rc = plain.failed ? err_set(e, ERR_NOMEM, NULL, "answer to a CA: out of memory")
	                  : secrets_seal(tx, context, plain.data, plain.len, out, e);
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}

int answer_put(struct db *tx, const struct answer *a, int64_t now_ms, int64_t *seq, struct err *e)
{
	char id[PROTO_ID_SIZE];
	struct buf body;
	int rc;

	id_of(id, a);
	rc = seal_body(tx, id, a->conf, &body, e);
	if (rc == 0)
		rc = note(tx, id, a->tenant_id, "create", now_ms, seq, e);
	if (rc == 0)
		rc = MIN(db_exec(tx, sql[SQL_PUT], e, bind_s(id), bind_s(a->certificate_id), bind_s(a->tenant_id),
				 bind_s(a->conf->host), bind_b(body.data, body.len), bind_i(a->conf->until_ms),
				 bind_i(*seq)),
			0);
	buf_free(&body);
	return rc;
}

struct some {
	struct one {
		char id[PROTO_ID_SIZE], tenant_id[PROTO_ID_SIZE];
	} of[ANSWERS_MAX];
	unsigned n;
};

static int read_some(struct some *s, struct query *q, struct err *e)
{
	int rc = 0;

	s->n = 0;
	while (s->n < ANSWERS_MAX && (rc = query_next(q, e)) == 1) {
		(void)str_copy(s->of[s->n].id, PROTO_ID_SIZE, query_text(q, 0));
		(void)str_copy(s->of[s->n].tenant_id, PROTO_ID_SIZE, query_text(q, 1));
		s->n++;
	}
	query_end(q);
	return MIN(rc, 0);
}

static int delete_some(struct db *tx, const struct some *s, int64_t now_ms, struct err *e)
{
	int64_t seq;

	for (unsigned i = 0; i < s->n; i++)
		if (note(tx, s->of[i].id, s->of[i].tenant_id, "delete", now_ms, &seq, e) != 0 ||
			db_exec(tx, sql[SQL_DELETE], e, bind_s(s->of[i].id)) < 0)
			return -1;
	return 0;
}

int answer_clear(struct db *tx, const char *certificate_id, int64_t now_ms, struct err *e)
{
	struct some some;
	struct query *q;

	do {
		if (db_query(tx, &q, sql[SQL_OF], e, bind_s(certificate_id), bind_i(ANSWERS_MAX)) != 0 ||
			read_some(&some, q, e) != 0 || delete_some(tx, &some, now_ms, e) != 0)
			return -1;
	} while (some.n == ANSWERS_MAX);
	return 0;
}

int answer_any_ended(struct db *db, int64_t now_ms, bool *any, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ENDED], e, bind_i(now_ms), bind_i(1)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	*any = rc == 1;
	return MIN(rc, 0);
}

int answer_clean(struct db *tx, int64_t now_ms, unsigned limit, unsigned *n, struct err *e)
{
	struct some some;
	struct query *q;

	if (db_query(tx, &q, sql[SQL_ENDED], e, bind_i(now_ms), bind_i(MIN(limit, (unsigned)ANSWERS_MAX))) != 0 ||
		read_some(&some, q, e) != 0)
		return -1;
	*n = some.n;
	return delete_some(tx, &some, now_ms, e);
}

/* ---- what relays see --------------------------------------------------------------------------------------------- */

/* 1: it is there; 0: it is not. */
static int read_body(struct db *db, const char *id, struct buf *plain, int64_t *seq, struct err *e)
{
	char context[64];
	struct query *q;
	const void *sealed;
	size_t n;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		sealed = query_blob(q, 0, &n);
		*seq = query_int(q, 1);
		(void)str_fmt(context, sizeof context, ANSWER_SEALED_FOR "%s", id);
		rc = secrets_unseal(db, context, sealed, n, plain, e) == 0 ? 1 : -1;
	}
	query_end(q);
	return rc;
}

int answer_placed_get(struct db *db, const char *id, answer_placed_fn fn, void *arg, struct err *e)
{
	struct answer_placed p = { .id = id };
	struct buf plain;
	int rc;

	buf_init(&plain, BODY_MAX);
	rc = read_body(db, id, &plain, &p.seq, e);
	if (rc == 1) {
		p.body = plain.data;
		p.n = plain.len;
	}
	rc = rc < 0 ? -1 : fn(&p, arg);
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}

static int each_id(struct db *db, const char *statement, const char *key, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	struct query *q;
	int rc = key != NULL ? db_query(db, &q, statement, e, bind_s(key)) : db_query(db, &q, statement, e);

	if (rc != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if ((rc = fn(query_text(q, 0), arg)) != 0)
			break;
	query_end(q);
	return rc;
}

int answer_placed_ids(struct db *db, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	return each_id(db, sql[SQL_ALL], NULL, fn, arg, e);
}

int answer_groups(struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e)
{
	return each_id(db, sql[SQL_GROUPS], id, fn, arg, e);
}

int answer_ids_of_route(
	struct db *db, const char *route_id, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	return each_id(db, sql[SQL_OF_ROUTE], route_id, fn, arg, e);
}
