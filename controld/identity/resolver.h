/*
 * resolver - who stands behind the credentials of a request: a token or an API key, as of now.
 *
 * Answers are kept for RESOLVER_KEEP_MS, by the hash of what was shown. Whatever changes who may do what calls
 * resolver_forget() after its commit, which drops all answers at once; so does the news that another controld has
 * committed such a change, and where no news comes it is seen after RESOLVER_KEEP_MS. An answer that was being read while resolver_forget() came is not kept.
 *
 * Owner: the identity service. Thread: any. Costs one indexed read, or none.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_RESOLVER_H
#define PORTWAY_CONTROLD_IDENTITY_RESOLVER_H

#include "common/base/macros.h"
#include "controld/identity/identity.h"

#include <stdint.h>

#define RESOLVER_KEEP_MS 3000

struct db;
struct resolver;
struct signing_keys;
struct store;

/* issuer is borrowed. */
int resolver_new(struct resolver **out, struct store *store, struct signing_keys *keys, const char *issuer,
	struct err *e) MUST_CHECK;
void resolver_free(struct resolver *r);
typedef int (*resolver_client_fn)(
	void *self, struct db *db, const char *claims, struct identity *out, int64_t *expires_ms, struct err *e);
/* Who resolves tokens of clients; without one they are not valid. Before threads start. */
void resolver_set_clients(struct resolver *r, resolver_client_fn fn, void *self);
/* Header values or NULL. Has the shape of struct authenticator. */
int resolver_resolve(
	void *resolver, const char *authorization, const char *api_key, struct identity *out, struct err *e) MUST_CHECK;
void resolver_forget(struct resolver *r);

struct resolver_stats {
	uint64_t hits, misses, refused;
};
void resolver_stats(struct resolver *r, struct resolver_stats *out);

#endif
