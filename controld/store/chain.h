/*
 * chain - each row of the change log carries a hash of itself and of the row before, so that a row that was changed, taken out
 * or put in shows. What is hashed of the object is its digest, so a person can be erased (the object goes, the digest stays)
 * without breaking it. Rows from before there was a chain have none.
 *
 * Whoever can write to the database can also make the whole chain anew: who minds keeps the newest hash, which verifying tells
 * and every exported row has, somewhere else.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_STORE_CHAIN_H
#define PORTWAY_CONTROLD_STORE_CHAIN_H

#include "common/base/macros.h"
#include "controld/store/changes.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct err;
struct sql_table;

#define CHAIN_SIZE 65 /* SHA-256 in hexadecimal digits */

/* Of an object's text; "" for none. */
void chain_digest(char dst[CHAIN_SIZE], const char *object);
/* Of a row, all members of which are set, with the digest of its object, behind one whose hash is `before` ("": the first). */
void chain_next(char dst[CHAIN_SIZE], const char *before, const struct change *c, const char *digest);

/* When rows are deleted by age: the hash of the newest of them, which the oldest that stays follows. In their transaction. */
int chain_anchor(struct db *tx, const char *chain, struct err *e) MUST_CHECK;

struct chain_report {
	uint64_t rows, unchained, erased; /* looked at; from before there was a chain; whose object is gone */
	int64_t first, last;              /* numbers; 0: there are none */
	char head[CHAIN_SIZE];            /* of the newest row */
	int64_t broken_at; /* the first row that is not as it was written, or follows another one; 0: none */
	char why[64];
};
/* Looks at all of it, some rows at a time. 0 also when it is broken. */
int chain_verify(struct db *db, struct chain_report *out, struct err *e) MUST_CHECK;

extern const struct sql_table chain_sql;

#endif
