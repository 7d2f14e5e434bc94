#include "controld/jobs/job_log.h"

#include "common/base/err.h"
#include "common/base/str.h"

enum { SQL_ADD, SQL_READ };
static const char *const sql[] = {
	[SQL_ADD] = "INSERT INTO job_logs (job_id, n, time_ms, level, text) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO "
		    "NOTHING",
	[SQL_READ] = "SELECT n, time_ms, level, text FROM job_logs WHERE job_id = ?1 AND n > ?2 ORDER BY n LIMIT ?3",
};
const struct sql_table job_log_sql = { "job_log", sql, ARRAY_LEN(sql) };

static const char *const levels[] = { [JOB_INFO] = "info", [JOB_WARN] = "warn", [JOB_ERROR] = "error" };

const char *job_level_name(enum job_level l)
{
	return levels[l];
}

static enum job_level level_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (str_eq(name, levels[i]))
			return (enum job_level)i;
	return JOB_INFO;
}

int job_log_add(struct db *tx, const char *job_id, const struct job_line *line, struct err *e)
{
	return db_post(tx, sql[SQL_ADD], e, bind_s(job_id), bind_i(line->n), bind_i(line->time_ms),
		bind_s(levels[line->level]), bind_s(line->text));
}

int job_log_read(
	struct db *db, const char *job_id, int64_t after, unsigned limit, job_line_fn fn, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_READ], e, bind_s(job_id), bind_i(after), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		struct job_line l = { query_int(q, 0), query_int(q, 1), level_of(query_text(q, 2)), "" };

		(void)str_copy(l.text, sizeof l.text, query_text(q, 3));
		if ((rc = fn(&l, arg)) != 0)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}
