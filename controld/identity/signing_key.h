/*
 * signing_key - the keys that sign access tokens: in the database, in memory, and published as a key set.
 *
 * A key is published SIGNING_KEY_LEAD_MS before it begins to sign, so that whoever caches the key set knows it in time,
 * and stays published until the last token it signed has ended:
 *
 *	made          signs_from              signs_until         drop
 *	 |-- published --|------ signs -----------|-- published ----|
 *	                          next one:  made |-- published --|-- signs ...
 *
 * Owner: the identity service. Thread: any (a read-write lock inside). Secret halves are sealed in the database.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_SIGNING_KEY_H
#define PORTWAY_CONTROLD_IDENTITY_SIGNING_KEY_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNING_KEY_LEAD_MS (2 * 60 * 60 * 1000)         /* twice as long as the key set may be cached */
#define SIGNING_KEY_TERM_MS (INT64_C(30) * 86400 * 1000) /* how long a key signs */
#define SIGNING_KEYS_MAX    16

struct signing_keys;
struct err;

/* The life of one key; pure rules below work on these. */
struct signing_term {
	int64_t from_ms, until_ms, drop_ms;
};
/* Which of n signs now: the newest that has begun; -1 if none has. */
int signing_term_current(const struct signing_term *terms, size_t n, int64_t now_ms);
/* Whether another key must be made now; *next is its life. token_ms: the longest that an access token lives. */
bool signing_term_due(
	const struct signing_term *terms, size_t n, int64_t now_ms, int64_t token_ms, struct signing_term *next);

int signing_keys_new(struct signing_keys **out, struct store *store, int64_t token_ms, struct err *e) MUST_CHECK;
void signing_keys_free(struct signing_keys *k);
/* Makes the next key when it is due, deletes those that are over, and reads all of them. At start and every minute. */
int signing_keys_rotate(struct signing_keys *k, int64_t now_ms, struct err *e) MUST_CHECK;
/* malloc'ed token; NULL on error. */
char *signing_keys_sign(struct signing_keys *k, const char *claims, int64_t now_ms, struct err *e);
/*
 * 0 and *claims (malloc'ed), or -1. An unknown key id may be one that another controld has just made: the table is then
 * read again, at most once a second.
 */
int signing_keys_verify(
	struct signing_keys *k, const char *token, int64_t now_ms, char **claims, struct err *e) MUST_CHECK;
/* RFC 7517 and RFC 8037: {"keys": [{"kty": "OKP", "crv": "Ed25519", ...}]}. */
json_t *signing_keys_set(struct signing_keys *k, int64_t now_ms);

extern const struct sql_table signing_key_sql;

#endif
