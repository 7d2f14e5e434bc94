/*
 * driver - what one kind of database must be able to do. A driver is one const struct: sqlite.c, postgres.c.
 *
 * Above it are db.c (statements of one connection), writer.c (group commit) and store.c (the pool); none of them knows
 * which database it talks to. Functions that can fail answer -1 with *e set; texts and blobs of a row are borrowed
 * until the next step or reset.
 *
 * A connection that is lost stays an object: calls fail with ERR_UNAVAILABLE, and the next begin() connects again.
 *
 * Thread: a connection and its statements belong to one thread at a time.
 */
#ifndef PORTWAY_CONTROLD_STORE_DRIVER_H
#define PORTWAY_CONTROLD_STORE_DRIVER_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct driver_conn;
struct driver_stmt;
struct driver_lock;
struct driver_search;
struct driver_watch;
struct reach;

enum driver_tx { DRIVER_TX_READ, DRIVER_TX_LOGGED, DRIVER_TX_OPERATIONAL };
/* One function's part of a transaction that several share. SURE: what it posted is done when that returns. */
enum driver_part { DRIVER_PART_BEGIN, DRIVER_PART_KEEP, DRIVER_PART_SURE, DRIVER_PART_UNDO };
enum driver_again { DRIVER_AGAIN_NOT, DRIVER_AGAIN_PART, DRIVER_AGAIN_ALL, DRIVER_AGAIN_ALL_SURE };

struct driver_conf {
	bool writer;         /* false: the connection refuses to write */
	bool relaxed;        /* store_conf.relaxed */
	bool samples;        /* store_conf.samples */
	bool alone;          /* store_conf.alone */
	bool existing;       /* do not make a database where there is none */
	bool foreign;        /* somebody's copy: read it, change nothing about it */
	bool plain;          /* a copy to be carried away: one file, nothing beside it */
	uint64_t wait_ms;    /* for a lock of another transaction; 0 is some default, here and below */
	uint64_t answer_ms;  /* for one statement */
	uint64_t connect_ms; /* to one host */
	struct reach *reach; /* shared by the connections of a store; borrowed, may be NULL */
};

/* Called now and then while a copy goes on; pages are the driver's unit. Non-zero stops it. */
typedef int (*driver_progress_fn)(uint64_t done, uint64_t total, void *arg);
typedef int (*driver_answer_fn)(void *arg, size_t i, struct err *e);

struct driver {
	const char *name; /* "sqlite" */
	const char *form; /* of its URLs, for messages: "sqlite:PATH" */
	/* What open() wants to know of a URL of this driver's, inside of it; NULL for another's. */
	const char *(*target_of)(const char *url);
	/* The target of a temporary database, malloc'ed; remove() ends it. NULL: there are none. */
	char *(*temporary)(struct err *e);
	int (*open)(struct driver_conn **out, const char *target, const struct driver_conf *conf, struct err *e);
	void (*close)(struct driver_conn *c); /* takes NULL; all statements were finalized before */

	int (*begin)(struct driver_conn *c, enum driver_tx kind, struct err *e);
	int (*commit)(struct driver_conn *c, struct err *e);
	int (*rollback)(struct driver_conn *c);
	int (*part)(struct driver_conn *c, enum driver_part what, struct err *e);
	/* False after the database itself rolled back (a full disk, an I/O error) or was lost. */
	bool (*in_transaction)(struct driver_conn *c);
	/* PART: others were in its way. ALL: its connection went, nothing is stored. ALL_SURE: what a kept part posted failed. */
	enum driver_again (*run_again)(struct driver_conn *c);
	/* Several statements of a migration: without parameters, without rows, without a limit of time. */
	int (*script)(struct driver_conn *c, const char *sql, struct err *e);

	int (*prepare)(struct driver_conn *c, struct driver_stmt **out, const char *sql, struct err *e);
	/* A SELECT without values over a whole table, whose rows come in portions. */
	int (*scan)(struct driver_conn *c, struct driver_stmt **out, const char *sql, struct err *e);
	void (*finalize)(struct driver_stmt *s);
	/* The values are borrowed for this call; the database may run the statement now or with the first step. */
	int (*start)(struct driver_stmt *s, const struct bind *b, size_t n, struct err *e);
	/* To its end, at once or with the next statement, whose failure its own then is. */
	int (*post)(struct driver_stmt *s, const struct bind *b, size_t n, struct err *e);
	/* For each set of values; fn() takes the rows of the i-th by step(). NULL: start() does as well. */
	int (*each)(struct driver_stmt *s, const struct db_each *all, driver_answer_fn fn, void *arg, struct err *e);
	int (*step)(struct driver_stmt *s, struct err *e); /* 1 a row, 0 the end, -1 */
	void (*reset)(struct driver_stmt *s);
	int64_t (*changed)(struct driver_stmt *s); /* rows that it changed, after its end */

	const char *(*text)(struct driver_stmt *s, int col);
	void (*integers)(struct driver_stmt *s, int col, size_t n, int64_t *out);
	double (*real)(struct driver_stmt *s, int col);
	const void *(*blob)(struct driver_stmt *s, int col, size_t *n);
	bool (*is_null)(struct driver_stmt *s, int col);
	int (*columns)(struct driver_stmt *s);
	const char *(*column)(struct driver_stmt *s, int col); /* its name */
	struct bind (*value)(struct driver_stmt *s, int col);  /* as what it is; borrowed like a text */

	int (*has_table)(struct driver_conn *c, const char *name, struct err *e); /* 1, 0, -1 */

	const struct driver_search *search;
	const struct driver_watch *watch; /* driver_watch.h; NULL where one program can use it only */

	/*
	 * Upkeep of a whole database; upkeep.c. The lock is held by those who serve from a database, as many at once as
	 * it can have, or by one program alone; *out is NULL when the connections themselves show who is there.
	 */
	int (*lock)(struct driver_lock **out, const char *target, bool alone, struct err *e);
	void (*unlock)(struct driver_lock *l); /* takes NULL */
	/* These are NULL where a database is no file. check: every page and index. */
	int (*check)(struct driver_conn *c, struct err *e);
	int (*copy)(struct driver_conn *from, const char *target, driver_progress_fn fn, void *arg, struct err *e);
	int (*replace)(const char *target, const char *by, struct err *e); /* target is nobody's any more */
	int (*remove)(const char *target, struct err *e);
};

extern const struct driver sqlite_driver;
extern const struct driver postgres_driver;

/* The driver of a URL, and in *target what its open() wants of it; NULL with ERR_VALIDATION. */
const struct driver *driver_of(const char *url, const char **target, struct err *e);

#endif
