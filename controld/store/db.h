/*
 * db - one connection: its prepared statements and the transaction it is in. Inside store/ only; features see store.h.
 *
 * Owner:  the writer or the pool. Thread: one at a time.
 * Ends:   db_free(); statements left open by a careless function are closed with their transaction and logged.
 */
#ifndef PORTWAY_CONTROLD_STORE_DB_H
#define PORTWAY_CONTROLD_STORE_DB_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "controld/store/chain.h"
#include "controld/store/driver.h"
#include "controld/store/store.h"

#define DB_KINDS_SIZE 256

struct db {
	const struct driver *driver;
	struct driver_conn *conn;
	struct store *store;
	struct map statements;       /* by their SQL */
	struct query *recent[64];    /* of these, by where the text is */
	struct list running;         /* queries begun and not ended */
	bool logged;                 /* this transaction may append to the change log */
	int64_t tx_seq;              /* first change of the running function; 0: none yet */
	int64_t last_seq;            /* newest one, */
	char last_chain[CHAIN_SIZE]; /* and its hash */
	char kinds[DB_KINDS_SIZE];   /* of the transaction's changes, "user,mapping"; "" also when there are too many */
	bool kinds_cut;
};

int db_new(struct db **out, struct store *s, const struct driver *d, const char *target, const struct driver_conf *conf,
	struct err *e) MUST_CHECK;
void db_free(struct db *db);

int db_begin(struct db *db, enum driver_tx kind, struct err *e) MUST_CHECK;
int db_commit(struct db *db, struct err *e) MUST_CHECK;
void db_rollback(struct db *db);
/* One function's part of a shared transaction. */
int db_part_begin(struct db *db, bool logged, struct err *e) MUST_CHECK;
int db_part_keep(struct db *db, bool sure, struct err *e) MUST_CHECK;
int db_part_undo(struct db *db, struct err *e) MUST_CHECK;
/* False when the database gave the transaction up by itself. */
bool db_in_transaction(const struct db *db);
enum driver_again db_run_again(const struct db *db);

/* For what works on whole databases: all rows of a table, whatever it is. Ends with query_end(). */
int db_scan(struct db *db, struct query **out, const char *sql, struct err *e) MUST_CHECK;
int query_columns(struct query *q);
const char *query_column(struct query *q, int col);               /* its name */
struct bind query_value(struct query *q, int col);                /* borrowed like query_text() */
int db_has_table(struct db *db, const char *name, struct err *e); /* 1, 0, -1 */

/* For the text that tells other controlds of the changes: a kind of one that was appended. */
void db_note_kind(struct db *db, const char *kind);

/* store.c */
const struct driver *store_driver(const struct store *s);
int store_open_db(struct store *s, struct db **out, struct err *e) MUST_CHECK; /* a connection of one's own */
const char *store_origin(const struct store *s);
/* The i-th of the store's master keys, or NULL; 0 seals. store.c. */
const uint8_t *store_master_key(const struct store *s, size_t i);

#endif
