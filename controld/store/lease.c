#include "controld/store/lease.h"

#include "common/base/err.h"

/* A row from a clock that was far ahead binds nobody. */
static const char sql_take[] =
	"INSERT INTO leases(name, holder, until_ms, ran_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET "
	"holder = excluded.holder, until_ms = excluded.until_ms, ran_ms = excluded.ran_ms "
	"WHERE (leases.ran_ms <= ?5 OR leases.ran_ms > excluded.until_ms) AND (leases.until_ms <= excluded.ran_ms "
	"OR leases.holder = excluded.holder OR leases.until_ms > excluded.until_ms)";
static const char sql_end[] = "UPDATE leases SET until_ms = 0 WHERE name = ?1 AND holder = ?2";

static const char *const statements[] = { sql_take, sql_end };
const struct sql_table lease_sql = { "lease", statements, ARRAY_LEN(statements) };

struct taking {
	const struct lease *lease;
	int64_t now_ms;
	bool mine;
};

/* A little before its time is in time: the clocks of two controlds do not tick together. */
static int work_take(struct db *tx, void *arg, struct err *e)
{
	struct taking *t = arg;
	const struct lease *l = t->lease;
	int n = db_exec(tx, sql_take, e, bind_s(l->name), bind_s(l->holder), bind_i(t->now_ms + (int64_t)l->hold_ms),
		bind_i(t->now_ms), bind_i(t->now_ms - (int64_t)(l->every_ms - l->every_ms / 10)));

	t->mine = n > 0;
	return n < 0 ? -1 : 0;
}

int lease_take(struct store *s, const struct lease *l, int64_t now_ms, bool *mine, struct err *e)
{
	struct taking t = { l, now_ms, false };
	int rc = store_write(s, STORE_OPERATIONAL, work_take, &t, e);

	*mine = rc == 0 && t.mine;
	return rc;
}

static int work_end(struct db *tx, void *arg, struct err *e)
{
	const struct lease *l = arg;

	return db_exec(tx, sql_end, e, bind_s(l->name), bind_s(l->holder)) < 0 ? -1 : 0;
}

int lease_end(struct store *s, const struct lease *l, struct err *e)
{
	struct lease copy = *l;

	return store_write(s, STORE_OPERATIONAL, work_end, &copy, e);
}
