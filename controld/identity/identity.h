/*
 * identity - the one resolved answer to "who is asking": routing, authorisation, limits and audit all read this.
 *
 * Immutable for the length of a request.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_IDENTITY_H
#define PORTWAY_CONTROLD_IDENTITY_IDENTITY_H

#include "controld/rest/route.h"

#include <stdbool.h>
#include <stdint.h>

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN, ROLE_OWNER };

#define IDENTITY_SCOPES_SIZE 512

struct identity {
	char user_id[40];   /* "" for an API key that belongs to no user */
	char actor[64];     /* for the change log: user id, "key:<id>", or "client:<id>" */
	char tenant_id[40]; /* the tenant this request acts in */
	char token_id[40];  /* jti or API key id */
	enum role role;
	bool system_admin;
	bool api_key;
	char scopes[IDENTITY_SCOPES_SIZE]; /* of an API key (scope.h) */
};

#define IDENTITY_CLIENT "client:"
/* The client whose token it is, who has no role and no user; 0: somebody else. */
int64_t identity_client(const struct identity *id);

const char *role_name(enum role r); /* "operator" */
int role_parse(const char *s, enum role *out) MUST_CHECK;
/* Whether this identity may call a row with that permission. */
bool identity_allows(const struct identity *id, enum permission p);
/* Who has a permission: "operator", "system_admin", "client"; "" where none is needed. */
const char *permission_role_name(enum permission p);
#define IDENTITY_SCOPE_SIZE 64
/* The scope that a row asks of an API key, "mappings:read" (scope.h); and whether a caller has it, who may be no key. */
void identity_scope_of(char dst[IDENTITY_SCOPE_SIZE], const struct route *r);
bool identity_in_scope(const struct identity *id, const struct route *r);

/*
 * What rest/ asks to resolve credentials; wired by app. authorization and api_key are header values or NULL.
 * 0 and *out, or -1 with AUTHENTICATION_FAILED / INVALID_TOKEN / TOKEN_EXPIRED.
 * Cached for at most 5 s, so that suspension and revocation hold quickly; called on the loop or a worker: must not
 * block longer than one indexed read.
 */
struct authenticator {
	int (*resolve)(void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e);
	void *self;
	/* An API key was shown by that address. Memory only. NULL: nobody minds. */
	void (*used)(void *used_self, const struct identity *id, const struct addr *from);
	void *used_self;
};

#endif
