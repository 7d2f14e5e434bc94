/*
 * room - the inside of the identity service, shared by its routes. Private to this folder.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_ROOM_H
#define PORTWAY_CONTROLD_IDENTITY_ROOM_H

#include "common/crypto/seal.h"
#include "controld/identity/key_use.h"
#include "controld/identity/resolver.h"
#include "controld/identity/service.h"
#include "controld/identity/signing_key.h"
#include "controld/identity/throttle.h"

#include <stdatomic.h>

struct identity_service {
	struct identity_conf conf;
	struct store *store;
	struct signing_keys *keys;
	struct throttle *throttle;
	struct resolver *resolver;
	uint8_t refresh_key[SHA256_SIZE]; /* made by identity_bootstrap() */
	struct route *rows;               /* of all nouns */
	size_t rows_n;
	struct tenant_plans *plans;
	struct key_uses *uses;
	struct tenant_usage_source usage;
	atomic_uint_fast64_t logins, logins_failed, refreshes, token_reuses;
};

/* The tenant whose objects a caller may see: his own, or "" (all) for a system administrator. */
const char *identity_scope(const struct identity *id);
/* Waits in whole seconds, at least one. */
void identity_retry_after(struct reply *rp, uint64_t wait_ms);
/* If-Match against the version of a row. */
int identity_match(const struct request *rq, int64_t version, struct err *e) MUST_CHECK;
/* A query parameter; "" when it is not there. */
const char *identity_query(const struct request *rq, const char *name);
/* One page of a list while it is read: one row more than it holds, which is dropped and says that there is a next. */
struct identity_list {
	struct identity_service *service;
	const struct request *rq;
	struct page page;
	unsigned rows; /* to read */
	json_t *items;
};
/* Reads the rows into l->items. */
typedef int (*identity_read_fn)(struct db *db, struct identity_list *l, struct err *e);
/* Answers with a page; its cursor is the last item's id_member. */
int identity_list(struct request *rq, struct reply *rp, struct identity_service *s, const char *id_member,
	identity_read_fn read, struct err *e) MUST_CHECK;

/* The same for paths whose lists are called by what is in them: {"users": [...], "next_cursor"}; the cursor is an id. */
int identity_list_as(const char *plural, struct request *rq, struct reply *rp, struct identity_service *s,
	identity_read_fn read, struct err *e) MUST_CHECK;

/* Rows of each noun. */
extern const struct route login_routes[], session_routes[], register_routes[], user_routes[], tenant_routes[],
	api_key_routes[], audit_routes[];
extern const size_t login_routes_n, session_routes_n, register_routes_n, user_routes_n, tenant_routes_n,
	api_key_routes_n, audit_routes_n;

/* Answers that several nouns describe. */
extern const struct schema user_schema;  /* user_api.c */
extern const struct schema grant_schema; /* grant.c */

#endif
