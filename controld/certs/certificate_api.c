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

#define JSON_TYPE "application/json; charset=utf-8"

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
	const struct request *rq;
	struct certificate c;
	int64_t now_ms;
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
	rc = n > 0 ? certificate_take_ocsp(&ch->c, der, (size_t)n, ch->now_ms, e)
	           : err_set(e, ERR_VALIDATION, "ocsp", "ocsp: must be base64url without padding");
	free(der);
	return rc;
}

/* Chain and key come together: neither is of use with the other's old part. */
static int take(struct changing *ch, struct err *e)
{
	const char *name = text(ch->rq, "name"), *chain = text(ch->rq, "chain"), *key = text(ch->rq, "key");

	if ((chain == NULL) != (key == NULL))
		return err_set(e, ERR_VALIDATION, chain == NULL ? "chain" : "key",
			"%s: chain and key are changed together", chain == NULL ? "chain" : "key");
	if (name != NULL)
		(void)str_copy(ch->c.name, sizeof ch->c.name, name);
	if (chain != NULL && certificate_take(&ch->c, chain, key, ch->now_ms, e) != 0)
		return -1;
	return take_ocsp(ch, e);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct changing *ch = arg;
	const uint32_t most = ch->certs->conf.certificates_max;
	int64_t n;

	if (certificate_count(tx, ch->c.tenant_id, &n, e) != 0)
		return -1;
	if (most != 0 && n >= most)
		return err_set(e, ERR_CONFLICT, NULL, "the tenant has %u certificates, which is the most", most);
	return log_change(tx, ch, "create", "", e) != 0 ? -1 : certificate_insert(tx, &ch->c, e);
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
	rc = take(&ch, e);
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

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct changing *ch = arg;
	char fields[64];

	if (begin(tx, ch, e) != 0 || take(ch, e) != 0)
		return -1;
	ch->c.version++;
	ch->c.updated_ms = ch->now_ms;
	if (log_change(tx, ch, "update", fields_of(ch->rq, fields), e) != 0)
		return -1;
	return certificate_update(tx, &ch->c, e);
}

static int api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct changing ch = { .certs = feature, .rq = rq, .now_ms = clock_wall_ms() };
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

/* ---- schema and routes -------------------------------------------------------------------------------------------- */

static const struct schema_field fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "user_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "name", .type = SCHEMA_STRING, .max = CERTIFICATE_NAME_MAX, .help = "for people" },
	{ .name = "chain",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = CERT_CHAIN_PEM_MAX,
		.help = "PEM: the site's certificate first, then those that lead to its CA" },
	{ .name = "key",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED | SCHEMA_SECRET,
		.min = 1,
		.max = CERT_KEY_PEM_MAX,
		.help = "PEM, without pass phrase: its private key, which is never shown" },
	{ .name = "ocsp",
		.type = SCHEMA_STRING,
		.max = 2 * CERT_OCSP_MAX,
		.help = "what its CA says of it (RFC 6960), DER in base64url; shown to visitors until it is over" },
	{ .name = "names", .type = SCHEMA_ARRAY, .flags = SCHEMA_READ_ONLY, .item_type = SCHEMA_STRING },
	{ .name = "issuer", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "key_type", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "serial", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "fingerprint", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY, .help = "SHA-256" },
	{ .name = "not_before", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "not_after", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "ocsp_until", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "status", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY, .help = "valid, not_yet_valid, expired" },
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
static const struct schema list_query = { NULL, list_fields, ARRAY_LEN(list_fields), false };

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"

const struct route certificate_rows[] = {
	{ GET, "/api/v1/certificates", PERM_READ, LANE_DB, &list_query, NULL, NULL, 200, 0, api_list,
		"List certificates", "Certificates" },
	{ POST, "/api/v1/certificates", PERM_WRITE, LANE_DB, NULL, &schema, &schema, 201, 0, api_create,
		"Add a certificate and its private key", "Certificates" },
	{ GET, "/api/v1/certificates/{id}", PERM_READ, LANE_DB, NULL, NULL, &schema, 200, 0, api_get,
		"Show one certificate, without its key", "Certificates" },
	{ PUT, "/api/v1/certificates/{id}", PERM_WRITE, LANE_DB, NULL, &schema, &schema, 200, ROUTE_PARTIAL, api_update,
		"Replace chain and key; relays show the new one from their next handshake on", "Certificates" },
	{ DELETE, "/api/v1/certificates/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, api_delete,
		"Delete a certificate", "Certificates" },
};
const size_t certificate_rows_n = ARRAY_LEN(certificate_rows);
