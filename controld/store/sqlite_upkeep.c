/* What is done to a whole SQLite file: lock, check, copy, replace, remove. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQLITE_COPY_PAGES 256 /* per step of a copy; between steps writers get their turn */

char *sqlite_temporary(struct err *e)
{
	char path[] = "/tmp/portway-store-XXXXXX";
	int fd = mkstemp(path);
	char *name;

	if (fd < 0) {
		err_set_sys(e, ERR_STORAGE, errno, "temporary database");
		return NULL;
	}
	close(fd);
	if ((name = strdup(path)) == NULL)
		err_set(e, ERR_NOMEM, NULL, "temporary database: out of memory");
	return name;
}

struct driver_lock {
	int fd; /* -1: none */
	char name[PATH_MAX];
};

/* 1 when it is held now, 0 when somebody else has it. */
static int lock_try(struct driver_lock *l, struct err *e)
{
	l->fd = open(l->name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return err_set_sys(e, ERR_STORAGE, errno, "lock of the database %s", l->name);
	if (flock(l->fd, LOCK_EX | LOCK_NB) == 0)
		return 1;
	close(l->fd);
	l->fd = -1;
	return 0;
}

/* Whoever had it before may have taken the file away after we opened it: then it keeps nobody out. */
static bool lock_counts(const struct driver_lock *l)
{
	struct stat held, named;

	return fstat(l->fd, &held) == 0 && stat(l->name, &named) == 0 && held.st_dev == named.st_dev &&
	       held.st_ino == named.st_ino;
}

/*
 * SQLite lets several programs write; a controld keeps things in memory that another one must not change below it, so
 * whoever serves from a file has it alone, too.
 */
int sqlite_lock(struct driver_lock **out, const char *path, bool alone, struct err *e)
{
	struct driver_lock *l = calloc(1, sizeof *l);
	int rc;

	(void)alone;
	if (l == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database %s: out of memory", path);
	l->fd = -1;
	if (str_fmt(l->name, sizeof l->name, "%s.lock", path) != 0) {
		err_set(e, ERR_VALIDATION, NULL, "database %s: name too long", path);
		goto fail;
	}
	while ((rc = lock_try(l, e)) == 1 && !lock_counts(l))
		close(l->fd);
	if (rc == 0)
		err_set(e, ERR_LOCKED, NULL, "database %s: a controld is running on it", path);
	if (rc != 1)
		goto fail;
	*out = l;
	return 0;
fail:
	free(l);
	return -1;
}

void sqlite_unlock(struct driver_lock *l)
{
	if (l == NULL)
		return;
	(void)unlink(l->name); /* while it is held: nobody else's */
	close(l->fd);
	free(l);
}

int sqlite_check(struct driver_conn *c, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int rc;

	if (sqlite3_prepare_v2(c->handle, "PRAGMA integrity_check(1)", -1, &s, NULL) != SQLITE_OK)
		return sqlite_fail(e, c);
	rc = sqlite3_step(s);
	if (rc != SQLITE_ROW)
		sqlite_fail(e, c);
	else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
		rc = err_set(e, ERR_STORAGE, NULL, "database %s is damaged: %s", c->path,
			(const char *)sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : -1;
}

static int sqlite_copy_steps(sqlite3_backup *b, struct driver_conn *to, driver_progress_fn fn, void *arg, struct err *e)
{
	int rc;

	do {
		rc = sqlite3_backup_step(b, SQLITE_COPY_PAGES);
		if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
			return sqlite_err_of(e, to, rc);
		if (fn != NULL) {
			int total = sqlite3_backup_pagecount(b);

			if (fn((uint64_t)(total - sqlite3_backup_remaining(b)), (uint64_t)total, arg) != 0)
				return err_set(e, ERR_CONFLICT, NULL, "copy of the database: stopped");
		}
		if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
			sqlite3_sleep(10);
	} while (rc != SQLITE_DONE);
	return 0;
}

/* A copy is one plain file: it leaves WAL mode, so that it can be carried away alone, and is on disk when this ends. */
int sqlite_copy(struct driver_conn *from, const char *path, driver_progress_fn fn, void *arg, struct err *e)
{
	struct driver_conn *to = NULL;
	sqlite3_backup *b;
	int rc = -1;

	if (sqlite_make_file(path, e) != 0 || sqlite_connect(&to, path, SQLITE_OPEN_READWRITE, e) != 0)
		return -1;
	b = sqlite3_backup_init(to->handle, "main", from->handle, "main");
	if (b == NULL)
		sqlite_fail(e, to);
	else
		rc = sqlite_copy_steps(b, to, fn, arg, e);
	sqlite3_backup_finish(b);
	if (rc == 0)
		rc = sqlite_script(to, "PRAGMA journal_mode = DELETE", e);
	sqlite_close(to);
	return rc;
}

static int sqlite_remove_one(const char *path, const char *suffix, struct err *e)
{
	char name[PATH_MAX];

	if (str_fmt(name, sizeof name, "%s%s", path, suffix) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "database %s: name too long", path);
	if (unlink(name) != 0 && errno != ENOENT)
		return err_set_sys(e, ERR_STORAGE, errno, "remove %s", name);
	return 0;
}

/* The log goes first: without its file it would be replayed into whatever has that name next. */
int sqlite_remove(const char *path, struct err *e)
{
	if (sqlite_remove_one(path, "-wal", e) != 0 || sqlite_remove_one(path, "-shm", e) != 0)
		return -1;
	return sqlite_remove_one(path, "", e);
}

/* An operator restores as root; the service, which is somebody else, must still be able to open its database. */
static int sqlite_keep_owner(const char *path, const char *by, struct err *e)
{
	struct stat st;

	if (geteuid() != 0 || stat(path, &st) != 0)
		return 0; /* without the right to, or nothing to keep */
	if (chown(by, st.st_uid, st.st_gid) != 0)
		return err_set_sys(e, ERR_STORAGE, errno, "owner of %s", by);
	return 0;
}

int sqlite_replace(const char *path, const char *by, struct err *e)
{
	if (sqlite_remove_one(path, "-wal", e) != 0 || sqlite_remove_one(path, "-shm", e) != 0 ||
		sqlite_keep_owner(path, by, e) != 0)
		return -1;
	if (rename(by, path) != 0)
		return err_set_sys(e, ERR_STORAGE, errno, "rename %s to %s", by, path);
	return 0;
}
