/*
 * suppression - addresses that get no mail any more, because it came back or was complained about.
 *
 * Who goes on sending to these is taken for a spammer. An address is kept in lower case.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_MAIL_SUPPRESSION_H
#define PORTWAY_CONTROLD_MAIL_SUPPRESSION_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

#define SUPPRESSION_ADDRESS_MAX 254
#define SUPPRESSION_REASON_MAX  100

/* 1 when it is new. */
int suppression_add(struct db *tx, const char *address, const char *reason, int64_t now_ms, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND. */
int suppression_remove(struct db *tx, const char *address, struct err *e) MUST_CHECK;
/* *found: whether it is one; why. */
int suppression_find(struct db *db, const char *address, bool *found, char reason[SUPPRESSION_REASON_MAX + 1],
	struct err *e) MUST_CHECK;
/* Into an array that is open, by address. last gets where the page ends. */
int suppression_print(struct db *db, const char *after, unsigned limit, struct buf *out,
	char last[SUPPRESSION_ADDRESS_MAX + 1], bool *more, struct err *e) MUST_CHECK;

extern const struct sql_table suppression_sql;

#endif
