/*
 * repo - a source repository that the platform lists: "owner/name".
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_PLATFORM_REPO_H
#define PORTWAY_CONTROLD_PLATFORM_REPO_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdint.h>

struct buf;
struct err;

#define REPO_MAX  141 /* characters: 40 of the owner's, 100 of its own */
#define REPOS_MAX 1000

/* "owner/name" as forges spell them; ERR_VALIDATION names the field. */
int repo_check(const char *field, const char *repo, struct err *e) MUST_CHECK;
/* ERR_ALREADY_EXISTS, ERR_NOT_FOUND, ERR_CONFLICT when there are too many. */
int repo_add(struct db *tx, const char *repo, const char *by, int64_t now_ms, struct err *e) MUST_CHECK;
int repo_rename(struct db *tx, const char *old, const char *repo, int64_t now_ms, struct err *e) MUST_CHECK;
int repo_delete(struct db *tx, const char *repo, struct err *e) MUST_CHECK;
/* Appends objects to an array. */
int repo_print_all(struct db *db, struct buf *b, struct err *e) MUST_CHECK;

extern const struct sql_table repo_sql;

#endif
