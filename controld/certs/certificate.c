#include "controld/certs/certificate.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/certs/answer.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/store/secrets.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                                    \
	"c.id, c.tenant_id, c.user_id, c.name, c.names, c.chain, c.ocsp, c.ocsp_until_ms, c.issuer, c.key_type, "  \
	"c.serial, c.fingerprint, c.not_before_ms, c.not_after_ms, c.version, c.seq, c.created_ms, c.updated_ms, " \
	"c.private_key, c.must_staple, c.ocsp_url, c.ocsp_due_ms, c.ocsp_failures, c.ocsp_error, "                 \
	"c.revoked_ms, " ORDER_COLUMNS
#define COL_KEY   18
#define COL_ORDER 25
#define FROM      " FROM certificates c LEFT JOIN certificate_orders o ON o.certificate_id = c.id "

enum {
	SQL_INSERT,
	SQL_INSERT_NAME,
	SQL_UPDATE,
	SQL_DELETE,
	SQL_DELETE_NAMES,
	SQL_GET,
	SQL_LIST,
	SQL_COUNT,
	SQL_OWNED,
	SQL_STALE,
	SQL_RESEAL,
	SQL_UPDATE_OCSP,
	SQL_OCSP_DUE,
};
static const char stale[] =
	"SELECT id, private_key FROM certificates WHERE substr(private_key, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal[] = "UPDATE certificates SET private_key = ?2 WHERE id = ?1 AND private_key = ?3";
static const char *const sql[] = {
	[SQL_INSERT] =
		"INSERT INTO certificates (id, tenant_id, user_id, name, names, chain, ocsp, ocsp_until_ms, issuer, "
		"key_type, serial, fingerprint, not_before_ms, not_after_ms, version, seq, created_ms, updated_ms, "
		"private_key, must_staple, ocsp_url, ocsp_due_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
		"?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
	[SQL_INSERT_NAME] = "INSERT INTO certificate_names (certificate_id, tenant_id, name) VALUES (?1, ?2, ?3) "
			    "ON CONFLICT DO NOTHING",
	[SQL_UPDATE] =
		"UPDATE certificates SET name = ?2, names = ?3, chain = ?4, ocsp = ?5, ocsp_until_ms = ?6, issuer "
		"= ?7, key_type = ?8, serial = ?9, fingerprint = ?10, not_before_ms = ?11, not_after_ms = ?12, "
		"version = ?13, seq = ?14, updated_ms = ?15, private_key = ?16, must_staple = ?17, ocsp_url = ?18, "
		"ocsp_due_ms = ?19, revoked_ms = ?20 WHERE id = ?1",
	[SQL_DELETE] = "DELETE FROM certificates WHERE id = ?1",
	[SQL_DELETE_NAMES] = "DELETE FROM certificate_names WHERE certificate_id = ?1",
	[SQL_GET] = "SELECT " COLUMNS FROM "WHERE (?1 = '' OR c.tenant_id = ?1) AND c.id = ?2",
	[SQL_LIST] =
		"SELECT " COLUMNS FROM "WHERE (?1 = '' OR c.tenant_id = ?1) AND c.id > ?2 AND (?3 = '' "
		"OR c.id IN (SELECT certificate_id FROM certificate_names WHERE name = ?3)) ORDER BY c.id LIMIT ?4",
	[SQL_COUNT] = "SELECT count(*) FROM certificates WHERE tenant_id = ?1",
	[SQL_OWNED] = "SELECT id FROM certificates WHERE tenant_id = ?1 LIMIT 1",
	[SQL_STALE] = stale,
	[SQL_RESEAL] = reseal,
	[SQL_UPDATE_OCSP] =
		"UPDATE certificates SET must_staple = ?2, ocsp_url = ?3, ocsp_due_ms = ?4, ocsp_failures = "
		"?5, ocsp_error = ?6 WHERE id = ?1",
	[SQL_OCSP_DUE] =
		"SELECT id, tenant_id FROM certificates WHERE ocsp_due_ms <= ?1 AND not_after_ms > ?1 ORDER BY "
		"ocsp_due_ms, id LIMIT ?2",
};
const struct sql_table certificate_sql = { "certificate", sql, ARRAY_LEN(sql) };

#define SEALED_FOR "certificate-key:"
const struct sealed_column certificate_sealed[] = {
	{ "certificates.private_key", SEALED_FOR, false, stale, reseal },
	{ "certificate_orders.request", ORDER_SEALED_FOR, false, order_stale, order_reseal },
	{ "certificate_answers.body", ANSWER_SEALED_FOR, false, answer_stale, answer_reseal },
};
const size_t certificate_sealed_n = ARRAY_LEN(certificate_sealed);

