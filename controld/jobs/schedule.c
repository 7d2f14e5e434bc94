#include "controld/jobs/schedule.h"

#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/store/erasure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS                                                                                                          \
	"SELECT s.id, s.tenant_id, s.user_id, s.name, s.kind, s.args, s.cron, s.time_zone, s.missed, s.paused, "      \
	"s.version, s.created_ms, s.updated_ms, t.next_ms, t.last_ms, t.last_job_id, t.missed FROM schedules s JOIN " \
	"schedule_ticks t ON t.schedule_id = s.id "

enum {
	SQL_INSERT,
	SQL_INSERT_TICK,
	SQL_UPDATE,
	SQL_MOVE_TICK,
	SQL_DELETE,
	SQL_DELETE_TICK,
	SQL_GET,
	SQL_LIST,
	SQL_COUNT,
	SQL_DUE,
	SQL_STEP,
	SQL_NOTE_JOB,
	SQL_ERASE_TICKS_USER,
	SQL_ERASE_TICKS_TENANT,
	SQL_ERASE_USER,
	SQL_ERASE_TENANT,
};
static const char *const sql[] = {
	[SQL_INSERT] =
		"INSERT INTO schedules (id, tenant_id, user_id, name, kind, args, cron, time_zone, missed, paused, "
		"version, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11)",
	[SQL_INSERT_TICK] =
		"INSERT INTO schedule_ticks (schedule_id, next_ms, last_ms, last_job_id, missed) VALUES (?1, ?2, "
		"0, '', 0)",
	[SQL_UPDATE] =
		"UPDATE schedules SET name = ?3, args = ?4, cron = ?5, time_zone = ?6, missed = ?7, paused = ?8, "
		"updated_ms = ?9, version = version + 1 WHERE id = ?1 AND version = ?2",
	[SQL_MOVE_TICK] = "UPDATE schedule_ticks SET next_ms = ?2 WHERE schedule_id = ?1",
	[SQL_DELETE] = "DELETE FROM schedules WHERE id = ?1",
	[SQL_DELETE_TICK] = "DELETE FROM schedule_ticks WHERE schedule_id = ?1",
	[SQL_GET] = ROWS "WHERE (?1 = '' OR s.tenant_id = ?1) AND s.id = ?2",
	[SQL_LIST] = ROWS "WHERE (?1 = '' OR s.tenant_id = ?1) AND s.id > ?2 ORDER BY s.id LIMIT ?3",
	[SQL_COUNT] = "SELECT count(*) FROM schedules WHERE tenant_id = ?1",
	[SQL_DUE] = ROWS "WHERE t.next_ms > 0 AND t.next_ms <= ?1 ORDER BY t.next_ms LIMIT ?2",
	[SQL_STEP] =
		"UPDATE schedule_ticks SET next_ms = ?3, last_ms = CASE WHEN ?4 = 1 THEN ?6 ELSE last_ms END, missed = "
		"missed + ?5 WHERE schedule_id = ?1 AND next_ms = ?2",
	[SQL_NOTE_JOB] = "UPDATE schedule_ticks SET last_job_id = ?2 WHERE schedule_id = ?1",
	[SQL_ERASE_TICKS_USER] =
		"DELETE FROM schedule_ticks WHERE schedule_id IN (SELECT id FROM schedules WHERE user_id = "
		"?1)",
	[SQL_ERASE_TICKS_TENANT] =
		"DELETE FROM schedule_ticks WHERE schedule_id IN (SELECT id FROM schedules WHERE tenant_id "
		"= ?1)",
	[SQL_ERASE_USER] = "DELETE FROM schedules WHERE user_id = ?1",
	[SQL_ERASE_TENANT] = "DELETE FROM schedules WHERE tenant_id = ?1",
};
const struct sql_table schedule_sql = { "schedule", sql, ARRAY_LEN(sql) };

#define MISSED_RUN  "run_once"
#define MISSED_SKIP "skip"

int schedule_next(const struct schedule *s, int64_t after_ms, int64_t *next_ms, struct err *e)
{
	struct cron cron;
	struct zone *zone;
	int64_t next;

	if (cron_parse(&cron, s->cron, e) != 0 || zone_open(&zone, s->time_zone, e) != 0)
		return -1;
	next = cron_next(&cron, zone, after_ms);
	zone_free(zone);
	*next_ms = next == INT64_MAX ? 0 : next;
	return 0;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int schedule_insert(struct db *tx, const struct schedule *s, struct err *e)
{
	if (db_exec(tx, sql[SQL_INSERT], e, bind_s(s->id), bind_s(s->tenant_id), bind_s(s->user_id), bind_s(s->name),
		    bind_s(s->kind), bind_s(s->args), bind_s(s->cron), bind_s(s->time_zone),
		    bind_s(s->run_missed ? MISSED_RUN : MISSED_SKIP), bind_i(s->paused), bind_i(s->created_ms)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_INSERT_TICK], e, bind_s(s->id), bind_i(s->next_ms)), 0);
}

int schedule_update(struct db *tx, struct schedule *s, struct err *e)
{
	int n = db_exec(tx, sql[SQL_UPDATE], e, bind_s(s->id), bind_i(s->version), bind_s(s->name), bind_s(s->args),
		bind_s(s->cron), bind_s(s->time_zone), bind_s(s->run_missed ? MISSED_RUN : MISSED_SKIP),
		bind_i(s->paused), bind_i(s->updated_ms));

	if (n == 0)
		return err_set(e, ERR_CONFLICT, NULL, "schedule %s was changed at the same time", s->id);
	if (n < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_MOVE_TICK], e, bind_s(s->id), bind_i(s->next_ms)), 0);
}

