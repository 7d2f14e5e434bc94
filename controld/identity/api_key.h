/*
 * api_key - a key that a program shows instead of a login: its struct, its rules, its rows.
 *
 * "pw_" and 32 random bytes; only their SHA-256 is stored, the key itself is shown once. A key that belongs to a user
 * never has more than that user has now; a key of no user has what it was given.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_API_KEY_H
#define PORTWAY_CONTROLD_IDENTITY_API_KEY_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/net/addr.h"
#include "controld/identity/identity.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

#define API_KEY_NAME_MAX  64 /* characters */
#define API_KEY_TEXT_SIZE 64
#define API_KEY_HASH_SIZE 65

struct api_key {
	char id[RAND_ID_SIZE];
	char tenant_id[RAND_ID_SIZE];
	char user_id[RAND_ID_SIZE]; /* "": belongs to no user */
	char name[4 * API_KEY_NAME_MAX + 1];
	char prefix[16];
	char hash[API_KEY_HASH_SIZE];
	enum role role;
	bool system_admin;
	char scopes[IDENTITY_SCOPES_SIZE]; /* by blank: scope.h */
	int64_t created_ms, expires_ms;    /* 0: never */
	int64_t used_ms;                   /* as written down last; 0: not yet */
	char used_from[ADDR_STRLEN];
};

/* A new key; text gets what its owner must keep. */
void api_key_make(struct api_key *k, char text[API_KEY_TEXT_SIZE], int64_t now_ms);
/* Fills prefix and hash for a key text that somebody else chose. */
void api_key_set_text(struct api_key *k, const char *text);
json_t *api_key_json(const struct api_key *k);

/* scope: the tenant that asks, "" for the platform; owner: a user's id, "" for every key. ERR_API_KEY_NOT_FOUND. */
int api_key_get(struct db *db, const char *scope, const char *owner, const char *id, struct api_key *out,
	struct err *e) MUST_CHECK;
int api_key_insert(struct db *tx, const struct api_key *k, struct err *e) MUST_CHECK;
int api_key_delete(struct db *tx, const char *tenant_id, const char *id, struct err *e) MUST_CHECK;
int api_key_delete_user(struct db *tx, const char *user_id, struct err *e) MUST_CHECK;
/* Keys of no user with that name but another hash: what a key from the settings replaces. */
int api_key_delete_named(
	struct db *tx, const char *tenant_id, const char *name, const char *hash, struct err *e) MUST_CHECK;
int api_key_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;
/* 1 when a key with that hash is there, 0, -1. */
int api_key_has_hash(struct db *db, const char *hash, struct err *e) MUST_CHECK;
/* Which ones: members that are "" do not filter. */
struct api_key_filter {
	const char *scope, *owner; /* as above */
	const char *tenant_id, *user_id, *role;
	const char *after; /* id of the last one seen */
	unsigned limit;
};
typedef int (*api_key_fn)(const struct api_key *k, void *arg);
int api_key_list(struct db *db, const struct api_key_filter *f, api_key_fn fn, void *arg, struct err *e) MUST_CHECK;

/* Who the key with that text stands for now. 0, or -1 with AUTHENTICATION_FAILED or TOKEN_EXPIRED. */
int api_key_identity(struct db *db, const char *text, int64_t now_ms, struct identity *out, struct err *e) MUST_CHECK;

extern const struct sql_table api_key_sql;
struct erasure;
extern const struct erasure api_key_erasure;

#endif
