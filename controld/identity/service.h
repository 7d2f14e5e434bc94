/*
 * service - the identity feature as a whole: what app makes, wires and asks.
 *
 * Owner: app. Thread: identity_new() to identity_bootstrap() before threads start; the rest any.
 * Ends:  identity_free(), after the server has stopped.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_SERVICE_H
#define PORTWAY_CONTROLD_IDENTITY_SERVICE_H

#include "common/base/macros.h"
#include "controld/identity/identity.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct identity_service;

/* Strings are borrowed until identity_free(). */
struct identity_conf {
	const char *issuer;         /* iss of tokens: "portway" */
	uint64_t access_ms;         /* an access token's life: 3600 s */
	uint64_t refresh_ms;        /* a refresh token's life: 7 d */
	bool registration;          /* POST /auth/register makes a tenant and its owner */
	unsigned api_keys_max;      /* per tenant */
	const char *data_dir;       /* where initial-admin goes */
	const char *admin_email;    /* of the first start; NULL or "": admin@localhost */
	const char *admin_password; /* NULL or "": generated */
	const char *api_key;        /* a platform key with all rights, from the settings; NULL or "": none */
};

int identity_new(
	struct identity_service **out, const struct identity_conf *conf, struct store *store, struct err *e) MUST_CHECK;
void identity_free(struct identity_service *s);

/*
 * The first start makes the tenant "default" and its administrator; every start makes what signs tokens, and takes over
 * the key from the settings. May be killed at any point and run again. A generated password is shown when stderr is a
 * terminal, else it stands in <data_dir>/initial-admin (0600).
 */
int identity_bootstrap(struct identity_service *s, struct err *e) MUST_CHECK;

struct route_table identity_routes(struct identity_service *s);
struct authenticator identity_authenticator(struct identity_service *s);

/* Requests per hour that each token of a tenant has, by its plan; 0: no limit. For the server (struct rate_plans). */
uint64_t identity_plan_per_hour(void *service, const char *tenant_id);

/* What a tenant's routes passed in this month; who counts that is told later, before threads start. */
struct tenant_usage {
	int64_t requests, bytes;
};
struct tenant_usage_source {
	int (*read)(void *self, struct db *db, const char *tenant_id, struct tenant_usage *out, struct err *e);
	void *self;
};
void identity_set_usage(struct identity_service *s, const struct tenant_usage_source *source);

/* ---- for clients/: tokens of clients ------------------------------------------------------------------------------- */
/*
 * Who stands behind a token whose claims (JSON text, signed by us) are those of a client: 0 and *out with the end of the
 * token, or -1 with INVALID_TOKEN or TOKEN_EXPIRED. Called by any thread.
 */
typedef int (*identity_client_fn)(
	void *self, struct db *db, const char *claims, struct identity *out, int64_t *expires_ms, struct err *e);
/* Before threads start. */
void identity_set_clients(struct identity_service *s, identity_client_fn fn, void *self);
/* Signed as our own access tokens are; malloc'ed, NULL on error. */
char *identity_sign(struct identity_service *s, const char *claims, struct err *e);
/* The signature alone; *claims is malloc'ed. */
int identity_verify(struct identity_service *s, const char *token, char **claims, struct err *e) MUST_CHECK;
/* SHA256_SIZE bytes, once identity_bootstrap() has run: for session_token_print() and _parse(). */
const uint8_t *identity_refresh_key(const struct identity_service *s);
const char *identity_issuer(const struct identity_service *s);

/* Who may do what has changed by another controld: nothing that is kept in memory about it counts any more. */
void identity_forget(struct identity_service *s);

/* Changes signing keys when it is time and reads those that others made: every minute, each controld. */
int identity_rotate(struct identity_service *s, struct err *e) MUST_CHECK;
/* When which API key was shown last goes to the database: every few seconds, each controld. */
int identity_write_uses(struct identity_service *s, struct err *e) MUST_CHECK;
/* Deletes what has expired: every minute, one controld for all. */
int identity_clean(struct identity_service *s, struct err *e) MUST_CHECK;

/* Counters for /metrics, since the start. */
struct identity_stats {
	uint64_t logins, logins_failed, logins_throttled, refreshes, token_reuses;
	uint64_t resolved_kept, resolved_read, resolve_refused;
	uint64_t key_uses_dropped; /* API keys whose last use is not known: too many at once */
};
void identity_stats(struct identity_service *s, struct identity_stats *out);

/* Users and then tenants that are being deleted, at most limit of each; since_ms: since when. fn: 0 goes on. */
typedef int (*identity_leaving_fn)(bool tenant, const char *id, int64_t since_ms, void *arg);
int identity_leaving(struct db *db, unsigned limit, identity_leaving_fn fn, void *arg, struct err *e) MUST_CHECK;
struct erasure;
extern const struct erasure *const identity_erasures[]; /* after those of all other rooms */
extern const size_t identity_erasures_n;

extern const struct sql_table *const identity_sql[];
extern const size_t identity_sql_n;

#endif
