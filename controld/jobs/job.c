#include "controld/jobs/job.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/jobs/job_secret.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/store/secrets.h"

#include <string.h>

#define CHANGE_MAX (16 * 1024)

#define SELECT_JOB "SELECT " JOB_COLUMNS " FROM jobs "
#define OF_TENANT  "(?1 = '' OR tenant_id = ?1) AND id = ?2"
#define FILTERED                                                                                                      \
	"(?2 = '' OR kind = ?2) AND (?3 = '' OR queue = ?3) AND (?4 = '' OR state = ?4) AND (?5 = '' OR schedule_id " \
	"= ?5) "                                                                                                      \
	"AND (?6 = '' OR id < ?6) ORDER BY id DESC LIMIT ?7"
#define QUEUED_AFRESH                                                                                                 \
	"state = 'queued', due_ms = ?3, ended_ms = 0, failures = 0, crashes = 0, cancel = 0, error_code = '', error " \
	"= '', "                                                                                                      \
	"result = NULL, active_key = unique_key, version = version + 1"

enum {
	SQL_INSERT,
	SQL_ACTIVE,
	SQL_GET,
	SQL_LIST,
	SQL_LIST_ALL,
	SQL_COUNT_QUEUED,
	SQL_COUNT_SCHEDULED,
	SQL_COUNT_RUNNING,
	SQL_COUNT_DEAD,
	SQL_CANCEL_WAITING,
	SQL_CANCEL_RUNNING,
	SQL_RETRY,
	SQL_RETRY_FRESH,
	SQL_DELETE,
	SQL_DELETE_LINES,
	SQL_PRUNE,
	SQL_ERASE_USER,
	SQL_ERASE_TENANT,
	SQL_STOP_USER,
	SQL_STOP_TENANT,
};

static const char *const sql[] = {
	[SQL_INSERT] =
		"INSERT INTO jobs (" JOB_COLUMNS ", active_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
		"?11, ?12, ?13, ?14, 0, 0, 0, ?15, 0, 0, '', 0, 0, 0, 0, 0, '', '', NULL, '', '', 1, 1, ?16, ?12) "
		"ON CONFLICT (active_key) DO NOTHING",
	[SQL_ACTIVE] = "SELECT id FROM jobs WHERE active_key = ?1",
	[SQL_GET] = SELECT_JOB "WHERE " OF_TENANT,
	[SQL_LIST] = SELECT_JOB "WHERE tenant_id = ?1 AND " FILTERED,
	[SQL_LIST_ALL] = SELECT_JOB "WHERE ?1 = '' AND " FILTERED,
	[SQL_COUNT_QUEUED] = "SELECT queue, count(*) FROM jobs WHERE state = 'queued' GROUP BY queue",
	[SQL_COUNT_SCHEDULED] = "SELECT queue, count(*) FROM jobs WHERE state = 'scheduled' GROUP BY queue",
	[SQL_COUNT_RUNNING] = "SELECT queue, count(*) FROM jobs WHERE state = 'running' GROUP BY queue",
	[SQL_COUNT_DEAD] = "SELECT queue, count(*) FROM jobs WHERE state = 'dead' GROUP BY queue",
	[SQL_CANCEL_WAITING] =
		"UPDATE jobs SET state = 'cancelled', ended_ms = ?3, active_key = NULL, version = version + 1 "
		"WHERE " OF_TENANT " AND state IN ('queued', 'scheduled')",
	[SQL_CANCEL_RUNNING] =
		"UPDATE jobs SET cancel = 1, version = version + 1 WHERE " OF_TENANT " AND state = 'running'",
	[SQL_RETRY] = "UPDATE jobs SET " QUEUED_AFRESH " WHERE " OF_TENANT " AND state <> 'running'",
	[SQL_RETRY_FRESH] = "UPDATE jobs SET " QUEUED_AFRESH
			    ", saved = '', total = 0, done = 0, failed = 0, rate = 0, note = '' WHERE " OF_TENANT
			    " AND state <> 'running'",
	[SQL_DELETE] = "DELETE FROM jobs WHERE " OF_TENANT " AND state <> 'running'",
	[SQL_DELETE_LINES] = "DELETE FROM job_logs WHERE job_id = ?1",
	[SQL_PRUNE] =
		"DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE ended_ms > 0 AND ended_ms < ?1 AND (state <> "
		"'dead' OR ended_ms < ?2) ORDER BY ended_ms LIMIT ?3) RETURNING id",
	[SQL_ERASE_USER] = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE user_id = ?1 AND state <> "
			   "'running' LIMIT ?2) RETURNING id",
	[SQL_ERASE_TENANT] = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE tenant_id = ?1 AND state <> "
			     "'running' LIMIT ?2) RETURNING id",
	[SQL_STOP_USER] = "UPDATE jobs SET cancel = 1 WHERE user_id = ?1 AND state = 'running' AND cancel = 0",
	[SQL_STOP_TENANT] = "UPDATE jobs SET cancel = 1 WHERE tenant_id = ?1 AND state = 'running' AND cancel = 0",
};
const struct sql_table job_sql = { "job", sql, ARRAY_LEN(sql) };

