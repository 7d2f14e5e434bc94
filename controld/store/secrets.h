/*
 * secrets - small secrets in the database (signing keys, the CA's key), each sealed with the master key for its name.
 *
 * The master key lives outside of the database (<data>/master.key), so a copy of the database alone tells nothing. What is
 * sealed says with which key; while keys change, the store has both, the first of which seals (reseal.h).
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_STORE_SECRETS_H
#define PORTWAY_CONTROLD_STORE_SECRETS_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct db;
struct err;

#define SECRETS_MAX      65536 /* bytes of one secret */
#define SECRETS_OVERHEAD 34    /* that sealing adds */
#define SECRETS_HEAD     5     /* bytes at the front that say which key it was */

/* ERR_NOT_FOUND when there is none; ERR_CRYPTO when the master key is not the one it was sealed with. */
int secrets_get(struct db *db, const char *name, struct buf *out, struct err *e) MUST_CHECK;
/* Writes or replaces. */
int secrets_put(struct db *tx, const char *name, const void *p, size_t n, struct err *e) MUST_CHECK;
int secrets_delete(struct db *tx, const char *name, struct err *e) MUST_CHECK;

/* For tables of others that hold secrets: sealed with the master key for `context`, appended to out; and opened again. */
int secrets_seal(
	struct db *db, const char *context, const void *p, size_t n, struct buf *out, struct err *e) MUST_CHECK;
int secrets_unseal(
	struct db *db, const char *context, const void *p, size_t n, struct buf *out, struct err *e) MUST_CHECK;
/* How everything begins that is sealed with the key of now. */
int secrets_head(struct db *db, uint8_t head[SECRETS_HEAD], struct err *e) MUST_CHECK;

/*
 * Opens every secret, so that a wrong master key is told at the start; and leaves a mark sealed with it, so that the
 * first to come of several controlds says which key is right. In a logged transaction.
 */
int secrets_claim(struct db *tx, struct err *e) MUST_CHECK;
/* Opens every secret: the master key is the right one. */
int secrets_check(struct db *db, struct err *e) MUST_CHECK;
int secrets_any(struct db *db, bool *any, struct err *e) MUST_CHECK; /* needs no master key */

struct sealed_column;
extern const struct sql_table secrets_sql;
extern const struct sealed_column secrets_sealed;

#endif
