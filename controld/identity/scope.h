/*
 * scope - what an API key is for, beside its role: a resource of the API and a verb, "mappings:read".
 *
 * The resource is the tag of a row of the route table, the verb "read" for GET and "write" for the rest; "*" stands for
 * any of either, and "*" alone for everything. A key with no scope may call nothing.
 *
 * Thread: any; pure.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_SCOPE_H
#define PORTWAY_CONTROLD_IDENTITY_SCOPE_H

#include "common/base/macros.h"
#include "controld/identity/identity.h"
#include "controld/rest/route.h"

#include <jansson.h>
#include <stdbool.h>

struct err;

#define SCOPE_SIZE IDENTITY_SCOPE_SIZE
#define SCOPES_MAX 32  /* of one key */
#define SCOPE_ALL  "*" /* what a key has that was given none */

/* scopes: those of a key, by blank. */
bool scope_allows(const char *scopes, const struct route *r);
/* Whether they limit nothing: "*" or "*:*" is among them. */
bool scope_is_all(const char *scopes);
/* A scope of somebody's choice as it is kept: 0, or -1 with ERR_VALIDATION of the field "scopes". Whether there is such a
 * resource is not looked at: resource gets its name, "*" for any. */
int scope_check(const char *scope, char resource[SCOPE_SIZE], struct err *e) MUST_CHECK;
/* As the API shows them: an array. */
json_t *scope_list(const char *scopes);

#endif
