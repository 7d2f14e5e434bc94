#include "controld/identity/resolver.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/identity/api_key.h"
#include "controld/identity/session.h"
#include "controld/identity/signing_key.h"
#include "controld/identity/token.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RESOLVER_SLOTS = 4096, RESOLVER_CREDENTIAL_MAX = 8192 };

/* Direct-mapped: two credentials that fall into one slot push each other out, which costs a read and nothing else. */
struct resolver_slot {
	uint8_t digest[SHA256_SIZE];
	uint64_t epoch;     /* of the resolver when it was read */
	uint64_t until_ms;  /* monotonic */
	int64_t expires_ms; /* wall: the token's own end */
	struct identity identity;
};

struct resolver {
	struct store *store;
	struct signing_keys *keys;
	const char *issuer;
	resolver_client_fn client_fn; /* NULL: there are no clients */
	void *client_self;
	pthread_mutex_t lock; /* of all below */
	uint64_t epoch;       /* raised by every change; 0 is never used, so that an empty slot is never fresh */
	struct resolver_stats stats;
	struct resolver_slot slots[RESOLVER_SLOTS];
};

int resolver_new(
	struct resolver **out, struct store *store, struct signing_keys *keys, const char *issuer, struct err *e)
{
	struct resolver *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "identity resolver: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	r->store = store;
	r->keys = keys;
	r->issuer = issuer;
	r->epoch = 1;
	*out = r;
	return 0;
}

void resolver_set_clients(struct resolver *r, resolver_client_fn fn, void *self)
{
	r->client_fn = fn;
	r->client_self = self;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- the kept answers -------------------------------------------------------------------------------------------- */

static struct resolver_slot *resolver_slot(struct resolver *r, const uint8_t digest[SHA256_SIZE])
{
	uint32_t n;

	memcpy(&n, digest, sizeof n);
	return &r->slots[n % RESOLVER_SLOTS];
}

/* True and *out, or the epoch to keep a fresh answer under. */
static bool resolver_recall(
	struct resolver *r, const uint8_t digest[SHA256_SIZE], struct identity *out, uint64_t *epoch)
{
	const struct resolver_slot *slot = resolver_slot(r, digest);
	bool hit;

	pthread_mutex_lock(&r->lock);
	hit = slot->epoch == r->epoch && memcmp(slot->digest, digest, SHA256_SIZE) == 0 &&
	      clock_mono_ms() < slot->until_ms && (slot->expires_ms == 0 || clock_wall_ms() < slot->expires_ms);
	if (hit)
		*out = slot->identity;
	*epoch = r->epoch;
	r->stats.hits += hit;
	r->stats.misses += !hit;
	pthread_mutex_unlock(&r->lock);
	return hit;
}

static void resolver_keep(struct resolver *r, const uint8_t digest[SHA256_SIZE], const struct identity *id,
	int64_t expires_ms, uint64_t epoch)
{
	struct resolver_slot *slot = resolver_slot(r, digest);

	pthread_mutex_lock(&r->lock);
	if (epoch == r->epoch) {
		memcpy(slot->digest, digest, SHA256_SIZE);
		slot->epoch = epoch;
		slot->until_ms = clock_mono_ms() + RESOLVER_KEEP_MS;
		slot->expires_ms = expires_ms;
		slot->identity = *id;
	}
	pthread_mutex_unlock(&r->lock);
}

void resolver_forget(struct resolver *r)
{
	pthread_mutex_lock(&r->lock);
	r->epoch++;
	pthread_mutex_unlock(&r->lock);
}

void resolver_stats(struct resolver *r, struct resolver_stats *out)
{
	pthread_mutex_lock(&r->lock);
	*out = r->stats;
	pthread_mutex_unlock(&r->lock);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static int resolver_read_client(
	struct resolver *r, const char *claims, struct identity *out, int64_t *expires_ms, struct err *e)
{
	struct db *db;
	int rc;

	if (r->client_fn == NULL)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: there are no clients");
	if (store_read_begin(r->store, &db, e) != 0)
		return -1;
	rc = r->client_fn(r->client_self, db, claims, out, expires_ms, e);
	store_read_end(db);
	return rc;
}

static int resolver_read_token(
	struct resolver *r, const char *token, struct identity *out, int64_t *expires_ms, struct err *e)
{
	int64_t now_ms = clock_wall_ms();
	char session_id[RAND_ID_SIZE];
	struct token t;
	struct db *db;
	char *claims;
	int rc;

	if (signing_keys_verify(r->keys, token, now_ms, &claims, e) != 0)
		return -1;
	if (token_is_client(claims)) {
		rc = resolver_read_client(r, claims, out, expires_ms, e);
		free(claims);
		return rc;
	}
	rc = token_parse(&t, claims, r->issuer, now_ms / 1000, e);
	free(claims);
	if (rc != 0)
		return -1;
	if (token_session(t.jti, session_id) != 0)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: jti");
	if (store_read_begin(r->store, &db, e) != 0)
		return -1;
	rc = session_identity(db, session_id, t.tenant_id, now_ms, out, e);
	store_read_end(db);
	(void)str_copy(out->token_id, sizeof out->token_id, t.jti);
	*expires_ms = t.expires_s * 1000;
	return rc;
}

/* A key's own end is at most RESOLVER_KEEP_MS late. */
static int resolver_read_key(struct resolver *r, const char *key, struct identity *out, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(r->store, &db, e) != 0)
		return -1;
	rc = api_key_identity(db, key, clock_wall_ms(), out, e);
	store_read_end(db);
	return rc;
}

/* "Bearer <token>": the token, or NULL. */
static const char *resolver_bearer(const char *authorization)
{
	if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	return authorization + 7 + strspn(authorization + 7, " ");
}

static int resolver_lookup(struct resolver *r, const char *token, const char *key, struct identity *out, struct err *e)
{
	const char *shown = token != NULL ? token : key;
	uint8_t digest[SHA256_SIZE];
	int64_t expires_ms = 0;
	uint64_t epoch;

	/* A token and a key never look alike: one digest serves both. */
	seal_sha256(shown, strlen(shown), digest);
	if (resolver_recall(r, digest, out, &epoch))
		return 0;
	*out = (struct identity){ .role = ROLE_NONE };
	if (token != NULL ? resolver_read_token(r, token, out, &expires_ms, e) : resolver_read_key(r, key, out, e))
		return -1;
	resolver_keep(r, digest, out, expires_ms, epoch);
	return 0;
}

int resolver_resolve(
	void *resolver, const char *authorization, const char *api_key, struct identity *out, struct err *e)
{
	struct resolver *r = resolver;
	const char *token = resolver_bearer(authorization);
	const char *shown = token != NULL ? token : api_key;
	int rc;

	if (shown == NULL || *shown == '\0')
		rc = err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "a Bearer token or an API key is needed");
	else if (strnlen(shown, RESOLVER_CREDENTIAL_MAX) == RESOLVER_CREDENTIAL_MAX)
		rc = err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: too long");
	else
		rc = resolver_lookup(r, token, api_key, out, e);
	if (rc != 0) {
		pthread_mutex_lock(&r->lock);
		r->stats.refused++;
		pthread_mutex_unlock(&r->lock);
	}
	return rc;
}
