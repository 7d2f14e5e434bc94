#include "controld/panel/turn.h"

#include "common/base/err.h"
#include "common/base/str.h"

#define SLACK_MS 50 /* clocks of two machines, and times that are cut to milliseconds */

enum { SQL_GET, SQL_BEGIN, SQL_END };
static const char begin[] = "INSERT INTO panel_turns(slot, holder, ended_ms) VALUES (?1, ?2, 0) "
			    "ON CONFLICT (slot) DO UPDATE SET holder = excluded.holder, ended_ms = 0";
static const char *const sql[] = {
	[SQL_GET] = "SELECT holder, ended_ms FROM panel_turns WHERE slot = ?1",
	[SQL_BEGIN] = begin,
	[SQL_END] = "UPDATE panel_turns SET ended_ms = ?3 WHERE slot = ?1 AND holder = ?2",
};
const struct sql_table turn_sql = { "turn", sql, ARRAY_LEN(sql) };

struct beginning {
	const struct turn *turn;
	int64_t now_ms;
	uint64_t hold_ms;
};

static uint64_t hold_after(const struct turn *t, int64_t ended_ms, int64_t now_ms)
{
	const int64_t window_ms = (int64_t)t->window_ms + SLACK_MS;
	const int64_t left_ms = ended_ms == 0 ? window_ms : ended_ms + window_ms - now_ms;

	return (uint64_t)MIN(MAX(left_ms, 0), window_ms);
}

static int work_begin(struct db *tx, void *arg, struct err *e)
{
	struct beginning *b = arg;
	const struct turn *t = b->turn;
	struct query *q;
	int rc;

	b->hold_ms = 0;
	if (db_query(tx, &q, sql[SQL_GET], e, bind_s(t->slot)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && !str_eq(query_text(q, 0), t->holder))
		b->hold_ms = hold_after(t, query_int(q, 1), b->now_ms);
	query_end(q);
	if (rc < 0)
		return -1;
	return db_exec(tx, sql[SQL_BEGIN], e, bind_s(t->slot), bind_s(t->holder)) < 0 ? -1 : 0;
}

int turn_begin(const struct turn *t, int64_t now_ms, uint64_t *hold_ms, struct err *e)
{
	struct beginning b = { t, now_ms, 0 };

	if (store_write(t->store, STORE_OPERATIONAL, work_begin, &b, e) != 0)
		return -1;
	*hold_ms = b.hold_ms;
	return 0;
}

static int work_end(struct db *tx, void *arg, struct err *e)
{
	const struct beginning *b = arg;

	return db_exec(tx, sql[SQL_END], e, bind_s(b->turn->slot), bind_s(b->turn->holder), bind_i(b->now_ms)) < 0 ? -1
	                                                                                                           : 0;
}

int turn_end(const struct turn *t, int64_t now_ms, struct err *e)
{
	struct beginning b = { t, now_ms, 0 };

	return store_write(t->store, STORE_OPERATIONAL, work_end, &b, e);
}
