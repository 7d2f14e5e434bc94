/* One flight: what was queued is sent, and its answers are taken in order; every wait ends. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/postgres.h"

#include <poll.h>
#include <string.h>

#define POSTGRES_SLACK_MS 1000 /* the server ends a statement first, if it is there */

uint64_t postgres_limit(const struct driver_conn *c)
{
	return c->conf.answer_ms + POSTGRES_SLACK_MS;
}

static uint64_t until(uint64_t limit_ms)
{
	return limit_ms == POSTGRES_NO_LIMIT ? POSTGRES_NO_LIMIT : clock_mono_ms() + limit_ms;
}

/* Waits until the socket can be used; false when the time is over. */
static bool wait_socket(struct driver_conn *c, short events, uint64_t end_ms)
{
	struct pollfd p = { .fd = PQsocket(c->pg), .events = events };
	uint64_t now = clock_mono_ms();
	int ms = -1;

	if (end_ms != POSTGRES_NO_LIMIT) {
		if (now >= end_ms)
			return false;
		ms = (int)MIN(end_ms - now, 60000);
	}
	(void)poll(&p, 1, ms); /* whatever it says, libpq looks again */
	return true;
}

/* The connection is given up when it does not answer: what may come later would be taken for another answer. */
static int silent(struct driver_conn *c, struct err *e)
{
	return postgres_lost(c, "no answer in time", e);
}

static int flush(struct driver_conn *c, uint64_t end_ms, struct err *e)
{
	int rc;

	while ((rc = PQflush(c->pg)) == 1) {
		if (!wait_socket(c, POLLIN | POLLOUT, end_ms))
			return silent(c, e);
		if (PQconsumeInput(c->pg) != 1)
			return postgres_lost(c, NULL, e);
	}
	return rc == 0 ? 0 : postgres_lost(c, NULL, e);
}

/* The next result, which may be NULL; -1 when the connection is lost. */
static int take(struct driver_conn *c, PGresult **r, uint64_t end_ms, struct err *e)
{
	while (PQisBusy(c->pg)) {
		if (!wait_socket(c, POLLIN, end_ms))
			return silent(c, e);
		if (PQconsumeInput(c->pg) != 1)
			return postgres_lost(c, NULL, e);
	}
	*r = PQgetResult(c->pg);
	if (PQstatus(c->pg) == CONNECTION_OK)
		return 0;
	if (*r != NULL && *c->notice == '\0')
		(void)str_copy(c->notice, sizeof c->notice, PQresultErrorMessage(*r));
	PQclear(*r);
	return postgres_lost(c, NULL, e);
}

static bool is_error(const PGresult *r)
{
	switch (PQresultStatus(r)) {
	case PGRES_FATAL_ERROR:
	case PGRES_BAD_RESPONSE:
	case PGRES_NONFATAL_ERROR:
	case PGRES_PIPELINE_ABORTED:
		return true;
	default:
		return false;
	}
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------ */

int postgres_sent(struct driver_conn *c, int rc, enum postgres_due what, struct err *e)
{
	if (rc != 1)
		return postgres_lost(c, NULL, e);
	c->due[c->n_due++] = what;
	return 0;
}

int postgres_room(struct driver_conn *c, struct err *e)
{
	if (c->pg == NULL)
		return postgres_lost(c, NULL, e);
	return c->n_due + 5 > POSTGRES_DUE_MAX ? postgres_land(c, NULL, postgres_limit(c), e) : 0;
}

int postgres_post(struct driver_conn *c, const char *sql, struct err *e)
{
	if (postgres_room(c, e) != 0)
		return -1;
	return postgres_sent(c, PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0), DUE_POSTED, e);
}

