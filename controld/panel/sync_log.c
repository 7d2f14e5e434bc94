#include "controld/panel/sync_log.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"

#include <string.h>

#define STATE                                                                                                    \
	"CASE WHEN s.completed_ms <> 0 THEN s.state WHEN j.state = 'cancelled' THEN 'CANCELLED' WHEN j.state = " \
	"'completed' THEN 'COMPLETED' WHEN j.state = 'running' THEN 'RUNNING' WHEN j.state IN ('queued', "       \
	"'scheduled') THEN 'PENDING' ELSE 'FAILED' END"
#define ROWS                                                                                                 \
	"SELECT s.id, s.tenant_id, s.job_id, s.type, " STATE                                                 \
	", s.requested_by, CASE WHEN s.completed_ms <> 0 OR j.error IS NULL THEN s.error ELSE j.error END, " \
	"s.items_total, s.items_synced, s.items_failed, s.written, s.removed, s.created_ms, s.started_ms, "  \
	"CASE WHEN s.completed_ms = 0 AND j.ended_ms IS NOT NULL THEN j.ended_ms ELSE s.completed_ms END, "  \
	"CASE WHEN s.completed_ms = 0 AND j.state = 'running' THEN j.rate ELSE 0.0 END, s.started_seq "      \
	"FROM sync_logs s LEFT JOIN jobs j ON j.id = s.job_id "
#define UNSETTLED "s.completed_ms = 0 AND (j.id IS NULL OR j.ended_ms <> 0) "

enum {
	SQL_OPEN,
	SQL_BY_JOB,
	SQL_GET,
	SQL_CURRENT,
	SQL_ENDED,
	SQL_LIST,
	SQL_TOTAL,
	SQL_OTHERS,
	SQL_BEGIN,
	SQL_STARTED,
	SQL_PROGRESS,
	SQL_END,
	SQL_UNSETTLED,
	SQL_ANY_UNSETTLED,
	SQL_COUNTS,
	SQL_PRUNE,
	SQL_ERASE,
};
static const char *const sql[] = {
	[SQL_OPEN] = "INSERT INTO sync_logs (id, tenant_id, job_id, type, state, requested_by, error, items_total, "
		     "items_synced, items_failed, written, removed, created_ms, started_ms, completed_ms) VALUES (?1, "
		     "?2, ?3, "
		     "?4, 'PENDING', ?5, '', 0, 0, 0, 0, 0, ?6, 0, 0) ON CONFLICT (job_id) DO NOTHING",
	[SQL_BY_JOB] = ROWS "WHERE s.job_id = ?1",
	[SQL_GET] = ROWS "WHERE s.id = ?1",
	[SQL_CURRENT] = ROWS "WHERE s.completed_ms = 0 AND j.ended_ms = 0 ORDER BY j.started_ms = 0, s.id LIMIT 1",
	[SQL_ENDED] = ROWS "WHERE s.completed_ms <> 0 OR j.ended_ms <> 0 OR j.id IS NULL ORDER BY s.id DESC LIMIT 1",
	[SQL_LIST] = ROWS "WHERE (?1 = '' OR s.type = ?1) ORDER BY s.id DESC LIMIT ?2 OFFSET ?3",
	[SQL_TOTAL] = "SELECT count(*) FROM sync_logs WHERE (?1 = '' OR type = ?1)",
	[SQL_OTHERS] = "SELECT count(*) FROM sync_logs s JOIN jobs j ON j.id = s.job_id WHERE s.completed_ms = 0 AND "
		       "s.state = "
		       "'RUNNING' AND j.state = 'running' AND s.id <> ?1",
	[SQL_BEGIN] = "UPDATE sync_logs SET state = 'RUNNING', completed_ms = 0, error = '', started_ms = CASE WHEN "
		      "started_ms "
		      "= 0 THEN ?2 ELSE started_ms END WHERE id = ?1",
	[SQL_STARTED] = "UPDATE sync_logs SET started_seq = ?2 WHERE id = ?1",
	[SQL_PROGRESS] =
		"UPDATE sync_logs SET items_total = ?2, items_synced = ?3, items_failed = ?4, written = written + ?5, "
		"removed = removed + ?6 WHERE id = ?1",
	[SQL_END] = "UPDATE sync_logs SET state = ?2, error = ?3, completed_ms = ?4 WHERE id = ?1",
	[SQL_UNSETTLED] = ROWS "WHERE " UNSETTLED "ORDER BY s.id LIMIT 100",
	[SQL_ANY_UNSETTLED] = "SELECT count(*) FROM sync_logs s LEFT JOIN jobs j ON j.id = s.job_id WHERE " UNSETTLED,
	[SQL_COUNTS] =
		"SELECT count(CASE WHEN state = 'COMPLETED' THEN 1 END), count(CASE WHEN state = 'FAILED' THEN 1 END), "
		"count(CASE WHEN state = 'CANCELLED' THEN 1 END), count(CASE WHEN completed_ms = 0 THEN 1 END) FROM "
		"sync_logs",
	[SQL_PRUNE] =
		"DELETE FROM sync_logs WHERE id IN (SELECT id FROM sync_logs WHERE completed_ms > 0 AND completed_ms < "
		"?1 LIMIT ?2)",
	[SQL_ERASE] = "DELETE FROM sync_logs WHERE id IN (SELECT id FROM sync_logs WHERE tenant_id = ?1 LIMIT ?2)",
};
const struct sql_table sync_log_sql = { "sync_log", sql, ARRAY_LEN(sql) };

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void load(struct sync_log *s, struct query *q)
{
	int c = 0;

	memset(s, 0, sizeof *s);
	(void)str_copy(s->id, sizeof s->id, query_text(q, c++));
	(void)str_copy(s->tenant_id, sizeof s->tenant_id, query_text(q, c++));
	(void)str_copy(s->job_id, sizeof s->job_id, query_text(q, c++));
	(void)str_copy(s->type, sizeof s->type, query_text(q, c++));
	(void)str_copy(s->state, sizeof s->state, query_text(q, c++));
	(void)str_copy(s->requested_by, sizeof s->requested_by, query_text(q, c++));
	(void)str_copy(s->error, sizeof s->error, query_text(q, c++));
	str_make_utf8(s->error);
	s->total = query_int(q, c++);
	s->synced = query_int(q, c++);
	s->failed = query_int(q, c++);
	s->written = query_int(q, c++);
	s->removed = query_int(q, c++);
	s->created_ms = query_int(q, c++);
	s->started_ms = query_int(q, c++);
	s->completed_ms = query_int(q, c++);
	s->rate = query_real(q, c++);
	s->started_seq = query_int(q, c);
}

