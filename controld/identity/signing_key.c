#include "controld/identity/signing_key.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/jwt.h"
#include "common/crypto/key.h"
#include "common/crypto/seal.h"
#include "controld/store/secrets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNING_GRACE_MS = 5 * 60 * 1000, SIGNING_RELOAD_MS = 1000, SIGNING_SECRET_NAME = 64 };

struct signing_key {
	char id[RAND_ID_SIZE];
	struct key *key; /* with its secret half */
};

/* rows[i] lives as terms[i] says. */
struct signing_ring {
	size_t n;
	struct signing_key rows[SIGNING_KEYS_MAX];
	struct signing_term terms[SIGNING_KEYS_MAX];
};

struct signing_keys {
	struct store *store;
	int64_t token_ms;
	pthread_rwlock_t lock; /* of ring and read_ms */
	struct signing_ring ring;
	int64_t read_ms; /* when the table was read */
};

enum { SQL_LIST, SQL_INSERT, SQL_DELETE };
static const char *const sql[] = {
	[SQL_LIST] = "SELECT id, signs_from_ms, signs_until_ms, drop_ms FROM signing_keys WHERE tenant_id = '' "
		     "ORDER BY signs_from_ms DESC LIMIT ?1",
	[SQL_INSERT] = "INSERT INTO signing_keys (id, tenant_id, public_key, signs_from_ms, signs_until_ms, drop_ms) "
		       "VALUES (?1, '', ?2, ?3, ?4, ?5)",
	[SQL_DELETE] = "DELETE FROM signing_keys WHERE id = ?1 AND tenant_id = ''",
};
const struct sql_table signing_key_sql = { "signing_key", sql, ARRAY_LEN(sql) };

/* ---- when keys change -------------------------------------------------------------------------------------------- */

int signing_term_current(const struct signing_term *terms, size_t n, int64_t now_ms)
{
	int best = -1;

	for (size_t i = 0; i < n; i++)
		if (terms[i].from_ms <= now_ms && (best < 0 || terms[i].from_ms > terms[best].from_ms))
			best = (int)i;
	return best;
}

bool signing_term_due(
	const struct signing_term *terms, size_t n, int64_t now_ms, int64_t token_ms, struct signing_term *next)
{
	int64_t last = 0;

	/* One that begins later than any next one would was made while the clock was wrong: it helps nobody now. */
	for (size_t i = 0; i < n; i++)
		if (terms[i].from_ms <= now_ms + SIGNING_KEY_LEAD_MS)
			last = MAX(last, terms[i].until_ms);
	if (now_ms < last - SIGNING_KEY_LEAD_MS)
		return false;
	next->from_ms = MAX(last, now_ms);
	next->until_ms = next->from_ms + SIGNING_KEY_TERM_MS;
	next->drop_ms = next->until_ms + token_ms + SIGNING_GRACE_MS;
	return true;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void ring_fini(struct signing_ring *r)
{
	for (size_t i = 0; i < r->n; i++)
		key_free(r->rows[i].key);
	r->n = 0;
}

static void secret_name(char dst[SIGNING_SECRET_NAME], const char *id)
{
	(void)str_fmt(dst, SIGNING_SECRET_NAME, "jwt-key:%s", id);
}

static int ring_read_secret(struct db *db, struct signing_key *row, struct err *e)
{
	char name[SIGNING_SECRET_NAME];
	struct buf seed;
	int rc;

	secret_name(name, row->id);
	buf_init(&seed, KEY_SEED_SIZE + SEAL_OVERHEAD);
	rc = secrets_get(db, name, &seed, e);
	if (rc == 0 && seed.len != KEY_SEED_SIZE)
		rc = err_set(e, ERR_CRYPTO, NULL, "signing key %s: sealed seed has %zu bytes", row->id, seed.len);
	if (rc == 0)
		rc = key_from_seed(&row->key, seed.data, e);
	if (seed.data != NULL)
		seal_wipe(seed.data, seed.len);
	buf_free(&seed);
	return rc;
}

static int ring_read_rows(struct db *db, struct signing_ring *r, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_i(SIGNING_KEYS_MAX)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		struct signing_key *row = &r->rows[r->n];

		row->key = NULL;
		(void)str_copy(row->id, sizeof row->id, query_text(q, 0));
		r->terms[r->n++] = (struct signing_term){ query_int(q, 1), query_int(q, 2), query_int(q, 3) };
	}
	query_end(q);
	return rc;
}

