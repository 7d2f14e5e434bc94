#include "controld/jobs/job_hold.h"

#include "common/base/err.h"
#include "controld/jobs/job_log.h"

#define DUE_BATCH 1000 /* scheduled jobs whose time has come, in one transaction */
#define OUTCOME                                                                                                  \
	"state = ?3, failures = ?5, crashes = ?6, result = ?7, error_code = coalesce(?8, error_code), error = "  \
	"coalesce(?9, error), total = coalesce(?10, total), done = coalesce(?11, done), failed = coalesce(?12, " \
	"failed), "                                                                                              \
	"rate = coalesce(?13, rate), note = coalesce(?14, note), holder = '', version = version + 1"
#define WAITING(queue) \
	"(SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' AND queue = '" queue "' LIMIT ?1) AS w)"
#define HELD "id = ?1 AND lease = ?2 AND state = 'running'"

enum {
	SQL_DUE,
	SQL_HURRY,
	SQL_WAITING,
	SQL_TAKE,
	SQL_PROGRESS,
	SQL_SAVE,
	SQL_LINES,
	SQL_END,
	SQL_BACK,
	SQL_BEAT,
	SQL_LEAVE,
	SQL_HOLDERS,
	SQL_OF,
};
/* What is picked must be picked once: PostgreSQL may run a subquery that locks again, for each row, and pick others then. */
static const char *const sql[] = {
	[SQL_DUE] = "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE state = 'scheduled' AND due_ms <= ?1 ORDER BY "
		    "due_ms "
		    "LIMIT ?2 /* SKIP LOCKED */) UPDATE jobs SET state = 'queued', version = version + 1 WHERE state = "
		    "'scheduled' AND id IN (SELECT id FROM due)",
	[SQL_HURRY] = "UPDATE jobs SET due_ms = ?1, version = version + 1 WHERE state = 'scheduled' AND started_ms > "
		      "?2",
	[SQL_WAITING] = "SELECT " WAITING("critical") ", " WAITING("default") ", " WAITING(
		"low") ", (SELECT min(due_ms) FROM "
		       "jobs WHERE state = 'scheduled')",
	[SQL_TAKE] = "WITH next AS MATERIALIZED (SELECT id FROM jobs WHERE state = 'queued' AND queue = ?1 ORDER BY "
		     "priority "
		     "DESC, id LIMIT ?2 /* SKIP LOCKED */) UPDATE jobs SET state = 'running', lease = lease + 1, "
		     "holder = ?3, "
		     "started_ms = ?4, version = version + 1 WHERE state = 'queued' AND id IN (SELECT id FROM next) "
		     "RETURNING " JOB_COLUMNS,
	[SQL_PROGRESS] =
		"UPDATE jobs SET total = ?3, done = ?4, failed = ?5, rate = ?6, note = ?7, version = version + 1 "
		"WHERE " HELD,
	[SQL_SAVE] = "UPDATE jobs SET saved = ?3, crashes = 0, version = version + 1 WHERE " HELD,
	[SQL_LINES] = "UPDATE jobs SET log_next = CASE WHEN log_next < ?3 THEN ?3 ELSE log_next END, version = version "
		      "+ 1 WHERE id = ?1 AND lease = ?2",
	[SQL_END] =
		"UPDATE jobs SET ended_ms = ?4, active_key = NULL, " OUTCOME " WHERE " HELD " RETURNING " JOB_COLUMNS,
	[SQL_BACK] = "UPDATE jobs SET due_ms = ?4, " OUTCOME " WHERE " HELD,
	[SQL_BEAT] = "INSERT INTO job_holders (holder, beat) VALUES (?1, 1) ON CONFLICT (holder) DO UPDATE SET beat = "
		     "job_holders.beat + 1",
	[SQL_LEAVE] = "DELETE FROM job_holders WHERE holder = ?1",
	[SQL_HOLDERS] = "SELECT j.holder, coalesce(h.beat, -1) FROM (SELECT DISTINCT holder FROM jobs WHERE state = "
			"'running') AS j LEFT JOIN job_holders h ON h.holder = j.holder",
	[SQL_OF] = "SELECT " JOB_COLUMNS " FROM jobs WHERE state = 'running' AND holder = ?1",
};
const struct sql_table job_hold_sql = { "job_hold", sql, ARRAY_LEN(sql) };

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static int read_waiting(struct db *tx, unsigned limit, struct hold_waiting *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_WAITING], e, bind_i(limit)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		for (int i = 0; i < JOB_QUEUES; i++)
			out->n[i] = (unsigned)query_int(q, i);
		out->next_ms = query_is_null(q, JOB_QUEUES) ? INT64_MAX : query_int(q, JOB_QUEUES);
	}
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int job_hold_waiting(struct db *tx, int64_t now_ms, unsigned limit, struct hold_waiting *out, struct err *e)
{
	if (read_waiting(tx, limit, out, e) != 0)
		return -1;
	if (out->next_ms > now_ms)
		return 0;
	if (db_exec(tx, sql[SQL_DUE], e, bind_i(now_ms), bind_i(DUE_BATCH)) < 0)
		return -1;
	return read_waiting(tx, limit, out, e);
}

