/*
 * driver_search - how a database finds the objects whose words begin with those of a query; part of a driver.
 *
 * The table, the words of an object and the marks of tenant and kind are search.c's; the index over them is made by the
 * migration 0018, for each database as it can do it.
 */
#ifndef PORTWAY_CONTROLD_STORE_DRIVER_SEARCH_H
#define PORTWAY_CONTROLD_STORE_DRIVER_SEARCH_H

#include "controld/store/search.h"

struct search_ask {
	const char *tenant_id;
	const char *kind;    /* "": any */
	const char *without; /* "": none */
	char word[SEARCH_QUERY_MAX][SEARCH_WORD_SIZE];
	size_t words;
	bool whole;    /* objects that have all words whole; otherwise those that do not */
	int64_t after; /* numbers of objects beyond this one, rising */
	unsigned limit;
};

struct driver_search {
	const struct sql_table *sql;
	unsigned steps; /* ways of finding, each going on where the one before ended without filling the page */
	/* Rows: kind, id, title, n. */
	int (*find)(struct db *db, struct query **out, const struct search_ask *ask, unsigned step, struct err *e);

	/* Statements for an index that does not follow its table by itself; otherwise NULL. */
	const char *forget;        /* before an object (?1 kind, ?2 id) changes or goes */
	const char *forget_tenant; /* before all of a tenant (?1) go */
	const char *learn;         /* after an object was written */
	const char *rebuild;       /* after all of them were */
};

extern const struct driver_search sqlite_search;
extern const struct driver_search postgres_search;

#endif