static int read_one(struct query *q, struct sync_log *out, bool *found, struct err *e)
{
	const int rc = query_next(q, e);

	*found = rc == 1;
	if (rc == 1)
		load(out, q);
	query_end(q);
	return MIN(rc, 0);
}

int sync_log_get(struct db *db, const char *id, struct sync_log *out, struct err *e)
{
	struct query *q;
	bool found;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(id)) != 0 || read_one(q, out, &found, e) != 0)
		return -1;
	return found ? 0 : err_set(e, ERR_NOT_FOUND, NULL, "there is no sync '%.40s'", id);
}

int sync_log_last(struct db *db, bool ended, struct sync_log *out, bool *found, struct err *e)
{
	struct query *q;

	return db_query(db, &q, sql[ended ? SQL_ENDED : SQL_CURRENT], e) != 0 ? -1 : read_one(q, out, found, e);
}

static int number(struct query *q, int64_t *n, struct err *e)
{
	const int rc = query_next(q, e);

	if (rc == 1)
		*n = query_int(q, 0);
	query_end(q);
	return MIN(rc, 0);
}

static int each(struct query *q, sync_log_fn fn, void *arg, struct err *e)
{
	struct sync_log s;
	int rc;

	while ((rc = query_next(q, e)) == 1) {
		load(&s, q);
		if (fn(&s, arg) != 0)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}

int sync_log_list(
	struct db *db, const struct sync_log_filter *f, sync_log_fn fn, void *arg, int64_t *total, struct err *e)
{
	struct query *q;

	*total = 0;
	if (db_query(db, &q, sql[SQL_TOTAL], e, bind_s(f->type)) != 0 || number(q, total, e) != 0 ||
		db_query(db, &q, sql[SQL_LIST], e, bind_s(f->type), bind_i(f->limit), bind_i(f->offset)) != 0)
		return -1;
	return each(q, fn, arg, e);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int sync_log_open(struct db *tx, struct sync_log *s, int64_t now_ms, struct err *e)
{
	char id[RAND_ID_SIZE];
	struct query *q;
	bool found;

	rand_id(id, "syn");
	if (db_exec(tx, sql[SQL_OPEN], e, bind_s(id), bind_s(s->tenant_id), bind_s(s->job_id), bind_s(s->type),
		    bind_s(s->requested_by), bind_i(now_ms)) < 0 ||
		db_query(tx, &q, sql[SQL_BY_JOB], e, bind_s(s->job_id)) != 0 || read_one(q, s, &found, e) != 0)
		return -1;
	return found ? 0 : err_set(e, ERR_INTERNAL, NULL, "sync of job %s: is not there", s->job_id);
}

int sync_log_begin(struct db *tx, const char *id, int64_t now_ms, int64_t *others, struct err *e)
{
	struct query *q;

	*others = 0;
	if (db_query(tx, &q, sql[SQL_OTHERS], e, bind_s(id)) != 0 || number(q, others, e) != 0)
		return -1;
	return *others > 0 ? 0 : MIN(db_exec(tx, sql[SQL_BEGIN], e, bind_s(id), bind_i(now_ms)), 0);
}

int sync_log_progress(struct db *tx, const char *id, const struct sync_log_progress *p, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_PROGRESS], e, bind_s(id), bind_i(p->total), bind_i(p->synced), bind_i(p->failed),
			   bind_i(p->written), bind_i(p->removed)),
		0);
}