int schedule_delete(struct db *tx, const char *id, struct err *e)
{
	if (db_exec(tx, sql[SQL_DELETE_TICK], e, bind_s(id)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_s(id)), 0);
}

static void load(struct schedule *s, struct query *q)
{
	int c = 0;

	memset(s, 0, sizeof *s);
	(void)str_copy(s->id, sizeof s->id, query_text(q, c++));
	(void)str_copy(s->tenant_id, sizeof s->tenant_id, query_text(q, c++));
	(void)str_copy(s->user_id, sizeof s->user_id, query_text(q, c++));
	(void)str_copy(s->name, sizeof s->name, query_text(q, c++));
	(void)str_copy(s->kind, sizeof s->kind, query_text(q, c++));
	(void)str_copy(s->args, sizeof s->args, query_text(q, c++));
	(void)str_copy(s->cron, sizeof s->cron, query_text(q, c++));
	(void)str_copy(s->time_zone, sizeof s->time_zone, query_text(q, c++));
	s->run_missed = str_eq(query_text(q, c++), MISSED_RUN);
	s->paused = query_int(q, c++) != 0;
	s->version = query_int(q, c++);
	s->created_ms = query_int(q, c++);
	s->updated_ms = query_int(q, c++);
	s->next_ms = query_int(q, c++);
	s->last_ms = query_int(q, c++);
	(void)str_copy(s->last_job_id, sizeof s->last_job_id, query_text(q, c++));
	s->missed = query_int(q, c);
}

static int each(struct query *q, schedule_fn fn, void *arg, struct err *e)
{
	struct schedule s;
	int rc;

	while ((rc = query_next(q, e)) == 1) {
		load(&s, q);
		if ((rc = fn(&s, arg)) != 0)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}

static int on_got(const struct schedule *s, void *arg)
{
	*(struct schedule *)arg = *s;
	return 0;
}

int schedule_get(struct db *db, const char *tenant_id, const char *id, struct schedule *out, struct err *e)
{
	struct query *q;

	out->id[0] = '\0';
	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0 || each(q, on_got, out, e) != 0)
		return -1;
	return out->id[0] != '\0' ? 0 : err_set(e, ERR_NOT_FOUND, NULL, "there is no schedule '%.40s'", id);
}

int schedule_list(struct db *db, const char *tenant_id, const char *after, unsigned limit, schedule_fn fn, void *arg,
	struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(tenant_id), bind_s(after), bind_i(limit)) != 0)
		return -1;
	return each(q, fn, arg, e);
}

int schedule_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_COUNT], e, bind_s(tenant_id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int schedule_due(struct db *db, int64_t now_ms, unsigned limit, schedule_fn fn, void *arg, struct err *e)
{
	struct query *q;

	if (db_query(db, &q, sql[SQL_DUE], e, bind_i(now_ms), bind_i(limit)) != 0)
		return -1;
	return each(q, fn, arg, e);
}

int schedule_step(struct db *tx, const struct schedule_step *s, struct err *e)
{
	return db_exec(tx, sql[SQL_STEP], e, bind_s(s->id), bind_i(s->from_ms), bind_i(s->to_ms), bind_i(s->ran),
		bind_i(s->missed), bind_i(s->due_ms));
}

int schedule_note_job(struct db *tx, const char *id, const char *job_id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_NOTE_JOB], e, bind_s(id), bind_s(job_id)), 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit, (void)position;
	*n = 0;
	if (db_exec(tx, sql[o->tenant ? SQL_ERASE_TICKS_TENANT : SQL_ERASE_TICKS_USER], e, bind_s(o->id)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[o->tenant ? SQL_ERASE_TENANT : SQL_ERASE_USER], e, bind_s(o->id)), 0);
}

const struct erasure schedule_erasure = { "schedule", "schedules,schedule_ticks", erase };

/* ---- printing ---------------------------------------------------------------------------------------------------- */

void schedule_print(struct buf *b, const struct schedule *s, const struct job_kind *kind)
{
	jsonw_object(b, NULL);
	jsonw_str(b, "id", s->id);
	jsonw_str(b, "name", s->name);
	jsonw_str(b, "kind", s->kind);
	kind_print_args(b, kind, s->args);
	jsonw_str(b, "cron", s->cron);
	jsonw_str(b, "time_zone", s->time_zone);
	jsonw_str(b, "missed", s->run_missed ? MISSED_RUN : MISSED_SKIP);
	jsonw_bool(b, "paused", s->paused);
	jsonw_str_or_null(b, "tenant_id", s->tenant_id);
	jsonw_str_or_null(b, "user_id", s->user_id);
	jsonw_time(b, "next_at", s->next_ms);
	jsonw_time(b, "last_at", s->last_ms);
	jsonw_str_or_null(b, "last_job_id", s->last_job_id);
	jsonw_int(b, "missed_runs", s->missed);
	jsonw_time(b, "created_at", s->created_ms);
	jsonw_time(b, "updated_at", s->updated_ms);
	jsonw_int(b, "version", s->version);
	jsonw_end_object(b);
}
