#include "controld/store/upkeep.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/driver.h"
#include "controld/store/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The driver of a database that is a file of its own. */
static const struct driver *file_driver_of(const char *url, const char **target, struct err *e)
{
	const struct driver *d = driver_of(url, target, e);

	if (d != NULL && d->copy == NULL) {
		err_set(e, ERR_VALIDATION, NULL, "this works on %s only", sqlite_driver.form);
		return NULL;
	}
	return d;
}

int upkeep_erase(const char *url, struct err *e)
{
	const char *target;
	const struct driver *d = file_driver_of(url, &target, e);

	return d != NULL ? d->remove(target, e) : -1;
}

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

int upkeep_backup(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	const struct driver_conf conf = { .existing = true };
	const char *target;
	const struct driver *d = file_driver_of(url, &target, e);
	char part[PATH_MAX];

	if (d == NULL || name_of(part, file, ".part", e) != 0)
		return -1;
	if (copy_to(d, target, &conf, part, fn, arg, e) != 0)
		return -1;
	if (rename(part, file) != 0) {
		err_set_sys(e, ERR_IO, errno, "rename %s to %s", part, file);
		(void)d->remove(part, NULL);
		return -1;
	}
	return sync_folder(file, e);
}

/* ---- restore ----------------------------------------------------------------------------------------------------- */

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

int upkeep_restore(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e)
{
	const struct driver_conf conf = { .foreign = true };
	const char *target;
	const struct driver *d = file_driver_of(url, &target, e);
	char fresh[PATH_MAX];

	if (d == NULL || name_of(fresh, target, ".restore", e) != 0)
		return -1;
	if (copy_to(d, file, &conf, fresh, fn, arg, e) != 0)
		return -1;
	if (check_pages(d, fresh, e) != 0 || adopt(fresh, e) != 0 || d->replace(target, fresh, e) != 0) {
		(void)d->remove(fresh, NULL);
		return -1;
	}
	return sync_folder(target, e);
}