static int ring_read(struct db *db, struct signing_ring *r, struct err *e)
{
	r->n = 0;
	if (ring_read_rows(db, r, e) != 0)
		goto fail;
	for (size_t i = 0; i < r->n; i++)
		if (ring_read_secret(db, &r->rows[i], e) != 0)
			goto fail;
	return 0;
fail:
	ring_fini(r);
	return -1;
}

static int key_store(struct db *tx, const struct signing_term *t, char id[RAND_ID_SIZE], struct err *e)
{
	char name[SIGNING_SECRET_NAME];
	uint8_t seed[KEY_SEED_SIZE], public[KEY_PUBLIC_SIZE];
	struct key *key;
	int rc;

	if (key_generate(&key, e) != 0)
		return -1;
	rand_id(id, "jwk");
	secret_name(name, id);
	key_public(key, public);
	rc = key_seed(key, seed);
	if (rc == 0)
		rc = secrets_put(tx, name, seed, sizeof seed, e);
	if (rc == 0 && db_exec(tx, sql[SQL_INSERT], e, bind_s(id), bind_b(public, sizeof public), bind_i(t->from_ms),
			       bind_i(t->until_ms), bind_i(t->drop_ms)) < 0)
		rc = -1;
	seal_wipe(seed, sizeof seed);
	key_free(key);
	return rc;
}

static int key_drop(struct db *tx, const char *id, struct err *e)
{
	char name[SIGNING_SECRET_NAME];

	secret_name(name, id);
	if (secrets_delete(tx, name, e) != 0 || db_exec(tx, sql[SQL_DELETE], e, bind_s(id)) < 0)
		return -1;
	return 0;
}

struct rotation {
	const struct signing_keys *keys;
	int64_t now_ms;
	char made[RAND_ID_SIZE];  /* "": none was due */
	struct signing_ring ring; /* what the table holds afterwards */
};

/* Logged, so that two controlds that rotate at once do it one after the other: the second finds nothing due. */
static int work_rotate(struct db *tx, void *arg, struct err *e)
{
	struct rotation *job = arg;
	struct signing_term next;

	job->made[0] = '\0';
	ring_fini(&job->ring); /* of an attempt that was undone */
	if (ring_read_rows(tx, &job->ring, e) != 0)
		return -1;
	if (signing_term_due(job->ring.terms, job->ring.n, job->now_ms, job->keys->token_ms, &next) &&
		key_store(tx, &next, job->made, e) != 0)
		return -1;
	for (size_t i = 0; i < job->ring.n; i++)
		if (job->ring.terms[i].drop_ms <= job->now_ms && key_drop(tx, job->ring.rows[i].id, e) != 0)
			return -1;
	return ring_read(tx, &job->ring, e);
}

/* ---- the ring in memory ------------------------------------------------------------------------------------------ */

int signing_keys_new(struct signing_keys **out, struct store *store, int64_t token_ms, struct err *e)
{
	struct signing_keys *k = calloc(1, sizeof *k);

	if (k == NULL)
		return err_set(e, ERR_NOMEM, NULL, "signing keys: out of memory");
	pthread_rwlock_init(&k->lock, NULL);
	k->store = store;
	k->token_ms = token_ms;
	*out = k;
	return 0;
}

void signing_keys_free(struct signing_keys *k)
{
	if (k == NULL)
		return;
	ring_fini(&k->ring);
	pthread_rwlock_destroy(&k->lock);
	free(k);
}

/* Takes what r holds. */
static void keys_install(struct signing_keys *k, struct signing_ring *r, int64_t now_ms)
{
	struct signing_ring old;

	pthread_rwlock_wrlock(&k->lock);
	old = k->ring;
	k->ring = *r;
	k->read_ms = now_ms;
	pthread_rwlock_unlock(&k->lock);
	ring_fini(&old);
	r->n = 0;
}

