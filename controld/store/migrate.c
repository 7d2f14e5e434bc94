#include "controld/store/migrate.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"

#include <string.h>

#define MIGRATE_MAX 256 /* migrations of one database */
#define SCRIPT_MAX  (1 << 20)

static const char sql_table_make[] = "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, "
				     "name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
/* A table of its own, because the other one is older than the rule. */
static const char sql_compatible_make[] = "CREATE TABLE IF NOT EXISTS schema_compatible (number BIGINT PRIMARY KEY, "
					  "compatible BIGINT NOT NULL)";
static const char sql_applied[] = "SELECT m.number, m.name, m.checksum, m.applied_at, coalesce(c.compatible, 0) "
				  "FROM schema_migrations m LEFT JOIN schema_compatible c ON c.number = m.number "
				  "ORDER BY m.number";
static const char sql_note[] =
	"INSERT INTO schema_migrations(number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)";
static const char sql_note_compatible[] = "INSERT INTO schema_compatible(number, compatible) VALUES (?1, ?2)";
static const char sql_count[] = "SELECT count(*) FROM schema_migrations";
static const char sql_has_log_id[] = "SELECT 1 FROM meta WHERE key = 'log_id'";

static const char *const migrate_statements[] = { sql_table_make, sql_compatible_make, sql_applied, sql_note,
	sql_note_compatible, sql_count, sql_has_log_id };
const struct sql_table migrate_sql = { "migrate", migrate_statements, ARRAY_LEN(migrate_statements) };

/* What the database says, beside what this program has. */
struct progress {
	const struct migration_set *set;
	int64_t applied_ms[MIGRATE_MAX]; /* by index into the set */
	bool any;                        /* one was missing, and applied */
};

static const struct migration *find(const struct migration_set *set, int64_t number)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->rows[i].number == number)
			return &set->rows[i];
	return NULL;
}

/* One that a newer program applied. */
static int compare_newer(const struct progress *p, const char *name, int64_t compatible, struct err *e)
{
	int newest = p->set->n > 0 ? p->set->rows[p->set->n - 1].number : 0;

	if (compatible == 0)
		return err_set(e, ERR_CONFLICT, NULL,
			"database: migration %s was applied by a newer controld; start that one", name);
	if (compatible > newest)
		return err_set(e, ERR_CONFLICT, NULL,
			"database: migration %s was applied by a newer controld, and only those that know migration "
			"%lld go on "
			"with it; this one knows up to %d",
			name, (long long)compatible, newest);
	return 0;
}

