#include "controld/certs/order.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/secrets.h"
#include "proto/cert_conf.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX (CERT_KEY_PEM_MAX + 64 * 1024) /* bytes of key and request */

enum {
	SQL_INSERT,
	SQL_DELETE,
	SQL_PLACED,
	SQL_REQUEST,
	SQL_DONE,
	SQL_FAILED,
	SQL_WAIT,
	SQL_WANT,
	SQL_DUE,
	SQL_STALE,
	SQL_RESEAL,
};
const char order_stale[] =
	"SELECT certificate_id, request FROM certificate_orders WHERE url <> '' AND substr(request, 1, 5) <> "
	"?1 ORDER BY certificate_id LIMIT ?2";
const char order_reseal[] = "UPDATE certificate_orders SET request = ?2 WHERE certificate_id = ?1 AND request = ?3";
static const char *const sql[] = {
	[SQL_INSERT] = "INSERT INTO certificate_orders (certificate_id, tenant_id, challenge, url, request, due_ms, "
		       "failures, error, error_ms, waiting) VALUES (?1, ?2, ?3, '', ?4, ?5, 0, '', 0, '')",
	[SQL_DELETE] = "DELETE FROM certificate_orders WHERE certificate_id = ?1",
	[SQL_PLACED] = "UPDATE certificate_orders SET url = ?2, request = ?3 WHERE certificate_id = ?1",
	[SQL_REQUEST] = "SELECT request FROM certificate_orders WHERE certificate_id = ?1 AND url <> ''",
	[SQL_DONE] = "UPDATE certificate_orders SET url = '', request = ?2, due_ms = ?3, failures = 0, error = '', "
		     "error_ms = 0, waiting = '' WHERE certificate_id = ?1",
	[SQL_FAILED] =
		"UPDATE certificate_orders SET failures = failures + 1, error = ?2, error_ms = ?3, waiting = ?4, "
		"due_ms = ?5 WHERE certificate_id = ?1",
	[SQL_WAIT] = "UPDATE certificate_orders SET waiting = ?2 WHERE certificate_id = ?1",
	[SQL_WANT] = "UPDATE certificate_orders SET due_ms = ?2 WHERE certificate_id = ?1 AND due_ms > ?2",
	[SQL_DUE] = "SELECT certificate_id, tenant_id FROM certificate_orders WHERE due_ms <= ?1 ORDER BY due_ms, "
		    "certificate_id LIMIT ?2",
	[SQL_STALE] = order_stale,
	[SQL_RESEAL] = order_reseal,
};
const struct sql_table order_sql = { "certificate_order", sql, ARRAY_LEN(sql) };

static const char *const challenges[] = { [ACME_HTTP] = "http-01", [ACME_TLS] = "tls-alpn-01" };

const char *order_challenge_name(enum acme_type t)
{
	return challenges[t];
}

int order_challenge_parse(const char *s, enum acme_type *out)
{
	for (size_t i = ACME_HTTP; i < ARRAY_LEN(challenges); i++)
		if (str_eq(challenges[i], s)) {
			*out = (enum acme_type)i;
			return 0;
		}
	return -1;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int order_insert(struct db *tx, const struct order *o, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_INSERT], e, bind_s(o->certificate_id), bind_s(o->tenant_id),
			   bind_s(order_challenge_name(o->challenge)), bind_b("", 0), bind_i(o->due_ms)),
		0);
}

int order_delete(struct db *tx, const char *certificate_id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_s(certificate_id)), 0);
}

static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	(void)str_copy(dst, size, s != NULL ? s : "");
}

void order_load(struct order *o, struct query *q, int col)
{
	memset(o, 0, sizeof *o);
	if (query_is_null(q, col))
		return;
	load_text(o->certificate_id, sizeof o->certificate_id, q, col);
	load_text(o->tenant_id, sizeof o->tenant_id, q, col + 1);
	if (order_challenge_parse(query_text(q, col + 2), &o->challenge) != 0)
		o->challenge = ACME_HTTP;
	load_text(o->url, sizeof o->url, q, col + 3);
	o->due_ms = query_int(q, col + 4);
	o->failures = query_int(q, col + 5);
	o->error_ms = query_int(q, col + 6);
	load_text(o->error, sizeof o->error, q, col + 7);
	load_text(o->waiting, sizeof o->waiting, q, col + 8);
}

