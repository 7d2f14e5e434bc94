/* The routes of certificates. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/certs/room.h"
#include "controld/identity/identity.h"
#include "controld/store/changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RENEWALS_PER_MINUTE 10 /* the CA's limits are everybody's */
#define JSON_TYPE           "application/json; charset=utf-8"

static void reply_certificate(struct reply *rp, int status, const struct certificate *c)
{
	reply_etag(rp, c->version);
	certificate_print(reply_open(rp, status, JSON_TYPE), c, clock_wall_ms());
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct listing {
	struct buf *out;
	unsigned limit, n;
	int64_t now_ms;
	char last[PROTO_ID_SIZE];
	bool more;
};

static int on_listed(const struct certificate *c, void *arg)
{
	struct listing *l = arg;

	if (l->n == l->limit) {
		l->more = true;
		return 1;
	}
	l->n++;
	(void)str_copy(l->last, sizeof l->last, c->id);
	certificate_print(l->out, c, l->now_ms);
	return 0;
}

static int api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct certs *c = feature;
	const char *name = request_query(rq, "host");
	struct listing l = { .now_ms = clock_wall_ms() };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(c->store, &db, e) != 0)
		return -1;
	const struct certificate_filter f = { request_identity(rq)->tenant_id, name != NULL ? name : "", page.after,
		page.limit + 1 };

	l.limit = page.limit;
	l.out = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(l.out, NULL);
	jsonw_array(l.out, "items");
	rc = certificate_list(db, &f, on_listed, &l, e);
	store_read_end(db);
	jsonw_end_array(l.out);
	jsonw_str(l.out, "next_cursor", l.more ? l.last : NULL);
	jsonw_end_object(l.out);
	return rc;
}

static int api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct certs *c = feature;
	struct certificate one;
	struct db *db;
	int rc;

	if (store_read_begin(c->store, &db, e) != 0)
		return -1;
	rc = certificate_get(db, request_identity(rq)->tenant_id, request_param(rq, "id"), false, &one, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_certificate(rp, 200, &one);
	certificate_fini(&one);
	return 0;
}

/* ---- changing ----------------------------------------------------------------------------------------------------- */

struct changing {
	struct certs *certs;
	struct request *rq;
	struct certificate c;
	int64_t now_ms;
	size_t known; /* of its errors, before the transaction, which may run again */
};

static int log_change(struct db *tx, struct changing *ch, const char *op, const char *fields, struct err *e)
{
	struct change how = { .time_ms = ch->now_ms,
		.actor = request_identity(ch->rq)->actor,
		.request_id = request_id(ch->rq),
		.op = op,
		.fields = fields };

	return certificate_log(tx, &ch->c, &how, e);
}

static const char *text(const struct request *rq, const char *name)
{
	return json_string_value(json_object_get(request_body(rq), name));
}

/* rc of a check that has filled *e: what is wrong with one field is gathered, as there may be more. */
static int gather(struct changing *ch, int rc, const struct err *e)
{
	if (rc == 0)
		return 0;
	if (e == NULL || e->field[0] == '\0')
		return -1;
	err_list_take(request_errors(ch->rq), e);
	return 0;
}

static bool is_wrong(const struct changing *ch, const char *field)
{
	return err_list_has(request_errors(ch->rq), field);
}

/* The first of what is wrong, when there is any. */
static int fail_input(struct changing *ch, struct err *e)
{
	const struct err_list *errs = request_errors(ch->rq);

	if (errs->n == 0)
		return 0;
	if (e != NULL)
		*e = errs->items[0];
	return -1;
}

