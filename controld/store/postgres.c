/* The PostgreSQL driver: statements and their rows. postgres.h says how they travel. */
#include "controld/store/postgres.h"
#include "controld/store/driver_search.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSTGRES_BINDS_MAX 4096
#define POSTGRES_PORTION   "1000" /* rows of a scan at once */

/* The arguments of a statement, as libpq wants them. */
struct arguments {
	const char **value;
	int *length, *format;
	char (*number)[32];
};

/*
 * A result is held whole, or one portion of a scan: queries nest, and a connection carries one answer at a time. Values
 * travel as text, which PostgreSQL turns into whatever the column is; blobs are sent as they are, and come as hex.
 */
struct driver_stmt {
	struct driver_conn *conn;
	char *sql;
	char name[16];
	unsigned generation; /* of the connection that it was prepared on */
	bool scan;           /* sql declares a cursor of that name */
	size_t params;
	struct arguments args;
	PGresult *result; /* NULL: not started */
	int row;          /* 0: none stepped to; else its number, from 1 */
	struct buf blobs; /* of this row, decoded */
};

/* ---- statements -------------------------------------------------------------------------------------------------- */

static int usable(struct driver_conn *c, struct err *e)
{
	if (c->pg == NULL)
		return postgres_lost(c, NULL, e);
	if (c->failed)
		return err_set(e, ERR_INTERNAL, NULL, "database %s: a statement after one that failed", c->shown);
	return 0;
}

static int send_prepare(struct driver_stmt *s, struct err *e)
{
	struct driver_conn *c = s->conn;

	(void)str_fmt(s->name, sizeof s->name, "s%u", ++c->statements);
	return postgres_sent(c, PQsendPrepare(c->pg, s->name, s->sql, 0, NULL), DUE_POSTED, e);
}

static void postgres_finalize(struct driver_stmt *s)
{
	if (s == NULL)
		return;
	PQclear(s->result);
	buf_free(&s->blobs);
	free(s->args.value);
	free(s->args.length);
	free(s->args.format);
	free(s->args.number);
	free(s->sql);
	free(s);
}