void certificate_fini(struct certificate *c)
{
	free(c->names);
	free(c->chain);
	free(c->ocsp);
	if (c->key != NULL)
		seal_wipe(c->key, strlen(c->key));
	free(c->key);
	c->names = c->chain = c->ocsp = c->key = NULL;
}

/* ---- what may be shown -------------------------------------------------------------------------------------------- */

/* Those that a route can have; -1: there is none of them, or no memory. */
static char *names_of(const struct site_cert_info *info)
{
	char *names = malloc(CERTIFICATE_NAMES_SIZE);
	char one[HOST_NAME_SIZE];
	size_t n = 0;

	if (names == NULL)
		return NULL;
	names[0] = '\0';
	for (uint32_t i = 0; i < info->n_names; i++) {
		if (host_pattern_take(one, info->names[i], strlen(info->names[i])) != 0)
			continue;
		(void)str_fmt(names + n, CERTIFICATE_NAMES_SIZE - n, "%s%s", n > 0 ? "," : "", one);
		n += strlen(names + n);
	}
	return names;
}

static int check(const struct site_cert_info *info, const char *chain, const char *key, int64_t now_ms, struct err *e)
{
	if (site_cert_check_key(chain, key, e) != 0)
		return -1;
	if (info->leaf.not_after_ms <= now_ms)
		return err_set(e, ERR_VALIDATION, "chain", "chain: the certificate has ended");
	if (info->leaf.not_before_ms >= info->leaf.not_after_ms)
		return err_set(e, ERR_VALIDATION, "chain", "chain: the certificate ends before it begins");
	return 0;
}

int certificate_take(struct certificate *c, const char *chain, const char *key, int64_t now_ms, struct err *e)
{
	struct site_cert_info *info = malloc(sizeof *info);
	struct certificate now = *c;
	int rc = -1;

	now.names = now.chain = now.key = now.ocsp = NULL;
	if (info == NULL)
		err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	else if (site_cert_inspect(chain, info, e) == 0 && check(info, chain, key, now_ms, e) == 0) {
		now.names = names_of(info);
		now.chain = strdup(chain);
		now.key = strdup(key);
		now.ocsp = strdup("");
		if (now.names == NULL || now.chain == NULL || now.key == NULL || now.ocsp == NULL)
			err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
		else if (now.names[0] == '\0')
			err_set(e, ERR_VALIDATION, "chain", "chain: the certificate names no host");
		else
			rc = 0;
	}
	if (rc == 0) {
		certificate_fini(c);
		now.ocsp_until_ms = 0;
		now.must_staple = info->must_staple;
		now.ocsp_due_ms = info->ocsp_url[0] != '\0' ? 0 : CERTIFICATE_OCSP_NEVER_MS;
		now.ocsp_failures = 0;
		now.ocsp_error[0] = '\0';
		now.revoked_ms = 0;
		(void)str_copy(now.ocsp_url, sizeof now.ocsp_url, info->ocsp_url);
		now.not_before_ms = info->leaf.not_before_ms;
		now.not_after_ms = info->leaf.not_after_ms;
		(void)str_copy(now.issuer, sizeof now.issuer, info->issuer);
		(void)str_copy(now.key_type, sizeof now.key_type, info->key_type);
		(void)str_copy(now.serial, sizeof now.serial, info->leaf.serial);
		(void)str_copy(now.fingerprint, sizeof now.fingerprint, info->leaf.fingerprint);
		*c = now;
	} else {
		certificate_fini(&now);
	}
	free(info);
	return rc;
}

int certificate_want(struct certificate *c, const char *names, struct err *e)
{
	certificate_fini(c);
	c->names = strdup(names);
	c->chain = strdup("");
	c->key = strdup("");
	c->ocsp = strdup("");
	if (c->names != NULL && c->chain != NULL && c->key != NULL && c->ocsp != NULL)
		return 0;
	certificate_fini(c);
	return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
}

/* Clients that know the mark of RFC 7633 turn away from a server that shows such a certificate alone. */
bool certificate_is_ready(const struct certificate *c)
{
	return c->chain[0] != '\0' && (!c->must_staple || c->ocsp[0] != '\0');
}