/* One row of schema_migrations against the migration of that number. */
static int compare_row(struct progress *p, struct query *q, struct err *e)
{
	int64_t number = query_int(q, 0);
	const char *name = query_text(q, 1);
	const struct migration *m = find(p->set, number);

	if (m == NULL)
		return compare_newer(p, name, query_int(q, 4), e);
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

/*
 * What is for one kind of database stands behind a line "-- only NAME", until the next such line or "-- all". The whole is one
 * script, so that a failure names the migration and undoes all of it.
 */
static int run_script(struct db *tx, const char *sql, struct err *e)
{
	static const char only[] = "-- only ", all[] = "-- all\n";
	bool ours = true;
	struct buf script;
	int rc;

	buf_init(&script, SCRIPT_MAX);
	while (*sql != '\0') {
		const size_t line = strcspn(sql, "\n") + (strchr(sql, '\n') != NULL);
		const size_t name = strlen(tx->driver->name);

		if (str_starts(sql, only))
			ours = str_starts(sql + strlen(only), tx->driver->name) && sql[strlen(only) + name] == '\n';
		else if (str_starts(sql, all))
			ours = true;
		if (ours)
			buf_put(&script, sql, line);
		sql += line;
	}
	rc = script.failed ? err_set(e, ERR_NOMEM, NULL, "no room for the script")
	                   : tx->driver->script(tx->conn, buf_cstr(&script), e);
	buf_free(&script);
	return rc;
}

static int apply_one(struct db *tx, const struct migration *m, struct err *e)
{
	struct err why = { 0 };

	if (run_script(tx, m->sql, &why) != 0)
		return err_set(e, why.code, NULL, "migration %s: %s", m->name, why.msg);
	if (db_exec(tx, sql_note, e, bind_i(m->number), bind_s(m->name), bind_s(m->checksum), bind_i(clock_wall_ms())) <
		0)
		return -1;
	if (m->compatible > 0 && db_exec(tx, sql_note_compatible, e, bind_i(m->number), bind_i(m->compatible)) < 0)
		return -1;
	log_info("migration_applied", log_s("name", m->name));
	return 0;
}

static int make_tables(struct db *tx, struct err *e)
{
	return db_exec(tx, sql_table_make, e) < 0 || db_exec(tx, sql_compatible_make, e) < 0 ? -1 : 0;
}

/* Applies the first one that is missing; so each has a transaction, and what is missing is read in it. */
static int work_apply_next(struct db *tx, void *arg, struct err *e)
{
	struct progress *p = arg;

	p->any = false;
	if (make_tables(tx, e) != 0 || read_applied(tx, p, e) != 0)
		return -1;
	for (size_t i = 0; i < p->set->n; i++)
		if (p->applied_ms[i] == 0) {
			p->any = true;
			return apply_one(tx, &p->set->rows[i], e);
		}
	return 0;
}

/* Logged writes run one after the other over all controlds: the second finds nothing missing. */
int migrate_apply(struct store *s, const struct migration_set *set, unsigned *applied, struct err *e)
{
	struct progress p = { .set = set };
	unsigned count = 0;

	do {
		if (store_write(s, STORE_LOGGED, work_apply_next, &p, e) != 0)
			return -1;
		count += p.any;
	} while (p.any);
	if (applied != NULL)
		*applied = count;
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
	return store_write(s, STORE_LOGGED, work_ensure_log, NULL, e);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static int work_list(struct db *tx, void *arg, struct err *e)
{
	if (make_tables(tx, e) != 0)
		return -1;
	return read_applied(tx, arg, e);
}

int migrate_list(struct store *s, const struct migration_set *set, migrate_list_fn fn, void *arg, struct err *e)
{
	struct progress p = { .set = set };

	if (store_write(s, STORE_LOGGED, work_list, &p, e) != 0)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		fn(&set->rows[i], p.applied_ms[i], arg);
	return 0;
}

/* ---- whole databases --------------------------------------------------------------------------------------------- */

static int count_rows(struct db *db, int64_t *n, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_count, e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int migrate_read(struct db *db, const struct migration_set *set, bool *applied, struct err *e)
{
	struct progress p = { .set = set };
	int64_t rows, known = 0;

	if (read_applied(db, &p, e) != 0 || count_rows(db, &rows, e) != 0)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		known += applied[i] = p.applied_ms[i] != 0;
	if (known != rows)
		return err_set(e, ERR_CONFLICT, NULL, "database: a newer controld has changed it; use that one");
	return 0;
}

int migrate_make(struct db *tx, const struct migration_set *set, const bool *applied, struct err *e)
{
	if (db_exec(tx, sql_table_make, e) < 0 || db_exec(tx, sql_compatible_make, e) < 0)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		if (applied[i] && run_script(tx, set->rows[i].sql, e) != 0)
			return -1;
	return 0;
}

/* "CREATE TABLE [IF NOT EXISTS] name (": what tables are called is only said there. */
static int tables_of(const char *sql, migrate_table_fn fn, void *arg, struct err *e)
{
	static const char create[] = "CREATE TABLE ", unless[] = "IF NOT EXISTS ";
	char name[64];

	while ((sql = strstr(sql, create)) != NULL) {
		sql += strlen(create);
		if (str_starts(sql, unless))
			sql += strlen(unless);
		(void)str_fmt(name, sizeof name, "%.*s", (int)strcspn(sql, " (\n"), sql);
		if (fn(name, arg, e) != 0)
			return -1;
	}
	return 0;
}

int migrate_tables(const struct migration_set *set, migrate_table_fn fn, void *arg, struct err *e)
{
	if (tables_of(sql_table_make, fn, arg, e) != 0 || tables_of(sql_compatible_make, fn, arg, e) != 0)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		if (tables_of(set->rows[i].sql, fn, arg, e) != 0)
			return -1;
	return 0;
}