static const char *const state_names[JOB_STATES] = {
	[JOB_SCHEDULED] = "scheduled",
	[JOB_QUEUED] = "queued",
	[JOB_RUNNING] = "running",
	[JOB_COMPLETED] = "completed",
	[JOB_DEAD] = "dead",
	[JOB_CANCELLED] = "cancelled",
};

const char *job_state_name(enum job_state s)
{
	return state_names[s];
}

int job_state_parse(const char *s, enum job_state *out)
{
	for (int i = 0; i < JOB_STATES; i++)
		if (str_eq(s, state_names[i])) {
			*out = (enum job_state)i;
			return 0;
		}
	return -1;
}

bool job_state_ended(enum job_state s)
{
	return s >= JOB_COMPLETED;
}

/* ---- adding and reading ------------------------------------------------------------------------------------------ */

static int insert_row(
	struct db *tx, const struct job *j, const char *id, int64_t now_ms, const struct buf *sealed, struct err *e)
{
	const enum job_state state = j->due_ms > now_ms ? JOB_SCHEDULED : JOB_QUEUED;

	return db_exec(tx, sql[SQL_INSERT], e, bind_s(id), bind_s(j->tenant_id), bind_s(j->user_id), bind_s(j->actor),
		bind_s(j->request_id), bind_s(j->schedule_id), bind_s(j->kind), bind_s(job_queue_name(j->queue)),
		bind_s(state_names[state]), bind_i(j->priority), bind_s(j->args), bind_s(j->unique_key), bind_i(now_ms),
		bind_i(MAX(j->due_ms, now_ms)), bind_i(j->failures_max),
		bind_b(sealed->len > 0 ? (const void *)sealed->data : "", sealed->len));
}

static int insert(struct db *tx, const struct job *j, const char *id, int64_t now_ms, struct err *e)
{
	struct buf sealed;
	int rc;

	buf_init(&sealed, JOB_TEXT_MAX + SECRETS_OVERHEAD);
	if ((rc = job_secret_seal(tx, id, j->secret, &sealed, e)) == 0)
		rc = insert_row(tx, j, id, now_ms, &sealed, e);
	buf_free(&sealed);
	return rc;
}

/* 1 and its id, 0 when there is none. */
static int find_active(struct db *tx, const char *key, char id[RAND_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_ACTIVE], e, bind_s(key)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		str_copy(id, RAND_ID_SIZE, query_text(q, 0));
	query_end(q);
	return rc;
}

#define INSERT_TRIES 5

/* The one that was in the way may have ended before we could look at it. */
int job_insert(struct db *tx, const struct job *j, int64_t now_ms, char id[RAND_ID_SIZE], bool *there, struct err *e)
{
	for (int i = 0; i < INSERT_TRIES; i++) {
		int n;

		rand_id(id, "job");
		if ((n = insert(tx, j, id, now_ms, e)) != 0) {
			*there = false;
			return MIN(n, 0);
		}
		if ((n = find_active(tx, j->unique_key, id, e)) != 0) {
			*there = true;
			return MIN(n, 0);
		}
	}
	return err_set(e, ERR_LOCKED, NULL, "job %s: others with the same key came and went", j->kind);
}

static const char *text(struct query *q, int col)
{
	const char *s = query_text(q, col);

	return s != NULL ? s : "";
}

