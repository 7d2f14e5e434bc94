#include "controld/store/db.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/store/driver_watch.h"

#include <stdlib.h>
#include <string.h>

/* SQL is constant, so a connection never comes near this; text that is made up at run time must not fill memory. */
#define DB_STATEMENTS_MAX 1024

/* A prepared statement and, while it is in `running`, the query on it. */
struct query {
	struct list link;
	struct db *db;
	char *sql;
	struct driver_stmt *stmt;
	bool cached; /* false: the cached one was busy (a query inside a query of the same text) */
};

int db_new(struct db **out, struct store *s, const struct driver *d, const char *target, const struct driver_conf *conf,
	struct err *e)
{
	struct db *db = calloc(1, sizeof *db);

	if (db == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database connection: out of memory");
	db->driver = d;
	db->store = s;
	map_init(&db->statements);
	list_init(&db->running);
	if (d->open(&db->conn, target, conf, e) != 0)
		goto fail;
	*out = db;
	return 0;
fail:
	db_free(db);
	return -1;
}

static void query_free(struct query *q)
{
	q->db->driver->finalize(q->stmt);
	free(q->sql);
	free(q);
}

/* Ends every query that is still open. */
static void db_settle(struct db *db)
{
	LIST_FOREACH_SAFE (it, &db->running) {
		struct query *q = CONTAINER_OF(it, struct query, link);

		log_error("store_query_left_open", log_s("sql", q->sql));
		query_end(q);
	}
}

void db_free(struct db *db)
{
	struct query *q;
	size_t it = 0;

	if (db == NULL)
		return;
	db_settle(db);
	while ((q = map_next(&db->statements, &it)) != NULL)
		query_free(q);
	map_free(&db->statements);
	db->driver->close(db->conn);
	free(db);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static int query_new(struct query **out, struct db *db, const char *sql, bool scan, struct err *e)
{
	struct query *q = calloc(1, sizeof *q);

	if (q == NULL)
		return err_set(e, ERR_NOMEM, NULL, "statement: out of memory");
	list_init(&q->link);
	q->db = db;
	if ((q->sql = strdup(sql)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "statement: out of memory");
		goto fail;
	}
	if ((scan ? db->driver->scan : db->driver->prepare)(db->conn, &q->stmt, sql, e) != 0)
		goto fail;
	*out = q;
	return 0;
fail:
	query_free(q);
	return -1;
}

/*
 * The one of this text that is kept, or NULL. Looking it up reads all of a long text; most come from the same place as
 * before, which is no proof, but comparing is quick.
 */
static struct query *query_kept(struct db *db, const char *sql)
{
	struct query **recent = &db->recent[(uintptr_t)sql / 16 % ARRAY_LEN(db->recent)];

	if (*recent == NULL || strcmp((*recent)->sql, sql) != 0)
		*recent = map_get_str(&db->statements, sql);
	return *recent;
}

/* The statement of this text, free to be run: the cached one, or one for this time only when that is busy. */
static int query_of(struct query **out, struct db *db, const char *sql, struct err *e)
{
	struct query *q = query_kept(db, sql);
	bool first = q == NULL && map_count(&db->statements) < DB_STATEMENTS_MAX;

	if (q == NULL || !list_empty(&q->link)) {
		if (query_new(&q, db, sql, false, e) != 0)
			return -1;
		q->cached = first && map_put_str(&db->statements, q->sql, q, NULL) == 0;
	}
	*out = q;
	return 0;
}

int db_query_v(struct db *db, struct query **out, const char *sql, struct err *e, const struct bind *b, size_t n)
{
	struct query *q;

	*out = NULL;
	if (query_of(&q, db, sql, e) != 0)
		return -1;
	list_push_back(&db->running, &q->link);
	if (db->driver->start(q->stmt, b, n, e) != 0) {
		query_end(q);
		return -1;
	}
	*out = q;
	return 0;
}

int db_exec_v(struct db *db, const char *sql, struct err *e, const struct bind *b, size_t n)
{
	struct query *q;
	int rc;

	if (db_query_v(db, &q, sql, e, b, n) != 0)
		return -1;
	while ((rc = db->driver->step(q->stmt, e)) == 1)
		;
	if (rc == 0)
		rc = (int)db->driver->changed(q->stmt);
	query_end(q);
	return rc;
}

int db_post_v(struct db *db, const char *sql, struct err *e, const struct bind *b, size_t n)
{
	struct query *q;
	int rc;

	if (query_of(&q, db, sql, e) != 0)
		return -1;
	list_push_back(&db->running, &q->link);
	rc = db->driver->post(q->stmt, b, n, e);
	query_end(q);
	return rc;
}

/* ---- one statement many times ------------------------------------------------------------------------------------ */

struct each {
	const struct db_each *all;
	struct query *q;
};

static int on_answer(void *arg, size_t i, struct err *e)
{
	const struct each *each = arg;
	int rc;

	while ((rc = query_next(each->q, e)) == 1)
		if (each->all->row(each->all->arg, i, each->q, e) != 0)
			return -1;
	return rc;
}

/* Where a statement costs no round trip. */
static int each_alone(struct each *each, struct err *e)
{
	const struct driver *d = each->q->db->driver;
	const struct db_each *all = each->all;
	int rc = 0;

	for (size_t i = 0; i < all->n && rc == 0; i++) {
		rc = d->start(each->q->stmt, all->values + i * all->width, all->width, e);
		if (rc == 0)
			rc = on_answer(each, i, e);
		d->reset(each->q->stmt);
	}
	return rc;
}

int db_each(struct db *db, const struct db_each *all, struct err *e)
{
	struct each each = { .all = all };
	int rc;

	if (all->n == 0)
		return 0;
	if (query_of(&each.q, db, all->sql, e) != 0)
		return -1;
	list_push_back(&db->running, &each.q->link);
	rc = db->driver->each != NULL ? db->driver->each(each.q->stmt, all, on_answer, &each, e) : each_alone(&each, e);
	query_end(each.q);
	return rc;
}

int db_scan(struct db *db, struct query **out, const char *sql, struct err *e)
{
	struct query *q;

	*out = NULL;
	if (query_new(&q, db, sql, true, e) != 0)
		return -1;
	list_push_back(&db->running, &q->link);
	if (db->driver->start(q->stmt, NULL, 0, e) != 0) {
		query_end(q);
		return -1;
	}
	*out = q;
	return 0;
}

int db_prepare_only(struct db *db, const char *sql, struct err *e)
{
	struct query *q;

	if (query_new(&q, db, sql, false, e) != 0)
		return -1;
	query_free(q);
	return 0;
}

int query_next(struct query *q, struct err *e)
{
	return q->db->driver->step(q->stmt, e);
}

void query_end(struct query *q)
{
	if (q == NULL)
		return;
	list_remove(&q->link);
	if (q->cached)
		q->db->driver->reset(q->stmt);
	else
		query_free(q);
}

const char *query_text(struct query *q, int col)
{
	return q->db->driver->text(q->stmt, col);
}

int64_t query_int(struct query *q, int col)
{
	int64_t v;

	q->db->driver->integers(q->stmt, col, 1, &v);
	return v;
}

void query_ints(struct query *q, int col, size_t n, int64_t *out)
{
	q->db->driver->integers(q->stmt, col, n, out);
}

double query_real(struct query *q, int col)
{
	return q->db->driver->real(q->stmt, col);
}

const void *query_blob(struct query *q, int col, size_t *n)
{
	return q->db->driver->blob(q->stmt, col, n);
}

bool query_is_null(struct query *q, int col)
{
	return q->db->driver->is_null(q->stmt, col);
}

int query_columns(struct query *q)
{
	return q->db->driver->columns(q->stmt);
}

const char *query_column(struct query *q, int col)
{
	return q->db->driver->column(q->stmt, col);
}

struct bind query_value(struct query *q, int col)
{
	return q->db->driver->value(q->stmt, col);
}

int db_has_table(struct db *db, const char *name, struct err *e)
{
	return db->driver->has_table(db->conn, name, e);
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

int db_begin(struct db *db, enum driver_tx kind, struct err *e)
{
	db_rollback(db); /* of a transaction that could not be ended when it should have, for want of memory */
	db->last_seq = 0;
	db->kinds[0] = '\0';
	db->kinds_cut = false;
	return db->driver->begin(db->conn, kind, e);
}

void db_note_kind(struct db *db, const char *kind)
{
	size_t n = strlen(db->kinds);
	const char *at = strstr(db->kinds, kind);

	/* a kind within another one is told as well: hearing of too many costs a look, of too few a mistake */
	if (db->kinds_cut ||
		(at != NULL && (at == db->kinds || at[-1] == ',') && strchr(",", at[strlen(kind)]) != NULL))
		return;
	if (str_fmt(db->kinds + n, sizeof db->kinds - n, "%s%s", n > 0 ? "," : "", kind) != 0)
		db->kinds_cut = true;
}

/* "<origin> <seq> <kinds>": goes out with the commit, or not at all. */
static int announce(struct db *db, struct err *e)
{
	const struct driver_watch *watch = db->driver->watch;
	char text[DB_KINDS_SIZE + 128];

	if (watch == NULL || db->last_seq == 0)
		return 0;
	(void)str_fmt(text, sizeof text, "%s %lld%s%s", store_origin(db->store), (long long)db->last_seq,
		db->kinds_cut ? "" : " ", db->kinds_cut ? "" : db->kinds);
	return watch->announce(db->conn, WATCH_CHANGES, text, e);
}

int db_commit(struct db *db, struct err *e)
{
	db_settle(db);
	if (announce(db, e) != 0)
		return -1;
	return db->driver->commit(db->conn, e);
}

void db_rollback(struct db *db)
{
	db_settle(db);
	if (db_in_transaction(db) && db->driver->rollback(db->conn) != 0)
		log_error("store_rollback_failed");
}

int db_part_begin(struct db *db, bool logged, struct err *e)
{
	db->logged = logged;
	db->tx_seq = 0;
	return db->driver->part(db->conn, DRIVER_PART_BEGIN, e);
}

int db_part_keep(struct db *db, bool sure, struct err *e)
{
	db_settle(db);
	db->logged = false;
	return db->driver->part(db->conn, sure ? DRIVER_PART_SURE : DRIVER_PART_KEEP, e);
}

int db_part_undo(struct db *db, struct err *e)
{
	db_settle(db);
	db->logged = false;
	return db->driver->part(db->conn, DRIVER_PART_UNDO, e);
}

bool db_in_transaction(const struct db *db)
{
	return db->driver->in_transaction(db->conn);
}

enum driver_again db_run_again(const struct db *db)
{
	return db->driver->run_again(db->conn);
}
