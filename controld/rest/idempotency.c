#include "controld/rest/idempotency.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/rest/call.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IDEMPOTENCY_KEY_MAX    255
#define IDEMPOTENCY_KEEP_MS    (24 * 3600 * 1000LL)
#define IDEMPOTENCY_RUN_MS     60000 /* after this a claim without answer is one that was cut off */
#define IDEMPOTENCY_ANSWER_MAX (256u << 10)
#define IDEMPOTENCY_CONTEXT    "idempotency"
#define IDEMPOTENCY_SECRET     "idempotency-hash"

static const char sql_expire[] = "DELETE FROM idempotency_keys WHERE created_ms < ?1";
static const char sql_claim[] = "INSERT INTO idempotency_keys (tenant_id, idem_key, route, request_hash, status, "
				"content_type, location, etag, body, "
				"created_ms) VALUES (?1, ?2, ?3, ?4, 0, '', '', '', ?5, ?6) ON CONFLICT (tenant_id, "
				"idem_key, route) DO NOTHING";
static const char sql_find[] = "SELECT request_hash, status, content_type, location, etag, body, created_ms "
			       "FROM idempotency_keys WHERE tenant_id = ?1 AND idem_key = ?2 AND route = ?3";
static const char sql_answer[] =
	"UPDATE idempotency_keys SET status = ?4, content_type = ?5, location = ?6, etag = ?7, "
	"body = ?8 WHERE tenant_id = ?1 AND idem_key = ?2 AND route = ?3";
static const char sql_give_back[] =
	"DELETE FROM idempotency_keys WHERE tenant_id = ?1 AND idem_key = ?2 AND route = ?3 AND status = 0";

/* One that waits for its answer has no body yet. */
static const char sql_stale[] = "SELECT idem_key, body FROM idempotency_keys WHERE length(body) > 0 AND "
				"substr(body, 1, 5) <> ?1 ORDER BY idem_key LIMIT ?2";
static const char sql_reseal[] = "UPDATE idempotency_keys SET body = ?2 WHERE idem_key = ?1 AND body = ?3";

static const char *const idempotency_statements[] = { sql_expire, sql_claim, sql_find, sql_answer, sql_give_back,
	sql_stale, sql_reseal };
const struct sql_table rest_sql[] = {
	{ "idempotency_keys", idempotency_statements, ARRAY_LEN(idempotency_statements) },
};
const size_t rest_sql_n = ARRAY_LEN(rest_sql);
const struct sealed_column idempotency_sealed = { "idempotency_keys", IDEMPOTENCY_CONTEXT, true, sql_stale,
	sql_reseal };

struct idempotency_claim {
	char tenant_id[40];
	char key[IDEMPOTENCY_KEY_MAX + 1];
	char route[160];
	uint8_t request[SHA256_SIZE];
};

struct idempotency_try {
	struct call *call;
	const struct idempotency_claim *claim;
	int64_t now_ms;
	char hash[SHA256_SIZE * 2 + 1]; /* of the request, as it stands in the database */
	bool no_secret;                 /* there is none to make it with */
	enum idempotency_result result;
};

/* ---- the secret that hashes are made with ------------------------------------------------------------------------- */

/*
 * A body may hold a password, and its plain hash in a copy of the database would confirm a guess at once. The secret is
 * random and kept sealed, so all controlds on a database have the same, and still do after the master key has changed.
 */
static int idempotency_mac(struct db *db, struct idempotency_try *t, struct err *e)
{
	uint8_t mac[SHA256_SIZE];
	struct buf secret;
	int rc;

	buf_init(&secret, SHA256_SIZE + SEAL_OVERHEAD);
	rc = secrets_get(db, IDEMPOTENCY_SECRET, &secret, e);
	t->no_secret = rc != 0 && e->code == ERR_NOT_FOUND;
	if (rc == 0 && secret.len != SHA256_SIZE)
		rc = err_set(e, ERR_CRYPTO, NULL, "idempotency: the secret has %zu bytes", secret.len);
	if (rc == 0) {
		seal_hmac_sha256(secret.data, secret.len, t->claim->request, sizeof t->claim->request, mac);
		str_hex(t->hash, mac, sizeof mac);
	}
	if (secret.data != NULL)
		seal_wipe(secret.data, secret.len);
	buf_free(&secret);
	return rc;
}

/* In a logged transaction, so one controld after the other: who comes second finds that of the first. */
static int idempotency_secret_tx(struct db *tx, void *arg, struct err *e)
{
	struct idempotency_try *t = arg;
	uint8_t secret[SHA256_SIZE];
	int rc = idempotency_mac(tx, t, e);

	if (rc == 0 || !t->no_secret)
		return rc;
	err_clear(e);
	rand_bytes(secret, sizeof secret);
	rc = secrets_put(tx, IDEMPOTENCY_SECRET, secret, sizeof secret, e);
	seal_wipe(secret, sizeof secret);
	return rc;
}

