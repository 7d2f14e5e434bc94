/*
 * migrate - brings a database to the shape that this program knows: numbered SQL files, compiled in, each with the
 * checksum of what was applied.
 *
 * A file that was applied never changes again. A migration that this program does not know was applied by a newer one: it
 * says which programs go on with it, by the newest migration that they know ("-- compatible: 6" in its file; without that
 * line none but those that know it). So controlds of two versions share a database while one after the other is
 * upgraded. What does not fit is refused with the file's name. Each migration is one transaction.
 *
 * Thread: at start, before others use the store.
 */
#ifndef PORTWAY_CONTROLD_STORE_MIGRATE_H
#define PORTWAY_CONTROLD_STORE_MIGRATE_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct err;
struct store;

struct migration {
	int number;
	const char *name;     /* "0001_store" */
	const char *checksum; /* SHA-256 of the file, hex */
	const char *sql;
	int compatible; /* programs whose newest migration is this or a later one go on with it; 0: only who knows it */
};

struct migration_set {
	const struct migration *rows; /* by number */
	size_t n;
};

/* Made from migrations/ and migrations/samples/ by scripts/embed-sql. */
extern const struct migration_set migrations_main;
extern const struct migration_set migrations_samples;

/* Applies what is missing; *applied (may be NULL) gets how many. ERR_CONFLICT when the database does not fit. */
int migrate_apply(struct store *s, const struct migration_set *set, unsigned *applied, struct err *e) MUST_CHECK;
/* The main set, and a log id where there is none: what every use of the main database begins with. */
int migrate_main(struct store *s, unsigned *applied, struct err *e) MUST_CHECK;

/* Every migration of the set; applied_ms is 0 for one that is not applied yet. Changes nothing. */
typedef void (*migrate_list_fn)(const struct migration *m, int64_t applied_ms, void *arg);
int migrate_list(
	struct store *s, const struct migration_set *set, migrate_list_fn fn, void *arg, struct err *e) MUST_CHECK;

/* For copies of a whole database, in a transaction of the caller's: */

/* Which of the set are applied, by index; ERR_CONFLICT when there are others, too. applied has set->n members. */
int migrate_read(struct db *db, const struct migration_set *set, bool *applied, struct err *e) MUST_CHECK;
/* The tables as those migrations leave them, in an empty database, without a note of it. */
int migrate_make(struct db *tx, const struct migration_set *set, const bool *applied, struct err *e) MUST_CHECK;
/* The name of every table that the set or migrating itself makes; fn: 0 goes on. */
typedef int (*migrate_table_fn)(const char *name, void *arg, struct err *e);
int migrate_tables(const struct migration_set *set, migrate_table_fn fn, void *arg, struct err *e) MUST_CHECK;

extern const struct sql_table migrate_sql;

#endif
