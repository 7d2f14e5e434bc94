/* Transactions of PostgreSQL: how they begin and end, and what is known of one whose end was lost. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/store/postgres.h"

#include <stdlib.h>
#include <unistd.h>

#define OUTCOME_STEP_US 50000
#define READ_ANEW_MAX   3

static int begin_reading(struct driver_conn *c, struct err *e)
{
	if (postgres_post(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e) != 0)
		return -1;
	c->tx = TX_READ;
	return 0;
}

bool postgres_revive(struct driver_conn *c, struct err *e)
{
	if (c->pg != NULL || c->anew == 0)
		return false;
	c->anew--;
	c->failed = false;
	return postgres_ready(c, e) == 0 && begin_reading(c, e) == 0;
}

/* The transaction's number and the timeline it was given on: what the server can be asked about later. */
static int take_ticket(struct driver_conn *c, struct err *e)
{
	static const char sql[] =
		"SELECT pg_current_xact_id()::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
	PGresult *r = NULL;

	if (postgres_sent(c, PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0), DUE_WANTED, e) != 0 ||
		postgres_land(c, &r, postgres_limit(c), e) != 0)
		return -1;
	(void)str_copy(c->ticket.number, sizeof c->ticket.number, PQgetvalue(r, 0, 0));
	(void)str_copy(c->ticket.timeline, sizeof c->ticket.timeline, PQgetvalue(r, 0, 1));
	(void)str_copy(c->ticket.life, sizeof c->ticket.life, c->life);
	PQclear(r);
	return 0;
}

