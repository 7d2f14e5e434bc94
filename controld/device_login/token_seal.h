/*
 * token_seal - a token of the service as it is kept: sealed under controld's key, bound to its column and row.
 *
 * Owner: none. Thread: any. `what` is the column's context (controld/store/reseal.h), `id` the row's.
 * Errors: those of secrets_seal() and secrets_unseal().
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_TOKEN_SEAL_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_TOKEN_SEAL_H

#include "common/base/macros.h"

struct buf;
struct db;
struct err;
struct query;

/* *b is initialised, and the caller's to free, in either case. */
int token_seal(
	struct db *tx, struct buf *b, const char *what, const char *id, const char *token, struct err *e) MUST_CHECK;
/* dst has room for SERVICE_TOKEN_MAX + 1 bytes, and is the caller's to wipe. */
int token_unseal(
	struct db *db, struct query *q, int col, const char *what, const char *id, char *dst, struct err *e) MUST_CHECK;

#endif