static int arguments_make(struct arguments *a, size_t n, struct err *e)
{
	a->value = calloc(n + 1, sizeof *a->value);
	a->length = calloc(n + 1, sizeof *a->length);
	a->format = calloc(n + 1, sizeof *a->format);
	a->number = calloc(n + 1, sizeof *a->number);
	if (n > POSTGRES_BINDS_MAX || a->value == NULL || a->length == NULL || a->format == NULL || a->number == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database: no room for %zu values", n);
	return 0;
}

static bool is_blank(const char *sql)
{
	return sql[strspn(sql, " \t\n")] == '\0';
}

/* Half of a statement: its text and room for its values. */
static int stmt_new(struct driver_stmt **out, struct driver_conn *c, const char *sql, struct err *e)
{
	struct driver_stmt *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database: out of memory");
	s->conn = c;
	buf_init(&s->blobs, 1 << 30);
	if ((s->sql = postgres_sql(sql, false, &s->params, e)) == NULL || arguments_make(&s->args, s->params, e) != 0)
		goto fail;
	*out = s;
	return 0;
fail:
	postgres_finalize(s);
	return -1;
}

static int prepare_now(struct driver_stmt *s, struct err *e)
{
	if (send_prepare(s, e) != 0 || postgres_land(s->conn, NULL, postgres_limit(s->conn), e) != 0)
		return -1;
	s->generation = s->conn->generation;
	return 0;
}

static int postgres_prepare(struct driver_conn *c, struct driver_stmt **out, const char *sql, struct err *e)
{
	struct driver_stmt *s;
	int rc;

	if (is_blank(sql))
		return err_set(e, ERR_INTERNAL, NULL, "database: not one statement: %s", sql);
	if (usable(c, e) != 0 || stmt_new(&s, c, sql, e) != 0)
		return -1;
	while ((rc = prepare_now(s, e)) != 0 && postgres_revive(c, e))
		;
	if (rc == 0)
		*out = s;
	else
		postgres_finalize(s);
	return rc;
}

static int postgres_scan(struct driver_conn *c, struct driver_stmt **out, const char *sql, struct err *e)
{
	char cursor[16], text[1024];

	(void)str_fmt(cursor, sizeof cursor, "c%u", ++c->statements);
	if (str_fmt(text, sizeof text, "DECLARE %s NO SCROLL CURSOR FOR %s", cursor, sql) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "database: a scan of %zu bytes", strlen(sql));
	if (usable(c, e) != 0 || stmt_new(out, c, text, e) != 0)
		return -1;
	(*out)->scan = true;
	(void)str_copy((*out)->name, sizeof(*out)->name, cursor);
	return 0;
}

static void argument_set(const struct arguments *a, size_t i, const struct bind *b)
{
	a->value[i] = NULL;
	a->length[i] = a->format[i] = 0;
	switch (b->type) {
	case BIND_TEXT:
		a->value[i] = b->s;
		break;
	case BIND_INT:
		(void)str_fmt(a->number[i], sizeof a->number[i], "%" PRId64, b->i);
		a->value[i] = a->number[i];
		break;
	case BIND_REAL:
		(void)str_fmt(a->number[i], sizeof a->number[i], "%.17g", b->d);
		a->value[i] = a->number[i];
		break;
	case BIND_BLOB:
		a->value[i] = b->blob.p != NULL ? b->blob.p : ""; /* NULL would be NULL; an empty blob is a value */
		a->length[i] = (int)b->blob.n;
		a->format[i] = 1;
		break;
	case BIND_NULL:
	default:
		break;
	}
}

static int send_values(struct driver_stmt *s, enum postgres_due what, const struct bind *b, size_t n, struct err *e)
{
	struct driver_conn *c = s->conn;
	const struct arguments *a = &s->args;

	for (size_t i = 0; i < n; i++)
		argument_set(a, i, &b[i]);
	return postgres_sent(
		c, PQsendQueryPrepared(c->pg, s->name, (int)n, a->value, a->length, a->format, 0), what, e);
}

static int send_statement(struct driver_stmt *s, enum postgres_due what, const struct bind *b, size_t n, struct err *e)
{
	if (s->generation != s->conn->generation && send_prepare(s, e) != 0)
		return -1;
	return send_values(s, what, b, n, e);
}

static int fetch_portion(struct driver_stmt *s, struct err *e)
{
	struct driver_conn *c = s->conn;
	char fetch[64];

	PQclear(s->result);
	s->result = NULL;
	s->row = 0;
	(void)str_fmt(fetch, sizeof fetch, "FETCH " POSTGRES_PORTION " FROM %s", s->name);
	if (usable(c, e) != 0 ||
		postgres_sent(c, PQsendQueryParams(c->pg, fetch, 0, NULL, NULL, NULL, NULL, 0), DUE_WANTED, e) != 0)
		return -1;
	return postgres_land(c, &s->result, postgres_limit(c), e);
}

static int wrong_count(const struct driver_stmt *s, size_t n, struct err *e)
{
	return err_set(
		e, ERR_INTERNAL, NULL, "database: statement wants %zu values and got %zu: %s", s->params, n, s->sql);
}

static int postgres_post_stmt(struct driver_stmt *s, const struct bind *b, size_t n, struct err *e)
{
	struct driver_conn *c = s->conn;
	unsigned generation = c->generation;

	if (n != s->params)
		return wrong_count(s, n, e);
	if (usable(c, e) != 0 || postgres_room(c, e) != 0 || send_statement(s, DUE_POSTED, b, n, e) != 0)
		return -1;
	s->generation = generation;
	return 0;
}

static int start_now(struct driver_stmt *s, const struct bind *b, size_t n, struct err *e)
{
	struct driver_conn *c = s->conn;
	unsigned generation = c->generation;

	if (usable(c, e) != 0)
		return -1;
	if (s->scan)
		return postgres_post(c, s->sql, e) == 0 ? fetch_portion(s, e) : -1;
	if (send_statement(s, DUE_WANTED, b, n, e) != 0 || postgres_land(c, &s->result, postgres_limit(c), e) != 0)
		return -1;
	s->generation = generation;
	s->row = 0;
	return 0;
}

static int postgres_start(struct driver_stmt *s, const struct bind *b, size_t n, struct err *e)
{
	int rc;

	if (n != s->params)
		return wrong_count(s, n, e);
	while ((rc = start_now(s, b, n, e)) != 0 && postgres_revive(s->conn, e))
		;
	s->conn->anew = 0;
	return rc;
}

/* So many sets of values, from the first on, as fit one flight: that many, or -1. */
static int fly_each(struct driver_stmt *s, const struct db_each *all, size_t first, struct err *e)
{
	struct driver_conn *c = s->conn;
	unsigned generation = c->generation;
	size_t n;

	if (usable(c, e) != 0 || (c->n_due > POSTGRES_DUE_MAX / 2 && postgres_land(c, NULL, postgres_limit(c), e) != 0))
		return -1;
	if (s->generation != generation && send_prepare(s, e) != 0)
		return -1;
	n = MIN(all->n - first, POSTGRES_DUE_MAX - c->n_due - 5);
	for (size_t i = 0; i < n; i++)
		if (send_values(s, DUE_WANTED, all->values + (first + i) * all->width, all->width, e) != 0)
			return -1;
	if (postgres_land_all(c, postgres_limit(c), e) != 0)
		return -1;
	s->generation = generation;
	return (int)n;
}

static int postgres_each(
	struct driver_stmt *s, const struct db_each *all, driver_answer_fn fn, void *arg, struct err *e)
{
	struct driver_conn *c = s->conn;
	int n, rc = 0;

	if (all->width != s->params)
		return wrong_count(s, all->width, e);
	for (size_t at = 0; at < all->n && rc == 0; at += (size_t)n) {
		while ((n = fly_each(s, all, at, e)) < 0 && postgres_revive(c, e))
			;
		if (n < 0)
			return -1;
		c->anew = 0;
		for (int i = 0; i < n && rc == 0; i++) {
			PQclear(s->result);
			s->result = c->got[i];
			c->got[i] = NULL;
			s->row = 0;
			rc = fn(arg, at + (size_t)i, e);
		}
		postgres_forget(c);
	}
	return rc;
}

static int postgres_step(struct driver_stmt *s, struct err *e)
{
	buf_reset(&s->blobs);
	if (s->scan && s->result != NULL && s->row > 0 && s->row == PQntuples(s->result) && fetch_portion(s, e) != 0)
		return -1;
	if (s->result == NULL || s->row >= PQntuples(s->result))
		return 0;
	s->row++;
	return 1;
}

static void postgres_reset(struct driver_stmt *s)
{
	PQclear(s->result);
	s->result = NULL;
	s->row = 0;
}

static int64_t postgres_changed(struct driver_stmt *s)
{
	return s->result != NULL ? strtoll(PQcmdTuples(s->result), NULL, 10) : 0;
}

/* ---- values of a row --------------------------------------------------------------------------------------------- */

static bool postgres_is_null(struct driver_stmt *s, int col)
{
	return s->row == 0 || PQgetisnull(s->result, s->row - 1, col) == 1;
}

static const char *postgres_text(struct driver_stmt *s, int col)
{
	return postgres_is_null(s, col) ? NULL : PQgetvalue(s->result, s->row - 1, col);
}

static int64_t postgres_integer(struct driver_stmt *s, int col)
{
	const char *text = postgres_text(s, col);

	if (text == NULL)
		return 0;
	return *text == 't' ? 1 : strtoll(text, NULL, 10);
}

static void postgres_integers(struct driver_stmt *s, int col, size_t n, int64_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = postgres_integer(s, col + (int)i);
}

static double postgres_real(struct driver_stmt *s, int col)
{
	const char *text = postgres_text(s, col);

	return text != NULL ? strtod(text, NULL) : 0;
}

/* Room for all blobs of the row at once, so that one that was handed out does not move. */
static int reserve_blobs(struct driver_stmt *s)
{
	size_t n = 1;

	for (int i = 0; i < PQnfields(s->result); i++)
		n += (size_t)PQgetlength(s->result, s->row - 1, i) / 2 + 1;
	return s->blobs.len > 0 || buf_reserve(&s->blobs, n) != NULL ? 0 : -1;
}

/* "\x0badc0de"; a text is taken for its bytes. */
static const void *postgres_blob(struct driver_stmt *s, int col, size_t *n)
{
	const char *text = postgres_text(s, col);
	size_t size;
	uint8_t *dst;

	*n = 0;
	if (text == NULL)
		return NULL;
	size = (size_t)PQgetlength(s->result, s->row - 1, col);
	if (!str_starts(text, "\\x")) {
		*n = size;
		return text;
	}
	if (reserve_blobs(s) != 0 || (dst = buf_reserve(&s->blobs, size / 2)) == NULL ||
		str_unhex(dst, size / 2, text + 2) < 0)
		return NULL;
	*n = size / 2 - 1;
	s->blobs.len += *n + 1; /* no two share an address, and none is empty */
	return dst;
}

static int postgres_columns(struct driver_stmt *s)
{
	return s->result != NULL ? PQnfields(s->result) : 0;
}

static const char *postgres_column(struct driver_stmt *s, int col)
{
	return PQfname(s->result, col);
}

/* The types that migrations may use, by their numbers in pg_type. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23, OID_FLOAT8 = 701 };

static struct bind postgres_value(struct driver_stmt *s, int col)
{
	const void *p;
	size_t n;

	if (postgres_is_null(s, col))
		return bind_null();
	switch (PQftype(s->result, col)) {
	case OID_BYTEA:
		p = postgres_blob(s, col, &n);
		return bind_b(p, n);
	case OID_INT8:
	case OID_INT4:
		return bind_i(postgres_integer(s, col));
	case OID_FLOAT8:
		return bind_d(postgres_real(s, col));
	default:
		return bind_s(postgres_text(s, col));
	}
}

static int postgres_has_table(struct driver_conn *c, const char *name, struct err *e)
{
	const char *value[] = { name };
	PGresult *r = NULL;
	int rc;

	if (usable(c, e) != 0 ||
		postgres_sent(c,
			PQsendQueryParams(c->pg, "SELECT to_regclass($1) IS NOT NULL", 1, NULL, value, NULL, NULL, 0),
			DUE_WANTED, e) != 0 ||
		postgres_land(c, &r, postgres_limit(c), e) != 0)
		return -1;
	rc = *PQgetvalue(r, 0, 0) == 't';
	PQclear(r);
	return rc;
}

/* ---- the driver -------------------------------------------------------------------------------------------------- */

static const char *postgres_target_of(const char *url)
{
	return str_starts(url, "postgresql://") || str_starts(url, "postgres://") ? url : NULL;
}

const struct driver postgres_driver = {
	.name = "postgresql",
	.search = &postgres_search,
	.form = "postgresql://...",
	.target_of = postgres_target_of,
	.open = postgres_open,
	.close = postgres_close,
	.begin = postgres_begin,
	.commit = postgres_commit,
	.rollback = postgres_rollback,
	.part = postgres_part,
	.in_transaction = postgres_in_transaction,
	.run_again = postgres_run_again,
	.script = postgres_script,
	.prepare = postgres_prepare,
	.scan = postgres_scan,
	.finalize = postgres_finalize,
	.start = postgres_start,
	.post = postgres_post_stmt,
	.each = postgres_each,
	.step = postgres_step,
	.reset = postgres_reset,
	.changed = postgres_changed,
	.text = postgres_text,
	.integers = postgres_integers,
	.real = postgres_real,
	.blob = postgres_blob,
	.is_null = postgres_is_null,
	.columns = postgres_columns,
	.column = postgres_column,
	.value = postgres_value,
	.has_table = postgres_has_table,
	.watch = &postgres_watch,
	.lock = postgres_lock,
	.unlock = postgres_unlock,
};