/* ---- what is claimed ---------------------------------------------------------------------------------------------- */

/* Who asks is part of the hash: nobody gets the answer that was made for another. */
static int idempotency_hash(struct idempotency_claim *claim, const struct call *c)
{
	uint8_t parts[2 * SHA256_SIZE];
	char head[320];

	if (str_fmt(head, sizeof head, "%s %s %s", c->rq.identity.actor, c->rq.in.method, c->rq.path) != 0)
		return -1;
	seal_sha256(head, strlen(head), parts);
	seal_sha256(c->rq.in.body != NULL ? (const void *)c->rq.in.body : "", c->rq.in.body_len, parts + SHA256_SIZE);
	seal_sha256(parts, sizeof parts, claim->request);
	return 0;
}

static int idempotency_key(struct idempotency_claim *claim, const char *key, struct err *e)
{
	const size_t n = strlen(key);

	for (size_t i = 0; i < n; i++)
		if (key[i] < 0x21 || key[i] > 0x7e) {
			err_set(e, ERR_BAD_REQUEST, "Idempotency-Key", "Idempotency-Key must be visible ASCII");
			return err_detail(e, "format", key);
		}
	if (n == 0 || str_copy(claim->key, sizeof claim->key, key) != 0) {
		err_set(e, ERR_BAD_REQUEST, "Idempotency-Key", "Idempotency-Key must be 1 to %d characters long",
			IDEMPOTENCY_KEY_MAX);
		return err_detail(e, "length", key);
	}
	return 0;
}

static struct idempotency_claim *idempotency_claim_new(const struct call *c, const char *key, struct err *e)
{
	const struct route *route = c->entry->route;
	struct idempotency_claim *claim = calloc(1, sizeof *claim);

	if (claim == NULL) {
		err_set(e, ERR_NOMEM, NULL, "out of memory");
		return NULL;
	}
	if (idempotency_key(claim, key, e) != 0) {
		free(claim);
		return NULL;
	}
	if (str_copy(claim->tenant_id, sizeof claim->tenant_id, c->rq.identity.tenant_id) != 0 ||
		str_fmt(claim->route, sizeof claim->route, "%s %s", route->method, route->path) != 0 ||
		idempotency_hash(claim, c) != 0) {
		free(claim);
		err_set(e, ERR_INTERNAL, NULL, "idempotency: identity or route is too long");
		return NULL;
	}
	return claim;
}

/* ---- claiming ------------------------------------------------------------------------------------------------------ */

static int idempotency_replay(struct db *tx, struct reply *rp, struct query *q, struct err *e)
{
	const char *location = query_text(q, 3);
	const char *etag = query_text(q, 4);
	struct buf body;
	size_t n;
	const void *sealed = query_blob(q, 5, &n);

	buf_init(&body, IDEMPOTENCY_ANSWER_MAX + SEAL_OVERHEAD);
	if (secrets_unseal(tx, IDEMPOTENCY_CONTEXT, sealed, n, &body, e) != 0) {
		buf_free(&body);
		return -1;
	}
	reply_text(rp, (int)query_int(q, 1), query_text(q, 2), (const char *)body.data, body.len);
	buf_free(&body);
	if (*location != '\0')
		reply_header(rp, "Location", location);
	if (*etag != '\0')
		reply_header(rp, "ETag", etag);
	reply_header(rp, "Idempotency-Replayed", "true");
	return 0;
}

/* The key is taken: by the same request answered, the same running, the same cut off, or another one. */
static int idempotency_taken(struct db *tx, struct idempotency_try *t, struct query *q, struct err *e)
{
	if (!str_eq(query_text(q, 0), t->hash)) {
		err_set(e, ERR_IDEMPOTENCY, "Idempotency-Key", "this Idempotency-Key was used for another request");
		return err_detail(e, "unique", t->claim->key);
	}
	if (query_int(q, 1) != 0) {
		t->result = IDEMPOTENCY_STORED;
		return idempotency_replay(tx, &t->call->rp, q, e);
	}
	if (query_int(q, 6) > t->now_ms - IDEMPOTENCY_RUN_MS) {
		reply_retry_after(&t->call->rp, 1000);
		return err_set(e, ERR_LOCKED, "Idempotency-Key",
			"the first request with this Idempotency-Key is still running");
	}
	return err_set(e, ERR_CONFLICT, "Idempotency-Key",
		"the first request with this Idempotency-Key was cut off: see whether it took effect, then use a new "
		"key");
}