void job_load(struct job *j, struct query *q)
{
	int c = 0;

	memset(j, 0, sizeof *j);
	j->id = text(q, c++);
	j->tenant_id = text(q, c++);
	j->user_id = text(q, c++);
	j->actor = text(q, c++);
	j->request_id = text(q, c++);
	j->schedule_id = text(q, c++);
	j->kind = text(q, c++);
	if (job_queue_parse(text(q, c++), &j->queue) != 0)
		j->queue = JOB_LOW;
	if (job_state_parse(text(q, c++), &j->state) != 0)
		j->state = JOB_DEAD;
	j->priority = query_int(q, c++);
	j->args = text(q, c++);
	j->unique_key = query_text(q, c++);
	j->created_ms = query_int(q, c++);
	j->due_ms = query_int(q, c++);
	j->started_ms = query_int(q, c++);
	j->ended_ms = query_int(q, c++);
	j->failures = query_int(q, c++);
	j->failures_max = query_int(q, c++);
	j->crashes = query_int(q, c++);
	j->lease = query_int(q, c++);
	j->holder = text(q, c++);
	j->cancel = query_int(q, c++) != 0;
	j->total = query_int(q, c++);
	j->done = query_int(q, c++);
	j->failed = query_int(q, c++);
	j->rate = query_real(q, c++);
	j->note = text(q, c++);
	j->saved = text(q, c++);
	j->result = query_text(q, c++);
	j->error_code = text(q, c++);
	j->error = text(q, c++);
	j->log_next = query_int(q, c++);
	j->version = query_int(q, c++);
	j->sealed = query_blob(q, c, &j->sealed_n);
}

static int each(struct query *q, job_row_fn fn, void *arg, unsigned *n, struct err *e)
{
	int rc;

	*n = 0;
	while ((rc = query_next(q, e)) == 1) {
		struct job j;

		++*n;
		job_load(&j, q);
		if ((rc = fn(&j, arg)) != 0)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}

static int not_found(const char *id, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, NULL, "there is no job '%.40s'", id);
}

int job_get(struct db *db, const char *tenant_id, const char *id, job_row_fn fn, void *arg, struct err *e)
{
	struct query *q;
	unsigned n;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0 || each(q, fn, arg, &n, e) != 0)
		return -1;
	return n == 0 ? not_found(id, e) : 0;
}

int job_list(struct db *db, const struct job_filter *f, job_row_fn fn, void *arg, struct err *e)
{
	const bool all = *f->tenant_id == '\0';
	struct query *q;
	unsigned n;

	if (db_query(db, &q, sql[all ? SQL_LIST_ALL : SQL_LIST], e, bind_s(f->tenant_id), bind_s(f->kind),
		    bind_s(f->queue), bind_s(f->state), bind_s(f->schedule_id), bind_s(f->before),
		    bind_i(f->limit)) != 0)
		return -1;
	return each(q, fn, arg, &n, e);
}

int job_count(struct db *db, struct job_counts *out, struct err *e)
{
	static const struct {
		enum job_state state;
		int statement;
	} counted[] = { { JOB_QUEUED, SQL_COUNT_QUEUED }, { JOB_SCHEDULED, SQL_COUNT_SCHEDULED },
		{ JOB_RUNNING, SQL_COUNT_RUNNING }, { JOB_DEAD, SQL_COUNT_DEAD } };
	int rc = 0;

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < ARRAY_LEN(counted) && rc == 0; i++) {
		enum job_queue queue;
		struct query *q;

		if (db_query(db, &q, sql[counted[i].statement], e) != 0)
			return -1;
		while ((rc = query_next(q, e)) == 1)
			if (job_queue_parse(query_text(q, 0), &queue) == 0)
				out->n[queue][counted[i].state] = query_int(q, 1);
		query_end(q);
	}
	return rc;
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

int job_note_row(struct db *tx, const struct job *j, const struct job_by *by, const char *op, struct err *e)
{
	struct change c = { .time_ms = by->now_ms,
		.tenant = j->tenant_id,
		.actor = by->actor,
		.request_id = by->request_id,
		.kind = "job",
		.op = op,
		.subject = j->id,
		.fields = "state" };
	struct buf b;
	int rc;

	buf_init(&b, CHANGE_MAX);
	job_print_short(&b, j);
	c.object = b.failed ? NULL : buf_cstr(&b);
	rc = changes_append(tx, &c, NULL, e);
	buf_free(&b);
	return rc;
}

struct noting {
	const struct job_by *by;
	const char *op;
	struct db *tx;
	struct err *e;
};

static int on_noted(const struct job *j, void *arg)
{
	const struct noting *n = arg;

	return job_note_row(n->tx, j, n->by, n->op, n->e);
}

int job_note_change(struct db *tx, const struct job_by *by, const char *op, struct err *e)
{
	struct noting n = { by, op, tx, e };

	return job_get(tx, by->tenant_id, by->id, on_noted, &n, e);
}

static int on_state(const struct job *j, void *arg)
{
	*(enum job_state *)arg = j->state;
	return 0;
}

/* Nothing was changed: it is not there, or in no state for that. */
static int refuse(struct db *tx, const struct job_by *by, const char *what, struct err *e)
{
	enum job_state state;

	if (job_get(tx, by->tenant_id, by->id, on_state, &state, e) != 0)
		return -1;
	return err_set(e, ERR_CONFLICT, NULL, "job %s is %s and cannot be %s", by->id, state_names[state], what);
}