/* ---- the order under way ----------------------------------------------------------------------------------------- */

static void context_of(char dst[64], const char *certificate_id)
{
	(void)str_fmt(dst, 64, ORDER_SEALED_FOR "%s", certificate_id);
}

static void wipe(struct buf *b)
{
	if (b->data != NULL)
		seal_wipe(b->data, b->len);
	buf_free(b);
}

/* The key's text, a NUL, the request. */
int order_placed(struct db *tx, const char *certificate_id, const char *url, const char *key_pem, const struct buf *der,
	struct err *e)
{
	struct buf plain, sealed;
	char context[64];
	int rc = 0;

	buf_init(&plain, REQUEST_MAX);
	buf_init(&sealed, REQUEST_MAX + SECRETS_OVERHEAD);
	context_of(context, certificate_id);
	if (url[0] != '\0') {
		buf_put(&plain, key_pem, strlen(key_pem) + 1);
		buf_put(&plain, der->data, der->len);
		rc = plain.failed ? err_set(e, ERR_NOMEM, NULL, "certificate %s: out of memory", certificate_id)
		                  : secrets_seal(tx, context, plain.data, plain.len, &sealed, e);
	}
	if (rc == 0)
		rc = MIN(db_exec(tx, sql[SQL_PLACED], e, bind_s(certificate_id), bind_s(url),
				 bind_b(sealed.len > 0 ? sealed.data : (const void *)"", sealed.len)),
			0);
	wipe(&plain);
	buf_free(&sealed);
	return rc;
}

static int split(const struct buf *plain, char **key_pem, struct buf *der, struct err *e)
{
	const char *text = (const char *)plain->data;
	const size_t n = plain->len > 0 ? strnlen(text, plain->len) : 0;

	if (n == 0 || n == plain->len)
		return err_set(e, ERR_INTERNAL, NULL, "order of a certificate: what is stored cannot be read");
	if ((*key_pem = strdup(text)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "order of a certificate: out of memory");
	buf_put(der, text + n + 1, plain->len - n - 1);
	return 0;
}

int order_request(struct db *db, const char *certificate_id, char **key_pem, struct buf *der, struct err *e)
{
	struct buf plain;
	struct query *q;
	char context[64];
	const void *p;
	size_t n;
	int rc;

	if (db_query(db, &q, sql[SQL_REQUEST], e, bind_s(certificate_id)) != 0)
		return -1;
	buf_init(&plain, REQUEST_MAX);
	context_of(context, certificate_id);
	if ((rc = query_next(q, e)) == 1) {
		p = query_blob(q, 0, &n);
		rc = secrets_unseal(db, context, p, n, &plain, e) == 0 ? split(&plain, key_pem, der, e) : -1;
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOT_FOUND, NULL, "certificate %s: no order is under way", certificate_id);
	}
	query_end(q);
	wipe(&plain);
	return rc;
}

int order_done(struct db *tx, const char *certificate_id, int64_t due_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DONE], e, bind_s(certificate_id), bind_b("", 0), bind_i(due_ms)), 0);
}

int order_failed(struct db *tx, const struct order *o, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_FAILED], e, bind_s(o->certificate_id), bind_s(o->error), bind_i(o->error_ms),
			   bind_s(o->waiting), bind_i(o->due_ms)),
		0);
}

int order_wait(struct db *tx, const char *certificate_id, const char *waiting, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_WAIT], e, bind_s(certificate_id), bind_s(waiting)), 0);
}

int order_want(struct db *tx, const char *certificate_id, int64_t now_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_WANT], e, bind_s(certificate_id), bind_i(now_ms)), 0);
}

int order_due(struct db *db, int64_t now_ms, unsigned limit, order_fn fn, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_DUE], e, bind_i(now_ms), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if (fn(query_text(q, 0), query_text(q, 1), arg) != 0)
			break;
	query_end(q);
	return MIN(rc, 0);
}
