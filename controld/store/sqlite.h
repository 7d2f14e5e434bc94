/*
 * sqlite - what the files of the SQLite driver share; nobody else sees it.
 *
 * Owner, thread and end: as driver.h says of a connection.
 */
#ifndef PORTWAY_CONTROLD_STORE_SQLITE_H
#define PORTWAY_CONTROLD_STORE_SQLITE_H

#include "common/base/macros.h"
#include "controld/store/driver.h"

#include <sqlite3.h>

/* Verbs of transactions, each a statement that is prepared when it is first said. */
enum sqlite_verb { VERB_BEGIN, VERB_BEGIN_WRITE, VERB_COMMIT, VERB_ROLLBACK, VERB_PART, VERB_KEEP, VERB_UNDO, VERBS };

/*
 * A connection is the SQLite handle and the file's name for messages: with its folders while it is being opened, which
 * an operator reads, and without them afterwards, when a message may go to a client of the API.
 */
struct driver_conn {
	sqlite3 *handle;
	char *path;
	const char *shown; /* inside path */
	int wal_limit;     /* of the writer: pages of the log at which its readers are waited for */
	sqlite3_stmt *verb[VERBS];
};

/* Fills *e for a result code of SQLite's, or for what happened last on the connection. Both return -1. */
int sqlite_err_of(struct err *e, const struct driver_conn *c, int code);
int sqlite_fail(struct err *e, const struct driver_conn *c);

int sqlite_make_file(const char *path, struct err *e) MUST_CHECK;
int sqlite_connect(struct driver_conn **out, const char *path, int flags, struct err *e) MUST_CHECK;
void sqlite_close(struct driver_conn *c);
int sqlite_script(struct driver_conn *c, const char *sql, struct err *e) MUST_CHECK;

/* sqlite_upkeep.c */
char *sqlite_temporary(struct err *e);
int sqlite_lock(struct driver_lock **out, const char *path, bool alone, struct err *e);
void sqlite_unlock(struct driver_lock *l);
int sqlite_check(struct driver_conn *c, struct err *e);
int sqlite_copy(struct driver_conn *from, const char *path, driver_progress_fn fn, void *arg, struct err *e);
int sqlite_replace(const char *path, const char *by, struct err *e);
int sqlite_remove(const char *path, struct err *e);

#endif