int certificate_take_ocsp(struct certificate *c, const void *der, size_t n, int64_t now_ms, struct err *e)
{
	char *text;
	int64_t until_ms;
	int rc;

	if (n > CERT_OCSP_MAX)
		return err_set(e, ERR_VALIDATION, "ocsp", "ocsp: %zu bytes, at most %d", n, CERT_OCSP_MAX);
	if ((rc = site_cert_check_ocsp(c->chain, der, n, now_ms, &until_ms, e)) != 0)
		return rc;
	if ((text = malloc(str_b64url_len(n) + 1)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	str_b64url(text, der, n);
	free(c->ocsp);
	c->ocsp = text;
	c->ocsp_until_ms = until_ms;
	return 0;
}

/* Of a list by comma. */
static int each_of(const char *list, int (*fn)(const char *name, void *arg), void *arg)
{
	char one[HOST_NAME_SIZE];

	for (const char *p = list; *p != '\0';) {
		const size_t n = strcspn(p, ",");
		int rc;

		(void)str_fmt(one, sizeof one, "%.*s", (int)n, p);
		if ((rc = fn(one, arg)) != 0)
			return rc;
		p += n + (p[n] == ',');
	}
	return 0;
}

int certificate_each_name(const struct certificate *c, int (*fn)(const char *name, void *arg), void *arg)
{
	return each_of(c->names, fn, arg);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static int seal(struct db *tx, const struct certificate *c, struct buf *out, struct err *e)
{
	char context[64];

	buf_init(out, CERT_KEY_PEM_MAX + SECRETS_OVERHEAD);
	(void)str_fmt(context, sizeof context, SEALED_FOR "%s", c->id);
	return secrets_seal(tx, context, c->key, strlen(c->key), out, e);
}

static int unseal(struct db *db, struct query *q, struct certificate *c, struct err *e)
{
	char context[64];
	struct buf plain;
	size_t n;
	const void *p = query_blob(q, COL_KEY, &n);
	int rc;

	buf_init(&plain, CERT_KEY_PEM_MAX + SECRETS_OVERHEAD);
	(void)str_fmt(context, sizeof context, SEALED_FOR "%s", c->id);
	rc = secrets_unseal(db, context, p, n, &plain, e);
	if (rc == 0 && (c->key = strdup(buf_cstr(&plain))) == NULL)
		rc = err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}

struct naming {
	struct db *tx;
	const struct certificate *c;
	struct err *e;
};

static int on_name(const char *name, void *arg)
{
	const struct naming *n = arg;

	return MIN(
		db_exec(n->tx, sql[SQL_INSERT_NAME], n->e, bind_s(n->c->id), bind_s(n->c->tenant_id), bind_s(name)), 0);
}

static int write_names(struct db *tx, const struct certificate *c, struct err *e)
{
	struct naming n = { tx, c, e };

	if (db_exec(tx, sql[SQL_DELETE_NAMES], e, bind_s(c->id)) < 0)
		return -1;
	return certificate_each_name(c, on_name, &n);
}

int certificate_insert(struct db *tx, const struct certificate *c, struct err *e)
{
	struct buf key;
	int rc = seal(tx, c, &key, e);

	if (rc == 0)
		rc = db_exec(tx, sql[SQL_INSERT], e, bind_s(c->id), bind_s(c->tenant_id), bind_s(c->user_id),
			bind_s(c->name), bind_s(c->names), bind_s(c->chain), bind_s(c->ocsp), bind_i(c->ocsp_until_ms),
			bind_s(c->issuer), bind_s(c->key_type), bind_s(c->serial), bind_s(c->fingerprint),
			bind_i(c->not_before_ms), bind_i(c->not_after_ms), bind_i(c->version), bind_i(c->seq),
			bind_i(c->created_ms), bind_i(c->updated_ms), bind_b(key.data, key.len), bind_i(c->must_staple),
			bind_s(c->ocsp_url), bind_i(c->ocsp_due_ms));
	buf_free(&key);
	return rc < 0 ? -1 : write_names(tx, c, e);
}

int certificate_update(struct db *tx, const struct certificate *c, struct err *e)
{
	struct buf key;
	int rc = seal(tx, c, &key, e);

	if (rc == 0)
		rc = db_exec(tx, sql[SQL_UPDATE], e, bind_s(c->id), bind_s(c->name), bind_s(c->names), bind_s(c->chain),
			bind_s(c->ocsp), bind_i(c->ocsp_until_ms), bind_s(c->issuer), bind_s(c->key_type),
			bind_s(c->serial), bind_s(c->fingerprint), bind_i(c->not_before_ms), bind_i(c->not_after_ms),
			bind_i(c->version), bind_i(c->seq), bind_i(c->updated_ms), bind_b(key.data, key.len),
			bind_i(c->must_staple), bind_s(c->ocsp_url), bind_i(c->ocsp_due_ms), bind_i(c->revoked_ms));
	buf_free(&key);
	return rc < 0 ? -1 : write_names(tx, c, e);
}

int certificate_delete(struct db *tx, const char *id, struct err *e)
{
	if (db_exec(tx, sql[SQL_DELETE_NAMES], e, bind_s(id)) < 0 || order_delete(tx, id, e) != 0 ||
		answer_clear(tx, id, clock_wall_ms(), e) != 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_s(id)), 0);
}

static void load_text(char *dst, size_t size, struct query *q, int col)
{
	const char *s = query_text(q, col);

	(void)str_copy(dst, size, s != NULL ? s : "");
}

static char *load_long(struct query *q, int col)
{
	const char *s = query_text(q, col);

	return strdup(s != NULL ? s : "");
}

static int load(struct certificate *c, struct query *q, struct err *e)
{
	memset(c, 0, sizeof *c);
	load_text(c->id, sizeof c->id, q, 0);
	load_text(c->tenant_id, sizeof c->tenant_id, q, 1);
	load_text(c->user_id, sizeof c->user_id, q, 2);
	load_text(c->name, sizeof c->name, q, 3);
	c->names = load_long(q, 4);
	c->chain = load_long(q, 5);
	c->ocsp = load_long(q, 6);
	c->ocsp_until_ms = query_int(q, 7);
	load_text(c->issuer, sizeof c->issuer, q, 8);
	load_text(c->key_type, sizeof c->key_type, q, 9);
	load_text(c->serial, sizeof c->serial, q, 10);
	load_text(c->fingerprint, sizeof c->fingerprint, q, 11);
	c->not_before_ms = query_int(q, 12);
	c->not_after_ms = query_int(q, 13);
	c->version = query_int(q, 14);
	c->seq = query_int(q, 15);
	c->created_ms = query_int(q, 16);
	c->updated_ms = query_int(q, 17);
	c->must_staple = query_int(q, 19) != 0;
	load_text(c->ocsp_url, sizeof c->ocsp_url, q, 20);
	c->ocsp_due_ms = query_int(q, 21);
	c->ocsp_failures = query_int(q, 22);
	load_text(c->ocsp_error, sizeof c->ocsp_error, q, 23);
	c->revoked_ms = query_int(q, 24);
	order_load(&c->order, q, COL_ORDER);
	if (c->names != NULL && c->chain != NULL && c->ocsp != NULL)
		return 0;
	certificate_fini(c);
	return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
}

int certificate_get(
	struct db *db, const char *tenant_id, const char *id, bool with_key, struct certificate *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		rc = load(out, q, e);
		if (rc == 0 && with_key && (rc = unseal(db, q, out, e)) != 0)
			certificate_fini(out);
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOT_FOUND, NULL, "there is no certificate '%.40s'", id);
	}
	query_end(q);
	return rc;
}

