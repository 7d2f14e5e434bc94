/*
 * store - the database: connections, statements, transactions. SQLite or PostgreSQL; a driver is one const struct.
 *
 * Writes: store_write() is the only write transaction. The function runs on the store's writer thread, sees nothing
 * but the transaction, and several of them share one commit to disk (group commit); the caller is answered when its own
 * is on disk. A function that fails is undone alone.
 * Reads: store_read_begin() lends a connection of a bounded pool for a few statements of one snapshot.
 *
 * SQL stands in const tables of the nouns (struct sql_table); parameters are ?1, ?2, ... A statement is prepared once
 * per connection.
 *
 * Thread: any; a struct db belongs to one thread until it is given back.
 */
#ifndef PORTWAY_CONTROLD_STORE_STORE_H
#define PORTWAY_CONTROLD_STORE_STORE_H

#include "common/base/macros.h"
#include "controld/store/bind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;
struct db;    /* a connection inside a transaction */
struct query; /* a running SELECT */

struct store_conf {
	const char *url;     /* "sqlite:<path>", "sqlite::memory:", "postgresql://..." */
	unsigned readers;    /* connections for reading at once */
	unsigned group_max;  /* writes in one commit */
	unsigned queue_max;  /* writes waiting at once, of each class; beyond it ERR_OVERLOADED */
	uint64_t wait_ms;    /* for a connection, the writer or a lock; then ERR_OVERLOADED */
	uint64_t answer_ms;  /* for one statement of a database at the other end of a network */
	uint64_t connect_ms; /* to connect to it */
	uint64_t idle_ms;    /* a connection for reading that nobody used for so long is closed; 0: a minute */
	bool relaxed;        /* a machine that crashes may lose the last commits: for samples */
	bool samples;        /* the samples of an installation, where one database holds both */
	bool alone;          /* the caller holds upkeep_lock() alone */
	bool existing;       /* a database that is not there is an error, and not made */
};

struct sql_table {
	const char *noun;
	const char *const *sql; /* every statement of one noun */
	size_t n;
};
extern const struct sql_table store_sql;

int store_open(struct store **out, const struct store_conf *conf, struct err *e) MUST_CHECK;
void store_close(struct store *s); /* waits for running writes */
/* The id of this run among the controlds of the database, borrowed. Set before threads start. */
void store_set_origin(struct store *s, const char *id);
/* The key that seals secrets (secrets.h), in the place of all there were; 32 bytes, copied. Set before threads start. */
void store_set_master_key(struct store *s, const uint8_t *key);
/* A further one, that what was sealed before may be opened with; more than STORE_KEYS_MAX are not taken: -1. */
#define STORE_KEYS_MAX 4
int store_add_master_key(struct store *s, const uint8_t *key) MUST_CHECK;

/* May be run again, even after it was done once: it sets what it answers, and does nothing outside of tx. */
typedef int (*store_fn)(struct db *tx, void *arg, struct err *e);
/* LOGGED writes may append to the change log; OPERATIONAL ones may not and never wait for its readers. */
enum store_class { STORE_LOGGED, STORE_OPERATIONAL };
int store_write(struct store *s, enum store_class class, store_fn fn, void *arg, struct err *e) MUST_CHECK;

int store_read_begin(struct store *s, struct db **out, struct err *e) MUST_CHECK;
void store_read_end(struct db *db); /* takes NULL */

/* Runs a statement without rows: number of rows changed, or -1. A uniqueness violation is ERR_ALREADY_EXISTS. */
int db_exec_v(struct db *db, const char *sql, struct err *e, const struct bind *b, size_t n) MUST_CHECK;
/*
 * The same for what cannot fail for a reason of its own and whose rows nobody counts (a row of the change log, a row that
 * may be there already). It may be done with the next statement, whose failure its own then is: over a network, a round
 * trip less.
 */
int db_post_v(struct db *db, const char *sql, struct err *e, const struct bind *b, size_t n) MUST_CHECK;
/*
 * One statement once for each of n sets of values, in their order, many of them in one round trip. row() is called for each
 * row of the i-th's answer and runs no statement itself. All-or-nothing is the transaction's business, as ever.
 */
struct db_each {
	const char *sql;
	const struct bind *values; /* [n][width] */
	size_t width, n;
	int (*row)(void *arg, size_t i, struct query *q, struct err *e);
	void *arg;
};
int db_each(struct db *db, const struct db_each *all, struct err *e) MUST_CHECK;
/* Starts a SELECT (or ... RETURNING); texts and blobs are valid until the next query_next(). */
int db_query_v(
	struct db *db, struct query **out, const char *sql, struct err *e, const struct bind *b, size_t n) MUST_CHECK;
#define DB_BINDS(...)                                                        \
	((const struct bind[]){ { .type = BIND_NULL }, ##__VA_ARGS__ } + 1), \
		(sizeof((const struct bind[]){ { .type = BIND_NULL }, ##__VA_ARGS__ }) / sizeof(struct bind) - 1)
#define db_exec(db, sql, e, ...)       db_exec_v(db, sql, e, DB_BINDS(__VA_ARGS__))
#define db_post(db, sql, e, ...)       db_post_v(db, sql, e, DB_BINDS(__VA_ARGS__))
#define db_query(db, out, sql, e, ...) db_query_v(db, out, sql, e, DB_BINDS(__VA_ARGS__))

int query_next(struct query *q, struct err *e) MUST_CHECK; /* 1 a row, 0 the end, -1 error */
void query_end(struct query *q);                           /* always; takes NULL */
const char *query_text(struct query *q, int col);          /* NULL for NULL */
int64_t query_int(struct query *q, int col);
void query_ints(struct query *q, int col, size_t n, int64_t *out); /* of n columns from col on */
double query_real(struct query *q, int col);
const void *query_blob(struct query *q, int col, size_t *n);
bool query_is_null(struct query *q, int col);

/* Prepares a statement on a connection without running it: what the test of all SQL tables calls. */
int db_prepare_only(struct db *db, const char *sql, struct err *e) MUST_CHECK;
struct store_stats { /* for /metrics; queue: writes waiting now */
	uint64_t writes, commits, reads, busy, failed, queue, connections;
};
void store_stats(struct store *s, struct store_stats *out);
/* "SELECT 1" within wait_ms and the writer alive and the last write not failed for a full disk. */
int store_ping(struct store *s, struct err *e) MUST_CHECK;

#endif
