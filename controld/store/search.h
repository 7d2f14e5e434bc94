/*
 * search - an index of words over the objects of the nouns, written in the transaction that writes the object.
 *
 * A word is a run of letters and digits, folded to lower case; bytes that are no ASCII become two hex digits each, so that
 * words sort alike in every database and a prefix is a range of an ordinary index. That is why this is one table on SQLite
 * and PostgreSQL, and neither FTS5 nor tsvector.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_STORE_SEARCH_H
#define PORTWAY_CONTROLD_STORE_SEARCH_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct err;

#define SEARCH_WORD_SIZE  32   /* bytes; longer words are cut */
#define SEARCH_WORDS_MAX  48   /* of one object: the first */
#define SEARCH_QUERY_MAX  4    /* words of a query; all must be there */
#define SEARCH_LOOKED_MAX 1000 /* entries of the index that one query looks at */

struct search_object {
	const char *kind; /* as the change log calls it */
	const char *id;
	const char *tenant_id;
	const char *title;        /* what a list of results shows */
	const char *const *texts; /* besides id and title; NULL-terminated */
};

/* Writes or replaces. */
int search_put(struct db *tx, const struct search_object *o, struct err *e) MUST_CHECK;
int search_drop(struct db *tx, const char *kind, const char *id, struct err *e) MUST_CHECK;

struct search_hit {
	const char *kind, *id, *title; /* borrowed for the call */
	int64_t score;                 /* words that are in it whole, not only by their beginning */
};
struct search_query {
	const char *tenant_id;
	const char *kind; /* "": every one but `without` */
	const char *without;
	const char *text;
	unsigned limit, skip;
};
/* Best first. fn: 0 goes on. Nothing is found for a text without words. */
int search_find(struct db *db, const struct search_query *q, int (*fn)(const struct search_hit *hit, void *arg),
	void *arg, struct err *e) MUST_CHECK;

/* The next word of *text, which moves on: its length, 0 at the end. */
size_t search_word(const char **text, char word[SEARCH_WORD_SIZE]);

extern const struct sql_table search_sql;
struct erasure;
extern const struct erasure search_erasure;

#endif