int certificate_list(struct db *db, const struct certificate_filter *f, certificate_fn fn, void *arg, struct err *e)
{
	struct certificate c;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(f->tenant_id), bind_s(f->after), bind_s(f->name),
		    bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		if ((rc = load(&c, q, e)) != 0)
			break;
		const bool more = fn(&c, arg) == 0;

		certificate_fini(&c);
		if (!more)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}

int certificate_update_ocsp(struct db *tx, const struct certificate *c, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_UPDATE_OCSP], e, bind_s(c->id), bind_i(c->must_staple), bind_s(c->ocsp_url),
			   bind_i(c->ocsp_due_ms), bind_i(c->ocsp_failures), bind_s(c->ocsp_error)),
		0);
}

int certificate_ocsp_due(struct db *db, int64_t now_ms, unsigned limit,
	int (*fn)(const char *id, const char *tenant_id, void *arg), void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_OCSP_DUE], e, bind_i(now_ms), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if (fn(query_text(q, 0), query_text(q, 1), arg) != 0)
			break;
	query_end(q);
	return MIN(rc, 0);
}

int certificate_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
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

/* ---- what is told of it ------------------------------------------------------------------------------------------- */

static int on_printed(const char *name, void *arg)
{
	jsonw_str(arg, NULL, name);
	return 0;
}