/* One result and what ends it. 0, or 1 when it was an error, which *e then tells unless an earlier one did. */
static int take_due(struct driver_conn *c, enum postgres_due what, uint64_t end_ms, struct err *e)
{
	PGresult *r = NULL, *end = NULL;
	int rc = 0;

	if (take(c, &r, end_ms, e) != 0)
		return -1;
	if (what == DUE_SYNC) {
		PQclear(r);
		return 0;
	}
	if (is_error(r)) {
		rc = 1;
		if (PQresultStatus(r) != PGRES_PIPELINE_ABORTED)
			(void)postgres_fail(c, r, e);
	}
	if (what == DUE_WANTED && rc == 0)
		c->got[c->n_got++] = r;
	else
		PQclear(r);
	if (take(c, &end, end_ms, e) != 0)
		return -1;
	PQclear(end);
	return rc;
}

static int take_all(struct driver_conn *c, uint64_t end_ms, struct err *e)
{
	struct err first = { 0 };
	int failed = 0;

	for (size_t i = 0; i < c->n_due; i++) {
		struct err why = { 0 };
		int rc = take_due(c, c->due[i], end_ms, &why);

		if (rc < 0) {
			first = why;
			failed = 1;
			break; /* nothing is due any more */
		}
		if (rc > 0 && failed++ == 0) {
			first = why;
			c->spoiled = i < c->part_at;
		}
	}
	c->n_due = 0;
	c->part_at = c->part_at == SIZE_MAX ? SIZE_MAX : 0;
	if (failed > 0 && first.code == ERR_NONE)
		err_set(&first, ERR_INTERNAL, NULL, "database %s: a statement was skipped without a reason", c->shown);
	if (failed > 0 && e != NULL)
		*e = first;
	return failed > 0 ? -1 : 0;
}

void postgres_forget(struct driver_conn *c)
{
	for (size_t i = 0; i < c->n_got; i++)
		PQclear(c->got[i]);
	c->n_got = 0;
}

int postgres_land_all(struct driver_conn *c, uint64_t limit_ms, struct err *e)
{
	uint64_t end_ms = until(limit_ms);

	postgres_forget(c);
	if (c->pg == NULL)
		return postgres_lost(c, NULL, e);
	if (postgres_sent(c, PQpipelineSync(c->pg), DUE_SYNC, e) != 0 || flush(c, end_ms, e) != 0)
		return -1;
	if (take_all(c, end_ms, e) == 0)
		return 0;
	postgres_forget(c);
	return -1;
}

int postgres_land(struct driver_conn *c, PGresult **result, uint64_t limit_ms, struct err *e)
{
	if (postgres_land_all(c, limit_ms, e) != 0)
		return -1;
	if (result != NULL && c->n_got > 0) {
		*result = c->got[0];
		c->got[0] = NULL;
	}
	postgres_forget(c);
	return 0;
}

/* A small message: where even that does not fit, the next landing sends it. */
void postgres_launch(struct driver_conn *c)
{
	if (c->pg != NULL && postgres_sent(c, PQpipelineSync(c->pg), DUE_SYNC, NULL) == 0 && PQflush(c->pg) < 0)
		(void)postgres_lost(c, NULL, NULL);
}

/* ---- outside of it ----------------------------------------------------------------------------------------------- */

static int take_simple(struct driver_conn *c, PGresult **last, uint64_t end_ms, struct err *e)
{
	PGresult *r = NULL;
	int rc = 0;

	while (true) {
		if (take(c, &r, end_ms, e) != 0)
			return -1;
		if (r == NULL)
			return rc;
		if (is_error(r) && rc == 0)
			rc = postgres_fail(c, r, e);
		PQclear(*last);
		*last = r;
	}
}

int postgres_simple(struct driver_conn *c, const char *sql, PGresult **result, uint64_t limit_ms, struct err *e)
{
	uint64_t end_ms = until(limit_ms);
	PGresult *last = NULL;
	int rc;

	if (PQsendQuery(c->pg, sql) != 1 || flush(c, end_ms, e) != 0)
		return c->pg != NULL ? postgres_lost(c, NULL, e) : -1;
	rc = take_simple(c, &last, end_ms, e);
	if (rc == 0 && result != NULL)
		*result = last;
	else
		PQclear(last);
	return rc;
}