int job_cancel(struct db *tx, const struct job_by *by, enum job_state *now, struct err *e)
{
	int n = db_exec(tx, sql[SQL_CANCEL_WAITING], e, bind_s(by->tenant_id), bind_s(by->id), bind_i(by->now_ms));

	*now = JOB_CANCELLED;
	if (n == 0) {
		n = db_exec(tx, sql[SQL_CANCEL_RUNNING], e, bind_s(by->tenant_id), bind_s(by->id));
		*now = JOB_RUNNING;
	}
	if (n == 0)
		return refuse(tx, by, "cancelled", e);
	return n < 0 ? -1 : job_note_change(tx, by, "cancel", e);
}

struct sameness {
	char key[JOB_KEY_MAX + 1];
	enum job_state state;
};

static int on_sameness(const struct job *j, void *arg)
{
	struct sameness *s = arg;

	s->state = j->state;
	return str_copy(s->key, sizeof s->key, j->unique_key != NULL ? j->unique_key : "");
}

/* Only what has ended can be in another's way: until then the key is its own. */
static int same_elsewhere(struct db *tx, const struct job_by *by, struct err *e)
{
	struct sameness s = { .key = "" };
	char other[RAND_ID_SIZE];
	int rc;

	if (job_get(tx, by->tenant_id, by->id, on_sameness, &s, e) != 0)
		return -1;
	if (s.key[0] == '\0' || !job_state_ended(s.state))
		return 0;
	if ((rc = find_active(tx, s.key, other, e)) == 1)
		return err_set(e, ERR_CONFLICT, NULL, "job %s: job %s does the same now", by->id, other);
	return rc;
}

int job_retry(struct db *tx, const struct job_by *by, bool fresh, struct err *e)
{
	int n;

	if (same_elsewhere(tx, by, e) != 0)
		return -1;
	n = db_exec(tx, sql[fresh ? SQL_RETRY_FRESH : SQL_RETRY], e, bind_s(by->tenant_id), bind_s(by->id),
		bind_i(by->now_ms));
	if (n == 0)
		return refuse(tx, by, "queued again", e);
	return n < 0 ? -1 : job_note_change(tx, by, "retry", e);
}

int job_delete(struct db *tx, const struct job_by *by, struct err *e)
{
	int n;

	if (job_note_change(tx, by, "delete", e) != 0)
		return -1;
	n = db_exec(tx, sql[SQL_DELETE], e, bind_s(by->tenant_id), bind_s(by->id));
	if (n == 0)
		return refuse(tx, by, "deleted; cancel it first", e);
	return n < 0 ? -1 : MIN(db_exec(tx, sql[SQL_DELETE_LINES], e, bind_s(by->id)), 0);
}

/* ---- upkeep ------------------------------------------------------------------------------------------------------ */

#define DROP_MAX 200

/* Reads the ids that a DELETE answers, to its end, and deletes the lines of those jobs. */
static int drop_lines(struct db *tx, struct query *q, unsigned *n, struct err *e)
{
	char ids[DROP_MAX][RAND_ID_SIZE];
	int rc;

	*n = 0;
	while ((rc = query_next(q, e)) == 1 && *n < DROP_MAX)
		str_copy(ids[(*n)++], RAND_ID_SIZE, query_text(q, 0));
	query_end(q);
	for (unsigned i = 0; i < *n && rc == 0; i++)
		rc = MIN(db_exec(tx, sql[SQL_DELETE_LINES], e, bind_s(ids[i])), 0);
	return rc;
}

int job_prune(struct db *tx, int64_t before_ms, int64_t dead_before_ms, unsigned limit, unsigned *n, struct err *e)
{
	struct query *q;

	if (db_query(tx, &q, sql[SQL_PRUNE], e, bind_i(before_ms), bind_i(dead_before_ms),
		    bind_i(MIN(limit, DROP_MAX))) != 0)
		return -1;
	return drop_lines(tx, q, n, e);
}

/* One that runs is asked to stop, and goes at a later time. */
static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	struct query *q;

	(void)position;
	if (db_exec(tx, sql[o->tenant ? SQL_STOP_TENANT : SQL_STOP_USER], e, bind_s(o->id)) < 0 ||
		db_query(tx, &q, sql[o->tenant ? SQL_ERASE_TENANT : SQL_ERASE_USER], e, bind_s(o->id),
			bind_i(MIN(limit, DROP_MAX))) != 0)
		return -1;
	return drop_lines(tx, q, n, e);
}

const struct erasure job_erasure = { "job", "jobs", erase };
