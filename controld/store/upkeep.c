#include "controld/store/upkeep.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"
#include "controld/store/migrate.h"
#include "controld/store/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct upkeep_lock {
	const struct driver *driver;
	struct driver_lock *held;
};

int upkeep_lock(struct upkeep_lock **out, const char *url, bool alone, struct err *e)
{
	const char *target;
	const struct driver *d = driver_of(url, &target, e);
	struct upkeep_lock *l;

	if (d == NULL)
		return -1;
	if ((l = calloc(1, sizeof *l)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database: out of memory");
	l->driver = d;
	if (d->lock(&l->held, target, alone, e) != 0) {
		free(l);
		return -1;
	}
	*out = l;
	return 0;
}

void upkeep_unlock(struct upkeep_lock *l)
{
	if (l == NULL)
		return;
	l->driver->unlock(l->held);
	free(l);
}

/* ---- erase ------------------------------------------------------------------------------------------------------- */

static int on_table_drop(const char *name, void *arg, struct err *e)
{
	char sql[96];

	(void)str_fmt(sql, sizeof sql, "DROP TABLE IF EXISTS \"%s\"", name);
	return db_exec(arg, sql, e) < 0 ? -1 : 0;
}

/* Tables of others that are in the same database stay. */
static int drop_tables(const struct driver *d, const char *target, bool samples, struct err *e)
{
	const struct driver_conf conf = { .writer = true, .alone = true, .samples = samples };
	struct db *db;
	int rc = -1;

	if (db_new(&db, NULL, d, target, &conf, e) != 0)
		return -1;
	if (db_begin(db, DRIVER_TX_LOGGED, e) == 0 &&
		migrate_tables(samples ? &migrations_samples : &migrations_main, on_table_drop, db, e) == 0)
		rc = db_commit(db, e);
	db_rollback(db);
	db_free(db);
	return rc;
}

int upkeep_erase(const char *url, bool samples, struct err *e)
{
	const char *target;
	const struct driver *d = driver_of(url, &target, e);

	if (d == NULL)
		return -1;
	return d->remove != NULL ? d->remove(target, e) : drop_tables(d, target, samples, e);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int name_of(char name[PATH_MAX], const char *file, const char *suffix, struct err *e)
{
	if (str_fmt(name, PATH_MAX, "%s%s", file, suffix) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "%s: name too long", file);
	return 0;
}

/* The copy at `to` is whole when this answers 0; else it is removed. */
static int copy_to(const struct driver *d, const char *from, const struct driver_conf *conf, const char *to,
	upkeep_progress_fn fn, void *arg, struct err *e)
{
	struct driver_conn *c = NULL;
	int rc;

	if (d->open(&c, from, conf, e) != 0)
		return -1;
	(void)d->remove(to, NULL);
	rc = d->copy(c, to, fn, arg, e);
	d->close(c);
	if (rc != 0)
		(void)d->remove(to, NULL);
	return rc;
}

/* ---- backup ------------------------------------------------------------------------------------------------------ */

static int sync_folder(const char *file, struct err *e)
{
	char path[PATH_MAX];
	int fd, rc;

	(void)str_copy(path, sizeof path, file);
	if ((fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_set_sys(e, ERR_IO, errno, "folder of %s", file);
	rc = fsync(fd) == 0 ? 0 : err_set_sys(e, ERR_IO, errno, "folder of %s", file);
	close(fd);
	return rc;
}

/* The same file from a database that is none: row by row. */
static int write_file(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	char to[PATH_MAX + 16];
	const struct transfer t = {
		.from = url, .to = to, .set = &migrations_main, .plain = true, .progress = fn, .arg = arg
	};

	(void)sqlite_driver.remove(file, NULL);
	if (str_fmt(to, sizeof to, "sqlite:%s", file) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "%s: name too long", file);
	if (transfer_run(&t, e) == 0)
		return 0;
	(void)sqlite_driver.remove(file, NULL);
	return -1;
}

int upkeep_backup(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	const struct driver_conf conf = { .existing = true };
	const char *target;
	const struct driver *d = driver_of(url, &target, e);
	char part[PATH_MAX];
	int rc;

	if (d == NULL || name_of(part, file, ".part", e) != 0)
		return -1;
	rc = d->copy != NULL ? copy_to(d, target, &conf, part, fn, arg, e) : write_file(url, part, fn, arg, e);
	if (rc != 0)
		return -1;
	if (rename(part, file) != 0) {
		err_set_sys(e, ERR_IO, errno, "rename %s to %s", part, file);
		(void)sqlite_driver.remove(part, NULL);
		return -1;
	}
	return sync_folder(file, e);
}

/* ---- restore ----------------------------------------------------------------------------------------------------- */

static bool is_sqlite(const char *file)
{
	static const char magic[] = "SQLite format 3";
	char head[sizeof magic] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	bool is =
		fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head && memcmp(head, magic, sizeof head) == 0;

	if (fd >= 0)
		close(fd);
	return is;
}

/* Whether it is a copy at all; what is wrong with one of ours is found by whoever reads it. */
static int check_kind(const char *file, struct err *e)
{
	const struct driver_conf conf = { .foreign = true };
	struct db *db = NULL;
	int rc;

	if (access(file, R_OK) != 0)
		return err_set_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", file);
	if (!is_sqlite(file))
		return err_set(e, ERR_VALIDATION, NULL, "%s is not a file that 'controld db backup' wrote", file);
	if (db_new(&db, NULL, &sqlite_driver, file, &conf, e) != 0)
		return -1;
	rc = db_has_table(db, "schema_migrations", e);
	db_free(db);
	return rc == 0 ? err_set(e, ERR_VALIDATION, NULL, "%s is a database, but none of controld's", file)
	               : MIN(rc, 0);
}

static int check_pages(const struct driver *d, const char *target, struct err *e)
{
	const struct driver_conf conf = { .foreign = true };
	struct driver_conn *c = NULL;
	int rc;

	if (d->open(&c, target, &conf, e) != 0)
		return -1;
	rc = d->check(c, e);
	d->close(c);
	return rc;
}

static void count_applied(const struct migration *m, int64_t applied_ms, void *arg)
{
	(void)m;
	*(unsigned *)arg += applied_ms != 0;
}

static int work_new_log(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return changes_new_log(tx, e);
}

/* Opens the copy as the database that it will be: does this program know it? Then it becomes another history. */
static int adopt(const char *target, struct err *e)
{
	char url[PATH_MAX + 32];
	struct store_conf conf = { .url = url, .readers = 1, .existing = true };
	struct store *s;
	unsigned applied = 0;
	int rc;

	if (str_fmt(url, sizeof url, "sqlite:%s", target) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "%s: name too long", target);
	if (store_open(&s, &conf, e) != 0)
		return -1;
	rc = migrate_list(s, &migrations_main, count_applied, &applied, e);
	if (rc == 0 && applied == 0)
		rc = err_set(e, ERR_VALIDATION, NULL, "the copy is a database, but none of controld's");
	if (rc == 0)
		rc = store_write(s, STORE_OPERATIONAL, work_new_log, NULL, e);
	store_close(s);
	return rc;
}

/* The file takes the database's place. */
static int restore_file(
	const struct driver *d, const char *target, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	const struct driver_conf conf = { .foreign = true };
	char fresh[PATH_MAX];

	if (name_of(fresh, target, ".restore", e) != 0)
		return -1;
	if (copy_to(d, file, &conf, fresh, fn, arg, e) != 0)
		return -1;
	if (check_pages(d, fresh, e) != 0 || adopt(fresh, e) != 0 || d->replace(target, fresh, e) != 0) {
		(void)d->remove(fresh, NULL);
		return -1;
	}
	return sync_folder(target, e);
}

/* The rows take the place of the database's own, in one transaction. */
static int restore_rows(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	char from[PATH_MAX + 16];
	const struct transfer t = { .from = from,
		.to = url,
		.set = &migrations_main,
		.foreign = true,
		.replace = true,
		.new_log = true,
		.progress = fn,
		.arg = arg };

	if (str_fmt(from, sizeof from, "sqlite:%s", file) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "%s: name too long", file);
	return check_pages(&sqlite_driver, file, e) == 0 ? transfer_run(&t, e) : -1;
}

int upkeep_restore(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	const char *target;
	const struct driver *d = driver_of(url, &target, e);

	if (d == NULL || check_kind(file, e) != 0)
		return -1;
	return d->replace != NULL ? restore_file(d, target, file, fn, arg, e) : restore_rows(url, file, fn, arg, e);
}

/* ---- copy -------------------------------------------------------------------------------------------------------- */

bool upkeep_same(const char *a, const char *b)
{
	const char *file_a, *file_b;
	struct stat of_a, of_b;

	if (str_eq(a, b))
		return true;
	if (driver_of(a, &file_a, NULL) != &sqlite_driver || driver_of(b, &file_b, NULL) != &sqlite_driver)
		return false;
	return stat(file_a, &of_a) == 0 && stat(file_b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
	       of_a.st_ino == of_b.st_ino;
}

/* Whoever is told of a copy's progress and tables. */
struct telling {
	const struct upkeep_copy *copy;
};

static int on_progress(uint64_t done, uint64_t total, void *arg)
{
	const struct upkeep_copy *c = ((struct telling *)arg)->copy;

	return c->progress != NULL ? c->progress(done, total, c->arg) : 0;
}

static void on_table(const char *name, const struct transfer_digest *d, void *arg)
{
	const struct upkeep_copy *c = ((struct telling *)arg)->copy;
	char hex[2 * sizeof d->sum + 1];

	str_hex(hex, d->sum, sizeof d->sum);
	if (c->table != NULL)
		c->table(name, d->rows, hex, c->arg);
}

/* The samples go first: where the main tables are there, everything is. */
int upkeep_copy(const struct upkeep_copy *c, struct err *e)
{
	struct telling telling = { c };
	struct transfer t = { .from = c->from_samples,
		.to = c->to_samples,
		.set = &migrations_samples,
		.samples = true,
		.replace = c->replace,
		.progress = on_progress,
		.table = on_table,
		.arg = &telling };

	if (transfer_run(&t, e) != 0 && (e == NULL || e->code != ERR_NOT_FOUND))
		return -1;
	err_clear(e);
	t.from = c->from;
	t.to = c->to;
	t.set = &migrations_main;
	t.samples = false;
	t.new_log = true;
	return transfer_run(&t, e);
}
