/*
 * postgres - what the files of the PostgreSQL driver share; nobody else sees it.
 *
 * A connection is always in libpq's pipeline mode: what nobody waits for (BEGIN, SAVEPOINT, the COMMIT of a reader) is
 * sent together with the next statement that is waited for, so a read of one statement costs one round trip.
 *
 *	post   queue a statement without values and rows: its failure becomes that of the next one that lands
 *	land   send all that is queued and take every answer, within a limit of time
 *	each   queue one statement with many sets of values and land once for all
 *	launch send it and take the answers with the next landing
 *
 * Owner, thread and end: as driver.h says of a connection.
 */
#ifndef PORTWAY_CONTROLD_STORE_POSTGRES_H
#define PORTWAY_CONTROLD_STORE_POSTGRES_H

#include "common/base/macros.h"
#include "controld/store/driver.h"

#include <postgresql/libpq-fe.h>

#define POSTGRES_VERSION_MIN 130000
#define POSTGRES_DUE_MAX     256
#define POSTGRES_NO_LIMIT    UINT64_MAX

/* Advisory locks of one database: who writes the change log, who is at work on it, who makes schemas. */
enum postgres_lock { POSTGRES_LOCK_LOG = 0x70770001, POSTGRES_LOCK_USE = 0x70770002, POSTGRES_LOCK_MAKE = 0x70770003 };

/* What a result that is still to come belongs to. */
enum postgres_due { DUE_POSTED, DUE_WANTED, DUE_SYNC };

struct driver_conn {
	PGconn *pg;              /* NULL while it is lost */
	char *target;            /* the URL, perhaps with a password: never shown */
	char shown[160];         /* "portway on db1:5432" */
	struct driver_conf conf; /* times are set */
	unsigned generation;     /* of pg; statements of an older one are prepared again */
	unsigned epoch;          /* of conf.reach when pg was made */
	char life[32];           /* of the server: another one after a crash */
	unsigned statements;     /* prepared so far, for their names */
	enum { TX_NONE, TX_READ, TX_WRITE } tx;
	struct {
		char number[24], timeline[12], life[32];
	} ticket;       /* of a TX_WRITE: by which the server knows what became of it */
	unsigned anew;  /* how often a TX_READ, as long as nothing was read in it, may begin anew in another session */
	bool undone;    /* the session of a TX_WRITE ended, and nothing of it was stored */
	bool failed;    /* a statement of the transaction, or of its running part, failed: only undoing helps */
	bool again;     /* ... for what others did at the same time */
	bool spoiled;   /* ... that an earlier part had posted and that was kept */
	size_t part_at; /* what is due before it is not of the running part; SIZE_MAX: none runs */
	char notice[160];
	PGnotify *news;                          /* that was handed out last; postgres_watch.c */
	enum postgres_due due[POSTGRES_DUE_MAX]; /* oldest first */
	size_t n_due;
	PGresult *got[POSTGRES_DUE_MAX]; /* of the last landing, those that were DUE_WANTED; it fails with none */
	size_t n_got;
};

/* postgres_conn.c */
int postgres_open(struct driver_conn **out, const char *target, const struct driver_conf *conf, struct err *e);
void postgres_close(struct driver_conn *c);
/* Connected, or connected again; what came meanwhile is taken. */
int postgres_ready(struct driver_conn *c, struct err *e) MUST_CHECK;
/* Gives up the connection; fills *e with ERR_UNAVAILABLE and returns -1. */
int postgres_lost(struct driver_conn *c, const char *why, struct err *e);

/* postgres_flight.c */
/* Lands what is queued unless there is room for one more statement to be posted; for a few more there always is. */
int postgres_room(struct driver_conn *c, struct err *e) MUST_CHECK;
int postgres_post(struct driver_conn *c, const char *sql, struct err *e) MUST_CHECK;
/* After a PQsend...(): it is on its way and its result is this. rc is what libpq answered. */
int postgres_sent(struct driver_conn *c, int rc, enum postgres_due what, struct err *e) MUST_CHECK;
/* *result (may be NULL) gets the one that was DUE_WANTED; the caller clears it. */
int postgres_land(struct driver_conn *c, PGresult **result, uint64_t limit_ms, struct err *e) MUST_CHECK;
/* Those of several stay in c->got until the next landing; whoever takes one leaves NULL. */
int postgres_land_all(struct driver_conn *c, uint64_t limit_ms, struct err *e) MUST_CHECK;
void postgres_forget(struct driver_conn *c); /* clears them */
void postgres_launch(struct driver_conn *c);
/* Outside of the pipeline: several statements, the last one's result. Nothing may be due. */
int postgres_simple(
	struct driver_conn *c, const char *sql, PGresult **result, uint64_t limit_ms, struct err *e) MUST_CHECK;
uint64_t postgres_limit(const struct driver_conn *c); /* for one statement, in ms */

/* postgres_tx.c */
int postgres_begin(struct driver_conn *c, enum driver_tx kind, struct err *e);
int postgres_commit(struct driver_conn *c, struct err *e);
int postgres_rollback(struct driver_conn *c);
int postgres_part(struct driver_conn *c, enum driver_part what, struct err *e);
bool postgres_in_transaction(struct driver_conn *c);
enum driver_again postgres_run_again(struct driver_conn *c);
int postgres_script(struct driver_conn *c, const char *sql, struct err *e);
/* A reader that has not read anything yet does not notice that its session had ended: false when it must. */
bool postgres_revive(struct driver_conn *c, struct err *e);

/* postgres_error.c: fills *e and returns -1; notes on the connection what follows from it. */
int postgres_fail(struct driver_conn *c, const PGresult *r, struct err *e);

/* postgres_sql.c: ?1 -> $1, BLOB -> BYTEA; in a script TEXT sorts by bytes. malloc'ed; *params the highest number. */
char *postgres_sql(const char *sql, bool script, size_t *params, struct err *e);

/* postgres_watch.c */
extern const struct driver_watch postgres_watch;

/* postgres_upkeep.c */
int postgres_lock(struct driver_lock **out, const char *target, bool alone, struct err *e);
void postgres_unlock(struct driver_lock *l);

#endif
