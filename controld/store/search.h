/*
 * search - the words of objects: written in the transaction that writes the object, found by their beginnings.
 *
 * A word is a run of letters and digits, folded to lower case; bytes that are no ASCII become two hex digits each. So nothing
 * that a person writes means something to an index, and all databases find the same. The index is the database's own
 * (driver_search.h: FTS5, tsvector); this is what they share.
 *
 * What is found comes in a fixed order: first the objects that have every word of the query whole, then those that have words
 * beginning so; each by age. A page goes on behind a place in this order, so that no page costs more than the first.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_STORE_SEARCH_H
#define PORTWAY_CONTROLD_STORE_SEARCH_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct err;

#define SEARCH_WORD_SIZE 32 /* bytes; longer words are cut */
#define SEARCH_WORDS_MAX 48 /* of one object: the first */
#define SEARCH_QUERY_MAX 4  /* words of a query; all must be there, more are not looked at */

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

/* After rows came by another way than search_put(); nothing where there is no such table. */
int search_rebuild(struct db *tx, struct err *e) MUST_CHECK;

/* Behind which hit a page begins; all zero: the first one. */
struct search_place {
	bool beginnings; /* among those that have not all words whole */
	int64_t n;       /* of the object */
};
#define SEARCH_PLACE_SIZE 24
void search_place_print(char dst[SEARCH_PLACE_SIZE], const struct search_place *p);
int search_place_parse(struct search_place *p, const char *s) MUST_CHECK; /* 0 or -1 */

struct search_hit {
	const char *kind, *id, *title; /* borrowed for the call */
	bool exact;                    /* has all words whole, not only by their beginning */
	struct search_place place;
};
struct search_query {
	const char *tenant_id;
	const char *kind; /* "": every one but `without` */
	const char *without;
	const char *text;
	struct search_place after;
	unsigned limit;
};
/* Best first. fn: 0 goes on. Nothing is found for a text without words. */
int search_find(struct db *db, const struct search_query *q, int (*fn)(const struct search_hit *hit, void *arg),
	void *arg, struct err *e) MUST_CHECK;

/* The next word of *text, which moves on: its length, 0 at the end. */
size_t search_word(const char **text, char word[SEARCH_WORD_SIZE]);

/* The word that stands for all objects of a tenant ('t') or kind ('k'): "=t...", which is no word of a text. */
#define SEARCH_MARK_SIZE 64
void search_mark(char dst[SEARCH_MARK_SIZE], char what, const char *id);

/*
 * For what is not found by words: "abc" -> "abc%" in lower case, with LIKE's own characters escaped by '!'. What does not fit
 * into dst is left out.
 */
void search_prefix(char *dst, size_t size, const char *s);

extern const struct sql_table search_sql;
struct erasure;
extern const struct erasure search_erasure;

#endif