int sync_log_complete(struct db *tx, const char *id, const char *remark, int64_t now_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_END], e, bind_s(id), bind_s("COMPLETED"), bind_s(remark), bind_i(now_ms)), 0);
}

struct settling {
	struct sync_log all[100];
	size_t n;
};

static int on_unsettled(const struct sync_log *s, void *arg)
{
	struct settling *t = arg;

	t->all[t->n++] = *s;
	return t->n == ARRAY_LEN(t->all);
}

int sync_log_settle(struct db *tx, int64_t now_ms, sync_log_fn fn, void *arg, struct err *e)
{
	struct settling t = { .n = 0 };
	struct query *q;

	if (db_query(tx, &q, sql[SQL_UNSETTLED], e) != 0 || each(q, on_unsettled, &t, e) != 0)
		return -1;
	for (size_t i = 0; i < t.n; i++) {
		struct sync_log *s = &t.all[i];

		if (s->completed_ms == 0)
			s->completed_ms = now_ms;
		if (db_exec(tx, sql[SQL_END], e, bind_s(s->id), bind_s(s->state), bind_s(s->error),
			    bind_i(s->completed_ms)) < 0 ||
			fn(s, arg) != 0)
			return -1;
	}
	return 0;
}

int sync_log_unsettled(struct db *db, int64_t *n, struct err *e)
{
	struct query *q;

	*n = 0;
	return db_query(db, &q, sql[SQL_ANY_UNSETTLED], e) != 0 ? -1 : number(q, n, e);
}

int sync_log_prune(struct db *tx, int64_t before_ms, unsigned limit, unsigned *n, struct err *e)
{
	const int rc = db_exec(tx, sql[SQL_PRUNE], e, bind_i(before_ms), bind_i(limit));

	*n = rc > 0 ? (unsigned)rc : 0;
	return MIN(rc, 0);
}

int sync_log_print_counts(struct db *db, struct buf *out, struct err *e)
{
	static const char *const names[] = { "completed", "failed", "cancelled", "underWay" };
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNTS], e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		for (int i = 0; i < (int)ARRAY_LEN(names); i++)
			jsonw_int(out, names[i], query_int(q, i));
	query_end(q);
	return MIN(rc, 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	const int rc = o->tenant ? db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id), bind_i(limit)) : 0;

	(void)position;
	*n = rc > 0 ? (unsigned)rc : 0;
	return MIN(rc, 0);
}

const struct erasure sync_log_erasure = { "sync", "sync_logs", erase };

/* ---- printing ------------------------------------------------------------------------------------------------------ */

static void print_time_left(struct buf *b, const struct sync_log *s)
{
	if (s->rate > 0 && s->total >= s->synced + s->failed)
		jsonw_int(b, "secondsLeft", (int64_t)((double)(s->total - s->synced - s->failed) / s->rate) + 1);
	else
		jsonw_null(b, "secondsLeft");
}

void sync_log_print(struct buf *b, const char *key, const struct sync_log *s)
{
	jsonw_object(b, key);
	jsonw_str(b, "id", s->id);
	jsonw_str(b, "type", s->type);
	jsonw_str(b, "status", s->state);
	jsonw_int(b, "itemsTotal", s->total);
	jsonw_int(b, "itemsSynced", s->synced);
	jsonw_int(b, "itemsFailed", s->failed);
	jsonw_int(b, "itemsChanged", s->written);
	jsonw_int(b, "itemsRemoved", s->removed);
	print_time_left(b, s);
	jsonw_str_or_null(b, "error", s->error);
	jsonw_str_or_null(b, "requestedBy", s->requested_by);
	jsonw_str(b, "taskId", s->job_id);
	jsonw_time(b, "createdAt", s->created_ms);
	jsonw_time(b, "startedAt", s->started_ms);
	jsonw_time(b, "completedAt", s->completed_ms);
	jsonw_end_object(b);
}

/* With c->actor, op and time_ms. */
static int append(struct db *tx, const struct sync_log *s, struct change *c, int64_t *seq, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, CHANGES_OBJECT_MAX);
	sync_log_print(&b, NULL, s);
	c->tenant = s->tenant_id;
	c->request_id = "";
	c->kind = "sync";
	c->subject = s->id;
	c->fields = "";
	c->object = b.failed ? NULL : buf_cstr(&b);
	rc = changes_append(tx, c, seq, e);
	buf_free(&b);
	return rc;
}

int sync_log_change(
	struct db *tx, const struct sync_log *s, const char *actor, const char *op, int64_t now_ms, struct err *e)
{
	struct change c = { .time_ms = now_ms, .actor = actor, .op = op };

	return append(tx, s, &c, NULL, e);
}

int sync_log_started(struct db *tx, struct sync_log *s, int64_t now_ms, struct err *e)
{
	struct change c = { .time_ms = now_ms, .actor = "system", .op = "started" };

	if (append(tx, s, &c, &s->started_seq, e) != 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_STARTED], e, bind_s(s->id), bind_i(s->started_seq)), 0);
}
