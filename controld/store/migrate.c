#include "controld/store/migrate.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"

#include <string.h>

#define MIGRATE_MAX 256 /* migrations of one database */

static const char sql_table_make[] = "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, "
				     "name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
static const char sql_applied[] = "SELECT number, name, checksum, applied_at FROM schema_migrations ORDER BY number";
static const char sql_note[] =
	"INSERT INTO schema_migrations(number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)";
static const char sql_has_log_id[] = "SELECT 1 FROM meta WHERE key = 'log_id'";

static const char *const migrate_statements[] = { sql_table_make, sql_applied, sql_note, sql_has_log_id };
const struct sql_table migrate_sql = { "migrate", migrate_statements, ARRAY_LEN(migrate_statements) };

/* What the database says, beside what this program has. */
struct progress {
	const struct migration_set *set;
	int64_t applied_ms[MIGRATE_MAX]; /* by index into the set */
	unsigned count;                  /* applied by this run */
};

static const struct migration *find(const struct migration_set *set, int64_t number)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->rows[i].number == number)
			return &set->rows[i];
	return NULL;
}

/* One row of schema_migrations against the migration of that number. */
static int compare_row(struct progress *p, struct query *q, struct err *e)
{
	int64_t number = query_int(q, 0);
	const char *name = query_text(q, 1);
	const struct migration *m = find(p->set, number);

	if (m == NULL)
		return err_set(e, ERR_CONFLICT, NULL,
			"database: migration %s was applied by a newer controld; start that one", name);
	if (!str_eq(query_text(q, 2), m->checksum))
		return err_set(e, ERR_CONFLICT, NULL,
			"database: migration %s was applied with another content (checksum %.12s, this program has "
			"%.12s)",
			name, query_text(q, 2), m->checksum);
	p->applied_ms[m - p->set->rows] = query_int(q, 3);
	return 0;
}

static int read_applied(struct db *db, struct progress *p, struct err *e)
{
	struct query *q;
	int rc;

	if (p->set->n > MIGRATE_MAX)
		return err_set(e, ERR_INTERNAL, NULL, "database: more than %d migrations", MIGRATE_MAX);
	memset(p->applied_ms, 0, sizeof p->applied_ms);
	if (db_query(db, &q, sql_applied, e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && (rc = compare_row(p, q, e)) == 0)
		;
	query_end(q);
	return rc;
}

/* ---- applying ---------------------------------------------------------------------------------------------------- */

static int apply_one(struct db *tx, const struct migration *m, struct err *e)
{
	struct err why = { 0 };

	if (tx->driver->script(tx->conn, m->sql, &why) != 0)
		return err_set(e, why.code, NULL, "migration %s: %s", m->name, why.msg);
	if (db_exec(tx, sql_note, e, bind_i(m->number), bind_s(m->name), bind_s(m->checksum), bind_i(clock_wall_ms())) <
		0)
		return -1;
	log_info("migration_applied", log_s("name", m->name));
	return 0;
}

/* Applies the first one that is missing; so each has a transaction, and what is missing is read in it. */
static int work_apply_next(struct db *tx, void *arg, struct err *e)
{
	struct progress *p = arg;

	if (db_exec(tx, sql_table_make, e) < 0 || read_applied(tx, p, e) != 0)
		return -1;
	for (size_t i = 0; i < p->set->n; i++)
		if (p->applied_ms[i] == 0) {
			p->count++;
			return apply_one(tx, &p->set->rows[i], e);
		}
	return 0;
}

int migrate_apply(struct store *s, const struct migration_set *set, unsigned *applied, struct err *e)
{
	struct progress p = { .set = set };
	unsigned before;

	do {
		before = p.count;
		if (store_write(s, STORE_OPERATIONAL, work_apply_next, &p, e) != 0)
			return -1;
	} while (p.count > before);
	if (applied != NULL)
		*applied = p.count;
	return 0;
}

static int work_ensure_log(struct db *tx, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	(void)arg;
	if (db_query(tx, &q, sql_has_log_id, e) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc == 0 ? changes_new_log(tx, e) : rc == 1 ? 0 : -1;
}

int migrate_main(struct store *s, unsigned *applied, struct err *e)
{
	if (migrate_apply(s, &migrations_main, applied, e) != 0)
		return -1;
	return store_write(s, STORE_OPERATIONAL, work_ensure_log, NULL, e);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static int work_list(struct db *tx, void *arg, struct err *e)
{
	if (db_exec(tx, sql_table_make, e) < 0)
		return -1;
	return read_applied(tx, arg, e);
}

int migrate_list(struct store *s, const struct migration_set *set, migrate_list_fn fn, void *arg, struct err *e)
{
	struct progress p = { .set = set };

	if (store_write(s, STORE_OPERATIONAL, work_list, &p, e) != 0)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		fn(&set->rows[i], p.applied_ms[i], arg);
	return 0;
}