static int idempotency_claim_tx(struct db *tx, void *arg, struct err *e)
{
	struct idempotency_try *t = arg;
	const struct idempotency_claim *k = t->claim;
	struct query *q;
	int claimed, rc;

	if (idempotency_mac(tx, t, e) != 0 || db_exec(tx, sql_expire, e, bind_i(t->now_ms - IDEMPOTENCY_KEEP_MS)) < 0)
		return -1;
	claimed = db_exec(tx, sql_claim, e, bind_s(k->tenant_id), bind_s(k->key), bind_s(k->route), bind_s(t->hash),
		bind_b("", 0), bind_i(t->now_ms));
	if (claimed != 0)
		return claimed < 0 ? -1 : 0;
	if (db_query(tx, &q, sql_find, e, bind_s(k->tenant_id), bind_s(k->key), bind_s(k->route)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		rc = idempotency_taken(tx, t, q, e);
	else if (rc == 0)
		rc = err_set(e, ERR_LOCKED, "Idempotency-Key", "this Idempotency-Key was given back just now");
	query_end(q);
	return rc;
}

/* The first request with a key that a database sees makes the secret. */
static int idempotency_claim_in(struct store *store, struct idempotency_try *t, struct err *e)
{
	int rc = store_write(store, STORE_OPERATIONAL, idempotency_claim_tx, t, e);

	if (rc == 0 || !t->no_secret)
		return rc;
	err_clear(e);
	if (store_write(store, STORE_LOGGED, idempotency_secret_tx, t, e) != 0)
		return -1;
	return store_write(store, STORE_OPERATIONAL, idempotency_claim_tx, t, e);
}

enum idempotency_result idempotency_begin(struct store *store, struct call *c, struct err *e)
{
	const char *key = request_header(&c->rq, "Idempotency-Key");
	struct idempotency_try t = { .call = c, .now_ms = clock_wall_ms(), .result = IDEMPOTENCY_RUN };
	struct idempotency_claim *claim;

	if (store == NULL || key == NULL || !c->rq.has_identity || !str_eq(c->rq.in.method, "POST"))
		return IDEMPOTENCY_RUN;
	claim = idempotency_claim_new(c, key, e);
	if (claim == NULL)
		return IDEMPOTENCY_REFUSED;
	t.claim = claim;
	if (idempotency_claim_in(store, &t, e) != 0)
		t.result = IDEMPOTENCY_REFUSED;
	if (t.result == IDEMPOTENCY_RUN)
		c->claim = claim;
	else
		free(claim);
	return t.result;
}

/* ---- answering ----------------------------------------------------------------------------------------------------- */

static int idempotency_answer_tx(struct db *tx, void *arg, struct err *e)
{
	struct call *c = arg;
	const struct idempotency_claim *k = c->claim;
	const char *location = reply_header_get(&c->rp, "Location");
	const char *etag = reply_header_get(&c->rp, "ETag");
	struct buf sealed;
	int rc = -1;

	buf_init(&sealed, IDEMPOTENCY_ANSWER_MAX + SECRETS_OVERHEAD);
	if (secrets_seal(tx, IDEMPOTENCY_CONTEXT, c->rp.body.data, c->rp.body.len, &sealed, e) == 0)
		rc = db_exec(tx, sql_answer, e, bind_s(k->tenant_id), bind_s(k->key), bind_s(k->route),
			bind_i(c->rp.status), bind_s(c->rp.content_type), bind_s(location != NULL ? location : ""),
			bind_s(etag != NULL ? etag : ""), bind_b(sealed.data, sealed.len));
	buf_free(&sealed);
	return rc < 0 ? -1 : 0;
}

static int idempotency_give_back_tx(struct db *tx, void *arg, struct err *e)
{
	const struct idempotency_claim *k = ((struct call *)arg)->claim;

	return db_exec(tx, sql_give_back, e, bind_s(k->tenant_id), bind_s(k->key), bind_s(k->route)) < 0 ? -1 : 0;
}

/*
 * What may turn out otherwise next time is not kept, and neither is what is too large. Where nobody knows whether it was done,
 * doing it again might do it twice.
 */
static bool idempotency_is_final(const struct call *c)
{
	const struct reply *rp = &c->rp;

	return (rp->status < 500 || c->outcome_unknown) && rp->status != 429 &&
	       rp->body.len <= IDEMPOTENCY_ANSWER_MAX && str_is_utf8((const char *)rp->body.data, rp->body.len);
}

void idempotency_end(struct store *store, struct call *c)
{
	struct err e;

	if (c->claim == NULL)
		return;
	err_clear(&e);
	if (store_write(store, STORE_OPERATIONAL,
		    idempotency_is_final(c) ? idempotency_answer_tx : idempotency_give_back_tx, c, &e) != 0)
		log_warn("idempotency_not_stored", log_s("request_id", c->rq.id), log_err(&e));
	free(c->claim);
	c->claim = NULL;
}