static int take_ocsp(struct changing *ch, struct err *e)
{
	const char *s = text(ch->rq, "ocsp");
	uint8_t *der;
	int n, rc;

	if (s == NULL)
		return 0;
	if ((der = malloc(strlen(s) + 1)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	n = str_unb64url(der, strlen(s), s, strlen(s));
	if (n <= 0)
		rc = err_set(e, ERR_VALIDATION, "ocsp", "ocsp: must be base64url without padding");
	else if (is_wrong(ch, "chain") || is_wrong(ch, "key")) /* it says something of that chain */
		rc = 0;
	else
		rc = -(certificate_take_ocsp(&ch->c, der, (size_t)n, ch->now_ms, e) != 0);
	free(der);
	return rc;
}

/* null and an empty list are nothing. */
static void need(struct changing *ch, const char *field)
{
	const json_t *given = json_object_get(request_body(ch->rq), field);
	const bool is_there = json_is_array(given) ? json_array_size(given) > 0 : given != NULL && !json_is_null(given);

	if (!is_there && !is_wrong(ch, field))
		err_list_add(
			request_errors(ch->rq), ERR_MISSING_FIELD, field, "required", NULL, "%s: is required", field);
}

/* Chain and key come together: neither is of use with the other's old part. */
static int take_chain(struct changing *ch, struct err *e)
{
	const char *chain = text(ch->rq, "chain"), *key = text(ch->rq, "key");
	const char *lacks = chain == NULL ? "chain" : "key";

	if (is_wrong(ch, "chain") || is_wrong(ch, "key") || (chain == NULL && key == NULL))
		return 0;
	if (chain == NULL || key == NULL)
		return err_set(e, ERR_VALIDATION, lacks, "%s: chain and key are changed together", lacks);
	return certificate_take(&ch->c, chain, key, ch->now_ms, e);
}

static int take(struct changing *ch, struct err *e)
{
	const char *name = text(ch->rq, "name");

	if (name != NULL)
		(void)str_copy(ch->c.name, sizeof ch->c.name, name);
	return gather(ch, take_chain(ch, e), e) != 0 ? -1 : gather(ch, take_ocsp(ch, e), e);
}

/* What comes from its owner comes with its chain. */
static int take_own(struct changing *ch, struct err *e)
{
	static const char *const others[] = { "names", "challenge" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (json_object_get(request_body(ch->rq), others[i]) != NULL)
			err_list_add(request_errors(ch->rq), ERR_VALIDATION, others[i], "combination", NULL,
				"%s: is for source 'acme'; the chain has its own names", others[i]);
	need(ch, "chain");
	need(ch, "key");
	return take(ch, e);
}

/* ---- from a CA by itself ------------------------------------------------------------------------------------------ */

static int take_name(char dst[HOST_NAME_SIZE], const char *s, struct err_list *errs)
{
	if (s[0] == '*')
		return err_list_add(errs, ERR_VALIDATION, "names", "format", s,
			"names: '%.80s' is a wildcard: a CA gives one for dns-01 only, which is not done here", s);
	if (host_name_take(dst, s, strlen(s)) != 0 || strchr(dst, '.') == NULL)
		return err_list_add(errs, ERR_VALIDATION, "names", "format", s,
			"names: '%.80s' is no host name of two labels or more, such as www.example.org", s);
	return 0;
}

/* By comma, each once; without those that are wrong. */
static int take_names(const json_t *names, char *dst, struct err_list *errs)
{
	char one[HOST_NAME_SIZE], framed[HOST_NAME_SIZE + 2], all[CERTIFICATE_NAMES_SIZE + 2] = ",";
	size_t n = 1, i;
	const json_t *name;

	json_array_foreach(names, i, name)
	{
		if (take_name(one, json_string_value(name), errs) != 0)
			continue;
		(void)str_fmt(framed, sizeof framed, ",%s,", one);
		if (strstr(all, framed) != NULL)
			continue;
		(void)str_fmt(all + n, sizeof all - n, "%s,", one);
		n += strlen(all + n);
	}
	all[n - 1] = '\0';
	return str_copy(dst, CERTIFICATE_NAMES_SIZE, all + 1);
}

static void refuse_own(struct request *rq)
{
	static const char *const others[] = { "chain", "key", "ocsp" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (text(rq, others[i]) != NULL)
			err_list_add(request_errors(rq), ERR_VALIDATION, others[i], "combination", NULL,
				"%s: comes from the CA, as the source is 'acme'", others[i]);
}

static int take_acme(struct changing *ch, struct err *e)
{
	const char *challenge = text(ch->rq, "challenge"), *name = text(ch->rq, "name");
	const json_t *given = json_object_get(request_body(ch->rq), "names");
	char *names;
	int rc;

	if (ch->certs->conf.ca == NULL)
		err_list_add(request_errors(ch->rq), ERR_VALIDATION, "source", "unavailable", "acme",
			"source: 'acme' needs a certificate authority, and none is set (acme.url)");
	refuse_own(ch->rq);
	need(ch, "names");
	if (json_array_size(given) == 0)
		return 0;
	if ((names = malloc(CERTIFICATE_NAMES_SIZE)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	rc = take_names(given, names, request_errors(ch->rq));
	if (rc == 0)
		rc = certificate_want(&ch->c, names, e);
	free(names);
	if (rc != 0)
		return -1;
	if (name != NULL)
		(void)str_copy(ch->c.name, sizeof ch->c.name, name);
	(void)str_copy(ch->c.order.certificate_id, sizeof ch->c.order.certificate_id, ch->c.id);
	(void)str_copy(ch->c.order.tenant_id, sizeof ch->c.order.tenant_id, ch->c.tenant_id);
	ch->c.order.due_ms = ch->now_ms;
	return order_challenge_parse(challenge != NULL ? challenge : "http-01", &ch->c.order.challenge);
}

static bool is_acme(const struct certificate *c)
{
	return c->order.certificate_id[0] != '\0';
}

/* ---- changes ------------------------------------------------------------------------------------------------------ */

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct changing *ch = arg;
	const uint32_t most = ch->certs->conf.certificates_max;
	int64_t n;

	if (certificate_count(tx, ch->c.tenant_id, &n, e) != 0)
		return -1;
	if (most != 0 && n >= most)
		return err_set(e, ERR_LIMIT, NULL, "the tenant has %u certificates, which is the most", most);
	if (log_change(tx, ch, "create", "", e) != 0 || certificate_insert(tx, &ch->c, e) != 0)
		return -1;
	if (is_acme(&ch->c))
		return order_insert(tx, &ch->c.order, e) != 0
		               ? -1
		               : certs_issue_in(ch->certs, tx, ch->c.id, ch->c.tenant_id, NULL, e);
	return ch->c.ocsp_url[0] != '\0' ? certs_ocsp_in(ch->certs, tx, ch->c.id, ch->c.tenant_id, e) : 0;
}

static int api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct changing ch = { .certs = feature, .rq = rq, .now_ms = clock_wall_ms() };
	int rc;

	rand_id(ch.c.id, "crt");
	(void)str_copy(ch.c.tenant_id, sizeof ch.c.tenant_id, who->tenant_id);
	(void)str_copy(ch.c.user_id, sizeof ch.c.user_id, who->user_id);
	ch.c.version = 1;
	ch.c.created_ms = ch.c.updated_ms = ch.now_ms;
	if (is_wrong(&ch, "source")) /* then it is not known what else there should be */
		rc = -1;
	else
		rc = str_eq(text(rq, "source"), "acme") ? take_acme(&ch, e) : take_own(&ch, e);
	if (rc == 0)
		rc = fail_input(&ch, e);
	if (rc == 0)
		rc = store_write(ch.certs->store, STORE_LOGGED, work_create, &ch, e);
	if (rc == 0)
		reply_certificate(rp, 201, &ch.c);
	certificate_fini(&ch.c);
	return rc;
}

static int begin(struct db *tx, struct changing *ch, struct err *e)
{
	char etag[32];

	certificate_fini(&ch->c); /* of a run before */
	if (certificate_get(tx, request_identity(ch->rq)->tenant_id, request_param(ch->rq, "id"), true, &ch->c, e) != 0)
		return -1;
	(void)str_fmt(etag, sizeof etag, "v%" PRId64, ch->c.version);
	return request_if_match(ch->rq, etag, e);
}

static const char *fields_of(const struct request *rq, char dst[64])
{
	static const char *const names[] = { "name", "chain", "ocsp" };
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (text(rq, names[i]) == NULL)
			continue;
		(void)str_fmt(dst + n, 64 - n, "%s%s", n > 0 ? "," : "", names[i]);
		n = strlen(dst);
	}
	return dst;
}

/* Where it comes from and what for stays. */
static void refuse_fixed(struct changing *ch)
{
	static const char *const fixed[] = { "source", "names", "challenge" };

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (json_object_get(request_body(ch->rq), fixed[i]) != NULL)
			err_list_add(request_errors(ch->rq), ERR_VALIDATION, fixed[i], "immutable", NULL,
				"%s: cannot be changed; make another certificate, and delete this one when it is there",
				fixed[i]);
	if (is_acme(&ch->c))
		refuse_own(ch->rq);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct changing *ch = arg;
	char fields[64];

	request_errors(ch->rq)->n = ch->known;
	if (begin(tx, ch, e) != 0)
		return -1;
	refuse_fixed(ch);
	if (take(ch, e) != 0 || fail_input(ch, e) != 0)
		return -1;
	ch->c.version++;
	ch->c.updated_ms = ch->now_ms;
	if (log_change(tx, ch, "update", fields_of(ch->rq, fields), e) != 0)
		return -1;
	if (certificate_update(tx, &ch->c, e) != 0)
		return -1;
	return text(ch->rq, "chain") != NULL && ch->c.ocsp_url[0] != '\0'
	               ? certs_ocsp_in(ch->certs, tx, ch->c.id, ch->c.tenant_id, e)
	               : 0;
}

static int api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct changing ch = { .certs = feature, .rq = rq, .now_ms = clock_wall_ms(), .known = request_errors(rq)->n };
	int rc = store_write(ch.certs->store, STORE_LOGGED, work_update, &ch, e);

	if (rc == 0)
		reply_certificate(rp, 200, &ch.c);
	certificate_fini(&ch.c);
	return rc;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct changing *ch = arg;

	if (begin(tx, ch, e) != 0 || log_change(tx, ch, "delete", "", e) != 0)
		return -1;
	return certificate_delete(tx, ch->c.id, e);
}

static int api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct changing ch = { .certs = feature, .rq = rq, .now_ms = clock_wall_ms() };
	int rc = store_write(ch.certs->store, STORE_LOGGED, work_delete, &ch, e);

	if (rc == 0)
		reply_empty(rp, 204);
	certificate_fini(&ch.c);
	return rc;
}

struct renewing {
	struct changing ch;
	char job_id[RAND_ID_SIZE];
};

static int work_renew(struct db *tx, void *arg, struct err *e)
{
	struct renewing *r = arg;
	struct certificate *c = &r->ch.c;

	if (begin(tx, &r->ch, e) != 0)
		return -1;
	if (!is_acme(c))
		return err_set(e, ERR_CONFLICT, NULL, "the certificate is its owner's to renew (source 'own')");
	if (order_want(tx, c->id, r->ch.now_ms, e) != 0 || log_change(tx, &r->ch, "renew", "", e) != 0)
		return -1;
	return certs_issue_in(r->ch.certs, tx, c->id, c->tenant_id, r->job_id, e);
}

static int api_renew(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct renewing r = { .ch = { .certs = feature, .rq = rq, .now_ms = clock_wall_ms() } };
	int rc = store_write(r.ch.certs->store, STORE_LOGGED, work_renew, &r, e);

	if (rc == 0)
		reply_json(rp, 202, json_pack("{s:s}", "job_id", r.job_id));
	certificate_fini(&r.ch.c);
	return rc;
}

/* ---- schema and routes -------------------------------------------------------------------------------------------- */

static const char *const sources[] = { "own", "acme", NULL };
static const char *const challenges[] = { "http-01", "tls-alpn-01", NULL };
static const char *const statuses[] = { "pending", "failing", "valid", "not_yet_valid", "waits_for_ocsp", "expired",
	"revoked", NULL };

static const struct schema_field fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "user_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "name", .type = SCHEMA_STRING, .max = CERTIFICATE_NAME_MAX, .help = "for people" },
	{ .name = "source",
		.type = SCHEMA_STRING,
		.choices = sources,
		.help = "own: chain and key are given here; acme: the CA of acme.url gives and renews it" },
	{ .name = "names",
		.type = SCHEMA_ARRAY,
		.item_type = SCHEMA_STRING,
		.max = ACME_ORDER_NAMES,
		.help = "acme: hosts that it is wanted for, each served by a route with ssl_enabled; no wildcards" },
	{ .name = "challenge",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.choices = challenges,
		.help = "acme: what relays show the CA: http-01 at port 80 (the default), tls-alpn-01 at port 443" },
	{ .name = "chain",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = CERT_CHAIN_PEM_MAX,
		.help = "own: PEM: the site's certificate first, then those that lead to its CA" },
	{ .name = "key",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_SECRET,
		.min = 1,
		.max = CERT_KEY_PEM_MAX,
		.help = "own: PEM, without pass phrase: its private key, which is never shown" },
	{ .name = "ocsp",
		.type = SCHEMA_STRING,
		.max = 2 * CERT_OCSP_MAX,
		.help = "what its CA says of it (RFC 6960), DER in base64url; shown to visitors until it is over" },
	{ .name = "issuer", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "key_type", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "serial", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "fingerprint", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY, .help = "SHA-256" },
	{ .name = "not_before", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "not_after", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "ocsp_until", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "revoked_at",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
		.help = "when it was heard of its CA (OCSP) that it has revoked it; acme: another one is ordered at "
			"once" },
	{ .name = "must_staple",
		.type = SCHEMA_BOOL,
		.flags = SCHEMA_READ_ONLY,
		.help = "of no use without OCSP (RFC 7633): relays get it when its CA has answered" },
	{ .name = "renew_at",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
		.help = "acme: when the next one is wanted: after two thirds of its life" },
	{ .name = "failures", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY, .help = "acme: since the last one came" },
	{ .name = "error",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
		.help = "the last of these" },
	{ .name = "error_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "waiting_for",
		.type = SCHEMA_ARRAY,
		.flags = SCHEMA_READ_ONLY,
		.item_type = SCHEMA_STRING,
		.help = "acme: relays that have not confirmed what they are to answer the CA" },
	{ .name = "ocsp_url", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "ocsp_error",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
		.help = "why its CA's last answer was not taken" },
	{ .name = "status",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_READ_ONLY,
		.choices = statuses,
		.help = "acme: pending or failing until the first has come" },
	{ .name = "version", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY },
	{ .name = "created_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "updated_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
};
static const struct schema schema = { "Certificate", fields, ARRAY_LEN(fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "host", .type = SCHEMA_STRING, .max = HOST_NAME_SIZE, .help = "only those with this very name" },
};
static const struct schema_field renewal_fields[] = {
	{ .name = "job_id", .type = SCHEMA_STRING, .help = "the job that does it, which may have been there" },
};
static const struct schema renewal = { "CertificateRenewal", renewal_fields, ARRAY_LEN(renewal_fields), false };

static const struct schema list_query = { NULL, list_fields, ARRAY_LEN(list_fields), false };

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"

const struct route certificate_rows[] = {
	{ GET, "/api/v1/certificates", PERM_READ, LANE_DB, &list_query, NULL, NULL, 200, 0, api_list,
		"List certificates", "Certificates" },
	{ POST, "/api/v1/certificates", PERM_WRITE, LANE_DB, NULL, &schema, &schema, 201, ROUTE_JUDGES, api_create,
		"Add a certificate and its private key, or have one given by a CA", "Certificates" },
	{ GET, "/api/v1/certificates/{id}", PERM_READ, LANE_DB, NULL, NULL, &schema, 200, 0, api_get,
		"Show one certificate, without its key", "Certificates" },
	{ PUT, "/api/v1/certificates/{id}", PERM_WRITE, LANE_DB, NULL, &schema, &schema, 200,
		ROUTE_PARTIAL | ROUTE_JUDGES, api_update,
		"Replace chain and key; relays show the new one from their next handshake on", "Certificates" },
	{ POST, "/api/v1/certificates/{id}/renew", PERM_WRITE, LANE_DB, NULL, NULL, &renewal, 202,
		ROUTE_PER_MINUTE(RENEWALS_PER_MINUTE), api_renew, "Have a certificate of source acme renewed now",
		"Certificates" },
	{ DELETE, "/api/v1/certificates/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, api_delete,
		"Delete a certificate", "Certificates" },
};
const size_t certificate_rows_n = ARRAY_LEN(certificate_rows);
