/* The SQLite driver: WAL, so that readers never wait for the writer; every connection hardened the same way. */
#include "controld/store/sqlite.h"
#include "controld/store/driver_search.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQLITE_BUSY_MS       5000
#define SQLITE_WAL_PAGES     1000 /* of 4 KiB: from here on the log is copied to the database */
#define SQLITE_WAL_PAGES_MAX 4000
#define SQLITE_WAL_WAIT_MS   250

/* What a transaction begins and ends with, prepared once per connection like any other statement. */
static const char *const sqlite_verbs[VERBS] = {
	[VERB_BEGIN] = "BEGIN",
	/* A writer that begins as a reader could fail when it first writes; IMMEDIATE takes its place at once. */
	[VERB_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[VERB_COMMIT] = "COMMIT",
	[VERB_ROLLBACK] = "ROLLBACK",
	[VERB_PART] = "SAVEPOINT part",
	[VERB_KEEP] = "RELEASE SAVEPOINT part",
	[VERB_UNDO] = "ROLLBACK TO SAVEPOINT part",
};

static const char *sqlite_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* "UNIQUE constraint failed: users.tenant_id, users.email" -> "email": the column that made the difference. */
static const char *sqlite_unique_field(const char *msg)
{
	const char *dot = strrchr(msg, '.');

	return dot != NULL ? dot + 1 : NULL;
}

static int sqlite_constraint(struct err *e, int code, const char *msg)
{
	switch (code) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return err_set(e, ERR_ALREADY_EXISTS, sqlite_unique_field(msg), "database: %s", msg);
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return err_set(e, ERR_CONFLICT, NULL, "database: other rows refer to this one, or it refers to none");
	default:
		return err_set(e, ERR_INTERNAL, NULL, "database: %s", msg);
	}
}

/* A file that cannot grow says so in different ways: no blocks, no quota, a limit on file size. */
static bool sqlite_is_full(int code, int errnum)
{
	if ((code & 0xff) == SQLITE_FULL)
		return true;
	return (code & 0xff) == SQLITE_IOERR && (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG);
}

/* What the system said; an error at COMMIT is only noted in the log file that could not be written. */
static int sqlite_errno(sqlite3 *handle)
{
	int errnum = sqlite3_system_errno(handle);
	sqlite3_file *log = NULL;

	if (errnum == 0 && sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
		log != NULL && log->pMethods != NULL)
		log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &errnum);
	return errnum;
}

int sqlite_err_of(struct err *e, const struct driver_conn *c, int code)
{
	const char *msg = c->handle != NULL ? sqlite3_errmsg(c->handle) : sqlite3_errstr(code);
	int errnum = (code & 0xff) != SQLITE_CONSTRAINT && c->handle != NULL ? sqlite_errno(c->handle) : 0;

	if (sqlite_is_full(code, errnum))
		return err_set(e, ERR_DISK_FULL, NULL,
			"database %s: no room to write (%s); free some and it goes on by itself", c->shown,
			errnum ? strerror(errnum) : msg);
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return sqlite_constraint(e, code, msg);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_LOCKED, NULL, "database %s: locked by another program", c->shown);
	case SQLITE_NOMEM:
		return err_set(e, ERR_NOMEM, NULL, "database %s: out of memory", c->shown);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(e, ERR_STORAGE, NULL,
			"database %s is damaged (%s): stop controld and restore a copy with 'controld db restore FILE'",
			c->shown, msg);
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_IOERR:
	case SQLITE_PERM:
		return err_set(e, ERR_STORAGE, NULL, "database %s: %s%s%s", c->shown, msg, errnum ? ": " : "",
			errnum ? strerror(errnum) : "");
	default:
		return err_set(e, ERR_INTERNAL, NULL, "database: %s", msg);
	}
}

