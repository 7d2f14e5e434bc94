/* What is done to a whole PostgreSQL database: one program alone on it. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/postgres.h"

#include <stdlib.h>
#include <unistd.h>

#define LOCK_WAIT_MS 3000 /* the sessions of a controld that was killed end a moment after it */
#define LOCK_STEP_US 50000

/* A session that holds the lock; whoever serves holds it shared by each of its own. */
struct driver_lock {
	struct driver_conn *conn;
};

/* 1 when it is held now, 0 when somebody is at work on the database. */
static int try_alone(struct driver_conn *c, struct err *e)
{
	PGresult *r = NULL;
	char sql[80];
	int rc;

	(void)str_fmt(sql, sizeof sql, "SELECT pg_try_advisory_lock(%d)", POSTGRES_LOCK_USE);
	if (postgres_sent(c, PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0), DUE_WANTED, e) != 0 ||
		postgres_land(c, &r, postgres_limit(c), e) != 0)
		return -1;
	rc = *PQgetvalue(r, 0, 0) == 't';
	PQclear(r);
	return rc;
}

int postgres_lock(struct driver_lock **out, const char *target, bool alone, struct err *e)
{
	const struct driver_conf conf = { .alone = true };
	const uint64_t end_ms = clock_mono_ms() + LOCK_WAIT_MS;
	struct driver_lock *l;
	int rc;

	*out = NULL;
	if (!alone)
		return 0;
	if ((l = calloc(1, sizeof *l)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database: out of memory");
	if (postgres_open(&l->conn, target, &conf, e) != 0)
		goto fail;
	while ((rc = try_alone(l->conn, e)) == 0 && clock_mono_ms() < end_ms)
		(void)usleep(LOCK_STEP_US);
	if (rc == 0)
		err_set(e, ERR_LOCKED, NULL, "database %s: a controld is running on it", l->conn->shown);
	if (rc != 1)
		goto fail;
	*out = l;
	return 0;
fail:
	postgres_unlock(l);
	return -1;
}

void postgres_unlock(struct driver_lock *l)
{
	if (l == NULL)
		return;
	postgres_close(l->conn);
	free(l);
}