int job_hold_hurry(struct db *tx, int64_t now_ms, int64_t begun_ms, unsigned *n, struct err *e)
{
	const int rc = db_exec(tx, sql[SQL_HURRY], e, bind_i(now_ms), bind_i(begun_ms));

	*n = rc > 0 ? (unsigned)rc : 0;
	return MIN(rc, 0);
}

/* How many rows there were, or -1. */
static int each(struct query *q, job_row_fn fn, void *arg, struct err *e)
{
	struct job j;
	int rc, n = 0;

	while ((rc = query_next(q, e)) == 1) {
		n++;
		job_load(&j, q);
		if (fn != NULL && (rc = fn(&j, arg)) != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : n;
}

int job_hold_take(struct db *tx, enum job_queue queue, unsigned n, const char *holder, int64_t now_ms, job_row_fn fn,
	void *arg, struct err *e)
{
	struct query *q;

	if (db_query(tx, &q, sql[SQL_TAKE], e, bind_s(job_queue_name(queue)), bind_i(n), bind_s(holder),
		    bind_i(now_ms)) != 0)
		return -1;
	return MIN(each(q, fn, arg, e), 0);
}

/* ---- with the lease ---------------------------------------------------------------------------------------------- */

int job_hold_progress(struct db *tx, const struct hold *h, const struct hold_progress *p, struct err *e)
{
	return db_exec(tx, sql[SQL_PROGRESS], e, bind_s(h->id), bind_i(h->lease), bind_i(p->total), bind_i(p->done),
		bind_i(p->failed), bind_d(p->rate), bind_s(p->note));
}

int job_hold_save(struct db *tx, const struct hold *h, const char *saved, struct err *e)
{
	return db_exec(tx, sql[SQL_SAVE], e, bind_s(h->id), bind_i(h->lease), bind_s(saved));
}

int job_hold_lines(struct db *tx, const struct hold *h, const struct job_line *lines, size_t n, struct err *e)
{
	int rc;

	if (n == 0)
		return 1;
	rc = db_exec(tx, sql[SQL_LINES], e, bind_s(h->id), bind_i(h->lease), bind_i(lines[n - 1].n + 1));
	for (size_t i = 0; i < n && rc == 1; i++)
		if (job_log_add(tx, h->id, &lines[i], e) != 0)
			rc = -1;
	return rc;
}

/* All that is bound for an end, in the order of OUTCOME. */
#define OUTCOME_BINDS 14
static void bind_end(struct bind b[OUTCOME_BINDS], const struct hold *h, const struct hold_end *end)
{
	const struct hold_progress *p = end->progress;
	const bool ended = job_state_ended(end->state);

	b[0] = bind_s(h->id);
	b[1] = bind_i(h->lease);
	b[2] = bind_s(job_state_name(end->state));
	b[3] = bind_i(ended ? end->now_ms : MAX(end->due_ms, end->now_ms));
	b[4] = bind_i(end->failures);
	b[5] = bind_i(end->crashes);
	b[6] = bind_s(end->result);
	b[7] = bind_s(end->error_code);
	b[8] = bind_s(end->error);
	b[9] = p != NULL ? bind_i(p->total) : bind_null();
	b[10] = p != NULL ? bind_i(p->done) : bind_null();
	b[11] = p != NULL ? bind_i(p->failed) : bind_null();
	b[12] = p != NULL ? bind_d(p->rate) : bind_null();
	b[13] = bind_s(p != NULL ? p->note : NULL);
}

int job_hold_end(struct db *tx, const struct hold *h, const struct hold_end *end, struct err *e)
{
	struct bind b[OUTCOME_BINDS];
	struct query *q;

	bind_end(b, h, end);
	if (!job_state_ended(end->state))
		return db_exec_v(tx, sql[SQL_BACK], e, b, OUTCOME_BINDS);
	if (db_query_v(tx, &q, sql[SQL_END], e, b, OUTCOME_BINDS) != 0)
		return -1;
	return each(q, end->fn, end->arg, e);
}

/* ---- holders ----------------------------------------------------------------------------------------------------- */

int job_hold_beat(struct db *tx, const char *holder, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_BEAT], e, bind_s(holder)), 0);
}

int job_hold_leave(struct db *tx, const char *holder, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_LEAVE], e, bind_s(holder)), 0);
}

int job_hold_holders(struct db *db, job_holder_fn fn, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_HOLDERS], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if (fn(query_text(q, 0), query_int(q, 1), arg) != 0) {
			rc = 0;
			break;
		}
	query_end(q);
	return rc;
}

int job_hold_of(struct db *db, const char *holder, job_row_fn fn, void *arg, struct err *e)
{
	struct query *q;

	return db_query(db, &q, sql[SQL_OF], e, bind_s(holder)) != 0 ? -1 : MIN(each(q, fn, arg, e), 0);
}