int signing_keys_rotate(struct signing_keys *k, int64_t now_ms, struct err *e)
{
	struct rotation job = { .keys = k, .now_ms = now_ms };

	if (store_write(k->store, STORE_LOGGED, work_rotate, &job, e) != 0) {
		ring_fini(&job.ring);
		return -1;
	}
	keys_install(k, &job.ring, now_ms);
	if (job.made[0] != '\0')
		log_info("signing_key_made", log_s("key", job.made));
	return 0;
}

static int keys_reload(struct signing_keys *k, int64_t now_ms, struct err *e)
{
	struct signing_ring ring = { .n = 0 };
	struct db *db;
	int rc;

	if (store_read_begin(k->store, &db, e) != 0)
		return -1;
	rc = ring_read(db, &ring, e);
	store_read_end(db);
	if (rc == 0)
		keys_install(k, &ring, now_ms);
	return rc;
}

/* After the clock was set back: until there is a key of that time, the next one is better than none. -1: there is none. */
static int earliest(const struct signing_term *terms, size_t n)
{
	int best = -1;

	for (size_t i = 0; i < n; i++)
		if (best < 0 || terms[i].from_ms < terms[best].from_ms)
			best = (int)i;
	return best;
}

char *signing_keys_sign(struct signing_keys *k, const char *claims, int64_t now_ms, struct err *e)
{
	char *token = NULL;
	int i;

	pthread_rwlock_rdlock(&k->lock);
	i = signing_term_current(k->ring.terms, k->ring.n, now_ms);
	if (i < 0)
		i = earliest(k->ring.terms, k->ring.n);
	if (i >= 0)
		token = jwt_sign(k->ring.rows[i].key, k->ring.rows[i].id, claims, e);
	else
		err_set(e, ERR_UNAVAILABLE, NULL, "sign a token: no signing key yet");
	pthread_rwlock_unlock(&k->lock);
	return token;
}

/* 1 when the key is not known, else as jwt_verify(). */
static int keys_try(struct signing_keys *k, const char *kid, const char *token, char **claims, struct err *e)
{
	int rc = 1;

	pthread_rwlock_rdlock(&k->lock);
	for (size_t i = 0; i < k->ring.n && rc == 1; i++)
		if (str_eq(k->ring.rows[i].id, kid))
			rc = jwt_verify(k->ring.rows[i].key, token, claims, e);
	pthread_rwlock_unlock(&k->lock);
	return rc;
}

/* Strangers may send unknown key ids as fast as they like: one of them a second reads the table. */
static bool keys_may_reload(struct signing_keys *k, int64_t now_ms)
{
	bool may;

	pthread_rwlock_wrlock(&k->lock);
	may = now_ms - k->read_ms >= SIGNING_RELOAD_MS || now_ms < k->read_ms;
	if (may)
		k->read_ms = now_ms;
	pthread_rwlock_unlock(&k->lock);
	return may;
}

int signing_keys_verify(struct signing_keys *k, const char *token, int64_t now_ms, char **claims, struct err *e)
{
	char kid[JWT_KID_MAX];
	int rc;

	if (jwt_kid(token, kid, e) != 0)
		return -1;
	rc = keys_try(k, kid, token, claims, e);
	if (rc == 1 && keys_may_reload(k, now_ms)) {
		if (keys_reload(k, now_ms, e) != 0)
			return -1;
		rc = keys_try(k, kid, token, claims, e);
	}
	return rc <= 0 ? rc : err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: unknown key");
}

json_t *signing_keys_set(struct signing_keys *k, int64_t now_ms)
{
	json_t *list = json_array();

	pthread_rwlock_rdlock(&k->lock);
	for (size_t i = 0; i < k->ring.n; i++) {
		uint8_t public[KEY_PUBLIC_SIZE];
		char x[64];

		if (k->ring.terms[i].drop_ms <= now_ms)
			continue;
		key_public(k->ring.rows[i].key, public);
		str_b64url(x, public, sizeof public);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519",
						    "use", "sig", "alg", "EdDSA", "kid", k->ring.rows[i].id, "x", x));
	}
	pthread_rwlock_unlock(&k->lock);
	return json_pack("{s:o}", "keys", list);
}