static const char *status_of(const struct certificate *c, int64_t now_ms)
{
	if (c->chain[0] == '\0')
		return c->order.failures > 0 ? "failing" : "pending";
	if (c->not_after_ms <= now_ms)
		return "expired";
	if (c->not_before_ms > now_ms)
		return "not_yet_valid";
	if (c->revoked_ms != 0)
		return "revoked";
	return certificate_is_ready(c) ? "valid" : "waits_for_ocsp";
}

static bool is_ordered(const struct certificate *c)
{
	return c->order.certificate_id[0] != '\0';
}

/* How it goes on by itself. */
static void print_order(struct buf *b, const struct certificate *c)
{
	jsonw_time(b, "renew_at", is_ordered(c) ? c->order.due_ms : 0);
	jsonw_int(b, "failures", c->order.failures);
	jsonw_str_or_null(b, "error", c->order.error);
	jsonw_time(b, "error_at", c->order.error_ms);
	jsonw_array(b, "waiting_for");
	(void)each_of(c->order.waiting, on_printed, b);
	jsonw_end_array(b);
	jsonw_str_or_null(b, "ocsp_url", c->ocsp_url);
	jsonw_str_or_null(b, "ocsp_error", c->ocsp_error);
}

/* What does not change by itself. */
static void print_own(struct buf *b, const struct certificate *c)
{
	jsonw_str(b, "id", c->id);
	jsonw_str(b, "tenant_id", c->tenant_id);
	jsonw_str_or_null(b, "user_id", c->user_id);
	jsonw_str(b, "name", c->name);
	jsonw_array(b, "names");
	(void)certificate_each_name(c, on_printed, b);
	jsonw_end_array(b);
	jsonw_str(b, "source", is_ordered(c) ? "acme" : "own");
	jsonw_str_or_null(b, "challenge", is_ordered(c) ? order_challenge_name(c->order.challenge) : "");
	jsonw_str(b, "issuer", c->issuer);
	jsonw_str(b, "key_type", c->key_type);
	jsonw_str(b, "serial", c->serial);
	jsonw_str(b, "fingerprint", c->fingerprint);
	jsonw_bool(b, "must_staple", c->must_staple);
	jsonw_time(b, "not_before", c->not_before_ms);
	jsonw_time(b, "not_after", c->not_after_ms);
	jsonw_time(b, "ocsp_until", c->ocsp_until_ms);
	jsonw_time(b, "revoked_at", c->revoked_ms);
	jsonw_int(b, "version", c->version);
	jsonw_time(b, "created_at", c->created_ms);
	jsonw_time(b, "updated_at", c->updated_ms);
}

void certificate_print(struct buf *b, const struct certificate *c, int64_t now_ms)
{
	jsonw_object(b, NULL);
	print_own(b, c);
	print_order(b, c);
	jsonw_str(b, "status", status_of(c, now_ms));
	jsonw_str(b, "chain", c->chain);
	jsonw_end_object(b);
}

int certificate_log(struct db *tx, struct certificate *c, struct change *how, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, CERTIFICATE_NAMES_SIZE + 4096);
	jsonw_object(&b, NULL);
	print_own(&b, c);
	if (str_eq(how->op, CERTIFICATE_OP_FAILED))
		jsonw_str(&b, "error", c->order.error);
	jsonw_end_object(&b);
	how->tenant = c->tenant_id;
	how->kind = "certificate";
	how->subject = c->id;
	how->object = b.failed ? NULL : buf_cstr(&b);
	rc = changes_append(tx, how, &c->seq, e);
	buf_free(&b);
	return rc;
}

/* ---- its end with its tenant -------------------------------------------------------------------------------------- */

static int owned(struct db *tx, const char *tenant_id, char id[PROTO_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_OWNED], e, bind_s(tenant_id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		load_text(id, PROTO_ID_SIZE, q, 0);
	query_end(q);
	return rc;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	char id[PROTO_ID_SIZE];
	struct certificate c;
	int rc = 0;

	(void)position;
	*n = 0;
	if (!o->tenant) /* they are the tenant's, whoever brought them */
		return 0;
	for (; *n < limit && (rc = owned(tx, o->id, id, e)) == 1; ++*n) {
		struct change how = { .time_ms = o->now_ms, .actor = "system", .op = "delete", .fields = "" };

		if (certificate_get(tx, o->id, id, false, &c, e) != 0)
			return -1;
		rc = certificate_log(tx, &c, &how, e);
		certificate_fini(&c);
		if (rc != 0 || certificate_delete(tx, id, e) != 0)
			return -1;
	}
	return MIN(rc, 0);
}

const struct erasure certificate_erasure = { "certificate",
	"certificates,certificate_names,certificate_orders,certificate_answers", erase };