/* Waits for its answer: a connection that has gone is found before anybody's function runs. */
static int begin_writing(struct driver_conn *c, bool logged, struct err *e)
{
	char lock[64];

	(void)str_fmt(lock, sizeof lock, "SELECT pg_advisory_xact_lock(%d)", POSTGRES_LOCK_LOG);
	if (postgres_post(c, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", e) != 0)
		return -1;
	c->tx = TX_WRITE;
	if (logged && postgres_post(c, lock, e) != 0)
		return -1;
	return take_ticket(c, e);
}

int postgres_begin(struct driver_conn *c, enum driver_tx kind, struct err *e)
{
	int rc = -1;

	c->undone = false;
	c->anew = kind == DRIVER_TX_READ ? READ_ANEW_MAX : 0;
	for (int i = 0; i < 2 && rc != 0; i++) {
		if (postgres_ready(c, e) != 0)
			return -1;
		c->failed = c->again = c->undone = false;
		c->part_at = SIZE_MAX;
		rc = kind == DRIVER_TX_READ ? begin_reading(c, e) : begin_writing(c, kind == DRIVER_TX_LOGGED, e);
		if (c->pg != NULL)
			break;
	}
	c->spoiled = false;
	return rc;
}

/* ---- what became of a COMMIT whose answer was lost --------------------------------------------------------------- */

/*
 * "committed", "aborted", "in progress", or "" when this server cannot know: one that was promoted meanwhile gives the
 * same numbers to other transactions, but it is on another timeline; one that crashed gives those again that did not reach
 * its disk. A snapshot says nothing: the newest that are in progress are beyond its end. A session that still waits for the
 * COMMIT, as it has not noticed that we are gone, is ended: what comes late must not be done.
 */
static int ask_outcome(struct driver_conn *c, char *status, size_t size, struct err *e)
{
	static const char sql[] =
		"SELECT CASE WHEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) <> $2 THEN '' "
		"ELSE pg_xact_status($1::xid8) END, (SELECT count(pg_terminate_backend(pid)) FROM "
		"pg_stat_activity WHERE backend_xid = $1::xid8::xid AND state = 'idle in transaction')";
	const char *value[] = { c->ticket.number, c->ticket.timeline };
	PGresult *r = NULL;

	if (postgres_ready(c, e) != 0)
		return -1;
	status[0] = '\0';
	if (!str_eq(c->life, c->ticket.life))
		return 0;
	if (postgres_sent(c, PQsendQueryParams(c->pg, sql, 2, NULL, value, NULL, NULL, 0), DUE_WANTED, e) != 0 ||
		postgres_land(c, &r, postgres_limit(c), e) != 0)
		return -1;
	(void)str_copy(status, size, PQgetvalue(r, 0, 0));
	PQclear(r);
	return 0;
}

/* A COMMIT may be on disk or not, and nobody may guess: repeating it could do it twice, denying it would lie. */
static int find_outcome(struct driver_conn *c, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + c->conf.wait_ms;
	char status[16] = "in progress";

	do {
		if (ask_outcome(c, status, sizeof status, NULL) == 0 && !str_eq(status, "in progress"))
			break;
		(void)usleep(OUTCOME_STEP_US);
	} while (clock_mono_ms() < end_ms);
	log_info("database_commit_looked_up", log_s("database", c->shown), log_s("status", status));
	c->undone = str_eq(status, "aborted");
	if (str_eq(status, "committed"))
		return 0;
	if (c->undone)
		return err_set(e, ERR_UNAVAILABLE, NULL, "database %s: the connection was lost; nothing was changed",
			c->shown);
	return err_set(e, ERR_OUTCOME_UNKNOWN, NULL,
		"database %s: the connection was lost while the change was being stored; it may be there or not, look "
		"before you repeat it",
		c->shown);
}

/* A COMMIT of a transaction that failed answers ROLLBACK, without an error. */
int postgres_commit(struct driver_conn *c, struct err *e)
{
	PGresult *r = NULL;
	int rc;

	if (c->pg == NULL)
		return postgres_lost(c, NULL, e);
	rc = postgres_sent(c, PQsendQueryParams(c->pg, "COMMIT", 0, NULL, NULL, NULL, NULL, 0), DUE_WANTED, e);
	if (rc == 0)
		rc = postgres_land(c, &r, postgres_limit(c), e);
	if (rc != 0 && c->pg == NULL)
		return find_outcome(c, e);
	if (rc == 0 && !str_eq(PQcmdStatus(r), "COMMIT"))
		rc = err_set(e, ERR_INTERNAL, NULL, "database %s: it rolled back instead", c->shown);
	if (PQtransactionStatus(c->pg) == PQTRANS_IDLE) /* else what went before it failed, and it did not run */
		c->tx = TX_NONE;
	PQclear(r);
	return rc;
}

/* ---- ending, parts, scripts -------------------------------------------------------------------------------------- */

/* A reader's end need not be waited for. */
int postgres_rollback(struct driver_conn *c)
{
	bool reading = c->tx == TX_READ;

	if (postgres_post(c, "ROLLBACK", NULL) != 0)
		return -1;
	c->tx = TX_NONE;
	if (!reading)
		return postgres_land(c, NULL, postgres_limit(c), NULL);
	postgres_launch(c);
	return 0;
}

static int part_begin(struct driver_conn *c, struct err *e)
{
	c->again = false;
	if (postgres_post(c, "SAVEPOINT part", e) != 0)
		return -1;
	c->part_at = c->n_due;
	return 0;
}

int postgres_part(struct driver_conn *c, enum driver_part what, struct err *e)
{
	if (what == DRIVER_PART_BEGIN)
		return part_begin(c, e);
	if (what != DRIVER_PART_UNDO && c->failed)
		return err_set(
			e, ERR_INTERNAL, NULL, "database %s: a write went on after a statement had failed", c->shown);
	if (what == DRIVER_PART_SURE && postgres_land(c, NULL, postgres_limit(c), e) != 0)
		return -1;
	if (what == DRIVER_PART_UNDO && c->n_due > c->part_at) /* undoing waits behind what may fail */
		(void)!postgres_land(c, NULL, postgres_limit(c), NULL);
	c->part_at = SIZE_MAX;
	if (what == DRIVER_PART_UNDO && postgres_post(c, "ROLLBACK TO SAVEPOINT part", e) != 0)
		return -1;
	c->failed = false;
	return postgres_post(c, "RELEASE SAVEPOINT part", e);
}

bool postgres_in_transaction(struct driver_conn *c)
{
	return c->pg != NULL && c->tx != TX_NONE;
}

enum driver_again postgres_run_again(struct driver_conn *c)
{
	if (c->undone)
		return DRIVER_AGAIN_ALL;
	return c->spoiled ? DRIVER_AGAIN_ALL_SURE : c->again ? DRIVER_AGAIN_PART : DRIVER_AGAIN_NOT;
}

/* A migration may take long; nobody serves from this database yet, or they go on with what they have. */
int postgres_script(struct driver_conn *c, const char *sql, struct err *e)
{
	size_t params;
	char *text = postgres_sql(sql, true, &params, e);
	int rc = -1;

	if (text == NULL)
		return -1;
	if (postgres_post(c, "SET LOCAL statement_timeout = 0", e) == 0 &&
		postgres_land(c, NULL, postgres_limit(c), e) == 0 && PQexitPipelineMode(c->pg) == 1) {
		rc = postgres_simple(c, text, NULL, POSTGRES_NO_LIMIT, e);
		if (c->pg != NULL && PQenterPipelineMode(c->pg) != 1)
			rc = postgres_lost(c, NULL, e);
	}
	free(text);
	return rc;
}