int sqlite_fail(struct err *e, const struct driver_conn *c)
{
	return sqlite_err_of(e, c, sqlite3_extended_errcode(c->handle));
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

int sqlite_script(struct driver_conn *c, const char *sql, struct err *e)
{
	return sqlite3_exec(c->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_fail(e, c);
}

static const struct {
	int option;
	int value;
} sqlite_options[] = {
	{ SQLITE_DBCONFIG_DEFENSIVE, 1 }, /* SQL cannot write to the file's own structures */
	{ SQLITE_DBCONFIG_DQS_DML, 0 },   /* "x" is a name, never a string */
	{ SQLITE_DBCONFIG_DQS_DDL, 0 },
	{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
	{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 }, /* a crafted file runs no functions through views or triggers */
	{ SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
};

static int sqlite_harden(struct driver_conn *c, struct err *e)
{
	sqlite3_extended_result_codes(c->handle, 1);
	sqlite3_busy_timeout(c->handle, SQLITE_BUSY_MS);
	for (size_t i = 0; i < ARRAY_LEN(sqlite_options); i++)
		if (sqlite3_db_config(c->handle, sqlite_options[i].option, sqlite_options[i].value, NULL) != SQLITE_OK)
			return sqlite_fail(e, c);
	sqlite3_limit(c->handle, SQLITE_LIMIT_ATTACHED, 0);
	return 0;
}

/*
 * After each commit. What is in the log is copied to the database without waiting for anybody; but the log starts again
 * at its beginning only when no reader is inside of it, and where readers always overlap that never comes by itself.
 * So a long log is worth a short wait: new readers find all in the database, those inside must end. One that does not
 * is not waited for again until the log has grown by as much once more.
 */
static int on_wal(void *arg, sqlite3 *handle, const char *name, int pages)
{
	struct driver_conn *c = arg;

	if (pages < c->wal_limit) {
		if (pages >= SQLITE_WAL_PAGES)
			sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		return SQLITE_OK;
	}
	sqlite3_busy_timeout(handle, SQLITE_WAL_WAIT_MS);
	if (sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_RESTART, NULL, NULL) == SQLITE_OK)
		c->wal_limit = SQLITE_WAL_PAGES_MAX;
	else
		c->wal_limit = pages + SQLITE_WAL_PAGES_MAX;
	sqlite3_busy_timeout(handle, SQLITE_BUSY_MS);
	return SQLITE_OK; /* the commit itself is on disk, whatever became of the log */
}

/* cell_size_check finds a damaged page when it is read. The log file is cut back to 64 MiB after a burst. */
static int sqlite_tune(struct driver_conn *c, const struct driver_conf *conf, struct err *e)
{
	if (sqlite_script(c, conf->plain ? "PRAGMA journal_mode = DELETE" : "PRAGMA journal_mode = WAL", e) != 0 ||
		sqlite_script(c, "PRAGMA temp_store = MEMORY", e) != 0 ||
		sqlite_script(c, "PRAGMA cell_size_check = ON", e) != 0 ||
		sqlite_script(c, "PRAGMA journal_size_limit = 67108864", e) != 0 ||
		sqlite_script(c, conf->relaxed ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", e) != 0 ||
		sqlite_script(c, conf->writer ? "PRAGMA cache_size = -16384" : "PRAGMA cache_size = -2048", e) != 0)
		return -1;
	if (!conf->writer)
		return sqlite_script(c, "PRAGMA query_only = ON", e);
	c->wal_limit = SQLITE_WAL_PAGES_MAX;
	sqlite3_wal_hook(c->handle, on_wal, c);
	return 0;
}

/*
 * SQLite would make the file with the umask's mode; its log and index files follow the mode of the file itself. One that is
 * there is never opened here: to close it takes away all locks that this process has on it (fcntl(2)), and another program
 * that ends its work on it then takes itself for the last one and deletes the log.
 */
int sqlite_make_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat st;

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return err_set_sys(e, errno == ENOSPC ? ERR_DISK_FULL : ERR_STORAGE, errno, "database %s", path);
	if (stat(path, &st) != 0 || faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0)
		return err_set_sys(e, ERR_STORAGE, errno, "database %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_STORAGE, NULL, "database %s: it is no file", path);
	if ((st.st_mode & 077) != 0)
		return err_set(e, ERR_PERMISSION, NULL,
			"database %s: mode %03o lets others read it; it must be 600 (chmod 600 %s)", path,
			(unsigned)st.st_mode & 0777, path);
	return 0;
}

void sqlite_close(struct driver_conn *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < VERBS; i++)
		sqlite3_finalize(c->verb[i]);
	if (c->handle != NULL && sqlite3_close(c->handle) != SQLITE_OK)
		log_error("store_close_failed", log_s("reason", sqlite3_errmsg(c->handle)));
	free(c->path);
	free(c);
}

/* SQLite would count every byte that it takes and gives back, under a lock of the whole process; nobody reads that. */
static void sqlite_uncounted(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int sqlite_connect(struct driver_conn **out, const char *path, int flags, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct driver_conn *c = calloc(1, sizeof *c);
	int rc;

	(void)pthread_once(&once, sqlite_uncounted);
	if (c == NULL || (c->path = strdup(path)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "database %s: out of memory", path);
		goto fail;
	}
	c->shown = c->path;
	/* One thread at a time uses a connection, so SQLite's own lock around each call is not needed. */
	rc = sqlite3_open_v2(path, &c->handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK) {
		sqlite_err_of(e, c, rc);
		goto fail;
	}
	if (sqlite_harden(c, e) != 0)
		goto fail;
	*out = c;
	return 0;
fail:
	sqlite_close(c);
	return -1;
}

static int sqlite_open(struct driver_conn **out, const char *path, const struct driver_conf *conf, struct err *e)
{
	struct driver_conn *c = NULL;

	if ((conf->existing || conf->foreign) && access(path, F_OK) != 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "database %s: there is none", path);
	if (conf->foreign)
		return sqlite_connect(out, path, SQLITE_OPEN_READONLY, e);
	if (sqlite_make_file(path, e) != 0 || sqlite_connect(&c, path, SQLITE_OPEN_READWRITE, e) != 0)
		return -1;
	if (sqlite_tune(c, conf, e) != 0) {
		sqlite_close(c);
		return -1;
	}
	c->shown = sqlite_base_name(c->path);
	*out = c;
	return 0;
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

static int sqlite_say(struct driver_conn *c, enum sqlite_verb verb, struct err *e)
{
	sqlite3_stmt **s = &c->verb[verb];
	int rc;

	if (*s == NULL &&
		sqlite3_prepare_v3(c->handle, sqlite_verbs[verb], -1, SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK)
		return sqlite_fail(e, c);
	rc = sqlite3_step(*s) == SQLITE_DONE ? 0 : sqlite_fail(e, c);
	sqlite3_reset(*s);
	return rc;
}

static int sqlite_begin(struct driver_conn *c, enum driver_tx kind, struct err *e)
{
	return sqlite_say(c, kind == DRIVER_TX_READ ? VERB_BEGIN : VERB_BEGIN_WRITE, e);
}

static int sqlite_commit(struct driver_conn *c, struct err *e)
{
	return sqlite_say(c, VERB_COMMIT, e);
}

static int sqlite_rollback(struct driver_conn *c)
{
	return sqlite_say(c, VERB_ROLLBACK, NULL);
}

static int sqlite_part(struct driver_conn *c, enum driver_part what, struct err *e)
{
	if (what == DRIVER_PART_BEGIN)
		return sqlite_say(c, VERB_PART, e);
	if (what == DRIVER_PART_UNDO && sqlite_say(c, VERB_UNDO, e) != 0)
		return -1;
	return sqlite_say(c, VERB_KEEP, e);
}

static bool sqlite_in_transaction(struct driver_conn *c)
{
	return sqlite3_get_autocommit(c->handle) == 0;
}

/* There is one writer, and nothing that it could meet. */
static enum driver_again sqlite_run_again(struct driver_conn *c)
{
	(void)c;
	return DRIVER_AGAIN_NOT;
}

/* ---- statements: a driver_stmt is an sqlite3_stmt ---------------------------------------------------------------- */

static sqlite3_stmt *sqlite_stmt(struct driver_stmt *s)
{
	return (sqlite3_stmt *)(void *)s;
}

static int sqlite_stmt_fail(struct err *e, sqlite3_stmt *s)
{
	sqlite3 *handle = sqlite3_db_handle(s);
	const char *path = sqlite3_db_filename(handle, "main");
	const struct driver_conn c = { .handle = handle, .shown = sqlite_base_name(path != NULL ? path : "") };

	return sqlite_fail(e, &c);
}

static int sqlite_prepare(struct driver_conn *c, struct driver_stmt **out, const char *sql, struct err *e)
{
	sqlite3_stmt *s = NULL;
	const char *rest = NULL;

	if (sqlite3_prepare_v3(c->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, &rest) != SQLITE_OK)
		return sqlite_fail(e, c);
	if (s == NULL || *rest != '\0') {
		sqlite3_finalize(s);
		return err_set(e, ERR_INTERNAL, NULL, "database: not one statement: %s", sql);
	}
	*out = (struct driver_stmt *)(void *)s;
	return 0;
}

static void sqlite_finalize(struct driver_stmt *s)
{
	sqlite3_finalize(sqlite_stmt(s));
}

/* Texts and blobs are copied: they outlive the caller's frame while the query runs. */
static int sqlite_bind_one(sqlite3_stmt *s, int at, const struct bind *b)
{
	switch (b->type) {
	case BIND_TEXT:
		return sqlite3_bind_text(s, at, b->s, -1, SQLITE_TRANSIENT);
	case BIND_INT:
		return sqlite3_bind_int64(s, at, b->i);
	case BIND_REAL:
		return sqlite3_bind_double(s, at, b->d);
	case BIND_BLOB:
		/* a NULL pointer would bind NULL; an empty blob is a value */
		return sqlite3_bind_blob64(s, at, b->blob.p != NULL ? b->blob.p : "", b->blob.n, SQLITE_TRANSIENT);
	case BIND_NULL:
	default:
		return sqlite3_bind_null(s, at);
	}
}

static int sqlite_start(struct driver_stmt *stmt, const struct bind *b, size_t n, struct err *e)
{
	sqlite3_stmt *s = sqlite_stmt(stmt);
	int want = sqlite3_bind_parameter_count(s);

	if ((size_t)want != n)
		return err_set(e, ERR_INTERNAL, NULL, "database: statement wants %d values and got %zu: %s", want, n,
			sqlite3_sql(s));
	for (size_t i = 0; i < n; i++)
		if (sqlite_bind_one(s, (int)i + 1, &b[i]) != SQLITE_OK)
			return sqlite_stmt_fail(e, s);
	return 0;
}

static int sqlite_step(struct driver_stmt *stmt, struct err *e)
{
	sqlite3_stmt *s = sqlite_stmt(stmt);

	switch (sqlite3_step(s)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return sqlite_stmt_fail(e, s);
	}
}

static int sqlite_post(struct driver_stmt *s, const struct bind *b, size_t n, struct err *e)
{
	int rc = sqlite_start(s, b, n, e);

	while (rc == 0 && (rc = sqlite_step(s, e)) == 1)
		rc = 0;
	return rc;
}

static void sqlite_reset(struct driver_stmt *s)
{
	sqlite3_reset(sqlite_stmt(s));
	sqlite3_clear_bindings(sqlite_stmt(s));
}

static int64_t sqlite_changed(struct driver_stmt *s)
{
	return sqlite3_changes64(sqlite3_db_handle(sqlite_stmt(s)));
}

static const char *sqlite_text(struct driver_stmt *s, int col)
{
	return (const char *)sqlite3_column_text(sqlite_stmt(s), col);
}

static int64_t sqlite_integer(struct driver_stmt *s, int col)
{
	return sqlite3_column_int64(sqlite_stmt(s), col);
}

static void sqlite_integers(struct driver_stmt *s, int col, size_t n, int64_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = sqlite3_column_int64(sqlite_stmt(s), col + (int)i);
}

static double sqlite_real(struct driver_stmt *s, int col)
{
	return sqlite3_column_double(sqlite_stmt(s), col);
}

static const void *sqlite_blob(struct driver_stmt *s, int col, size_t *n)
{
	const void *p = sqlite3_column_blob(sqlite_stmt(s), col);

	*n = (size_t)sqlite3_column_bytes(sqlite_stmt(s), col);
	return p;
}

static bool sqlite_is_null(struct driver_stmt *s, int col)
{
	return sqlite3_column_type(sqlite_stmt(s), col) == SQLITE_NULL;
}

static int sqlite_columns(struct driver_stmt *s)
{
	return sqlite3_column_count(sqlite_stmt(s));
}

static const char *sqlite_column(struct driver_stmt *s, int col)
{
	return sqlite3_column_name(sqlite_stmt(s), col);
}

static struct bind sqlite_value(struct driver_stmt *s, int col)
{
	size_t n;
	const void *p;

	switch (sqlite3_column_type(sqlite_stmt(s), col)) {
	case SQLITE_INTEGER:
		return bind_i(sqlite_integer(s, col));
	case SQLITE_FLOAT:
		return bind_d(sqlite_real(s, col));
	case SQLITE_TEXT:
		return bind_s(sqlite_text(s, col));
	case SQLITE_BLOB:
		p = sqlite_blob(s, col, &n);
		return bind_b(p, n);
	default:
		return bind_null();
	}
}

static int sqlite_has_table(struct driver_conn *c, const char *name, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(
		c->handle, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		sqlite_fail(e, c);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

/* ---- the driver -------------------------------------------------------------------------------------------------- */

/* "sqlite:PATH", also "sqlite://PATH" */
static const char *sqlite_target_of(const char *url)
{
	if (!str_starts(url, "sqlite:"))
		return NULL;
	url += strlen("sqlite:");
	return str_starts(url, "//") ? url + 2 : url;
}

const struct driver sqlite_driver = {
	.name = "sqlite",
	.search = &sqlite_search,
	.form = "sqlite:PATH",
	.target_of = sqlite_target_of,
	.temporary = sqlite_temporary,
	.open = sqlite_open,
	.close = sqlite_close,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.part = sqlite_part,
	.in_transaction = sqlite_in_transaction,
	.run_again = sqlite_run_again,
	.script = sqlite_script,
	.prepare = sqlite_prepare,
	.scan = sqlite_prepare,
	.finalize = sqlite_finalize,
	.start = sqlite_start,
	.post = sqlite_post,
	.step = sqlite_step,
	.reset = sqlite_reset,
	.changed = sqlite_changed,
	.text = sqlite_text,
	.integers = sqlite_integers,
	.real = sqlite_real,
	.blob = sqlite_blob,
	.is_null = sqlite_is_null,
	.columns = sqlite_columns,
	.column = sqlite_column,
	.value = sqlite_value,
	.has_table = sqlite_has_table,
	.lock = sqlite_lock,
	.unlock = sqlite_unlock,
	.check = sqlite_check,
	.copy = sqlite_copy,
	.replace = sqlite_replace,
	.remove = sqlite_remove,
};
