#include "controld/store/transfer.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"
#include "controld/store/migrate.h"
#include "controld/store/search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX  128
#define COLUMNS_MAX 64
#define VALUES_MAX  1024 /* of one INSERT, which takes as many rows as that is good for */
#define BATCH_BYTES (64 << 20)
#define SQL_SIZE    16384
#define TELL_ROWS   500 /* between two calls of progress */
/* For one statement of a large table; the snapshot of the source waits as long while a portion is written. */
#define TRANSFER_ANSWER_MS (10 * 60000)

struct table {
	char name[64];
	struct transfer_digest digest;
};

struct run {
	const struct transfer *conf;
	struct db *from, *to;
	struct table table[TABLES_MAX]; /* those that the source has */
	size_t n_tables;
	uint64_t done, total; /* rows, read once and compared once */
	bool applied[256];    /* of conf->set */
};

/* ---- rows and digests -------------------------------------------------------------------------------------------- */

/* Type, length and bytes of each value: the same whichever database it came from. */
static void put_value(struct buf *b, const struct bind *v)
{
	switch (v->type) {
	case BIND_TEXT:
		buf_u8(b, 't');
		buf_blob32(b, v->s, strlen(v->s));
		break;
	case BIND_INT:
		buf_u8(b, 'i');
		buf_u64(b, (uint64_t)v->i);
		break;
	case BIND_REAL:
		buf_u8(b, 'r');
		buf_put(b, &v->d, sizeof v->d);
		break;
	case BIND_BLOB:
		buf_u8(b, 'b');
		buf_blob32(b, v->blob.p, v->blob.n);
		break;
	case BIND_NULL:
	default:
		buf_u8(b, 'n');
		break;
	}
}

static void digest_add(struct transfer_digest *d, const uint8_t *hash)
{
	uint64_t carry = 0;

	d->rows++;
	for (size_t i = 0; i < ARRAY_LEN(d->sum); i++) {
		uint64_t word, with;

		memcpy(&word, hash + 8 * i, sizeof word);
		with = word + carry;
		carry = with < word;
		d->sum[i] += with;
		carry += d->sum[i] < with;
	}
}

/* The row that the query stands on; b is for its bytes. */
static int digest_row(struct transfer_digest *d, struct query *q, int columns, struct buf *b, struct err *e)
{
	uint8_t hash[SHA256_SIZE];

	buf_reset(b);
	for (int i = 0; i < columns; i++) {
		struct bind v = query_value(q, i);

		put_value(b, &v);
	}
	if (b->failed)
		return err_set(e, ERR_TOO_LARGE, NULL, "copy: a row of more than %d bytes", BATCH_BYTES);
	seal_sha256(b->data, b->len, hash);
	digest_add(d, hash);
	return 0;
}

static int tell(struct run *r, struct err *e)
{
	r->done++;
	if (r->conf->progress == NULL || (r->done % TELL_ROWS != 0 && r->done != r->total))
		return 0;
	if (r->conf->progress(MIN(r->done, r->total), r->total, r->conf->arg) != 0)
		return err_set(e, ERR_CONFLICT, NULL, "copy of the database: stopped");
	return 0;
}

/* ---- one table --------------------------------------------------------------------------------------------------- */

/* Rows on their way: copies of their values, and one INSERT for all of them. */
struct batch {
	struct run *run;
	const char *table;
	char columns[2048]; /* "\"id\", \"name\"" */
	int n_columns;
	size_t rows, rows_max;
	struct bind value[VALUES_MAX];
	struct buf data; /* what texts and blobs of value[] point into, once it is full: offsets before */
	struct buf row;
};

static int batch_columns(struct batch *b, struct query *q, struct err *e)
{
	size_t at = 0;

	b->n_columns = query_columns(q);
	if (b->n_columns > COLUMNS_MAX)
		return err_set(e, ERR_INTERNAL, NULL, "table %s: more than %d columns", b->table, COLUMNS_MAX);
	b->rows_max = b->n_columns > 0 ? VALUES_MAX / (size_t)b->n_columns : 0;
	for (int i = 0; i < b->n_columns; i++) {
		if (str_fmt(b->columns + at, sizeof b->columns - at, "%s\"%s\"", i ? ", " : "", query_column(q, i)) !=
			0)
			return err_set(e, ERR_INTERNAL, NULL, "table %s: long names of columns", b->table);
		at = strlen(b->columns);
	}
	return 0;
}

static void insert_text(const struct batch *b, char sql[SQL_SIZE])
{
	struct buf out;
	size_t n = 0;

	buf_init(&out, SQL_SIZE);
	buf_printf(&out, "INSERT INTO \"%s\" (%s) VALUES ", b->table, b->columns);
	for (size_t row = 0; row < b->rows; row++) {
		buf_printf(&out, row > 0 ? ", (" : "(");
		for (int i = 0; i < b->n_columns; i++)
			buf_printf(&out, i > 0 ? ", ?%zu" : "?%zu", ++n);
		buf_printf(&out, ")");
	}
	(void)str_copy(sql, SQL_SIZE, buf_cstr(&out));
	buf_free(&out);
}

/* Only now does the memory of the values stay where it is. */
static void batch_settle(struct batch *b)
{
	size_t at = 0;

	for (size_t i = 0; i < b->rows * (size_t)b->n_columns; i++) {
		struct bind *v = &b->value[i];

		if (v->type == BIND_TEXT) {
			v->s = (const char *)b->data.data + at;
			at += strlen(v->s) + 1;
		} else if (v->type == BIND_BLOB) {
			v->blob.p = b->data.data + at;
			at += v->blob.n;
		}
	}
}

static int batch_send(struct batch *b, struct err *e)
{
	char sql[SQL_SIZE];
	int n;

	if (b->rows == 0)
		return 0;
	batch_settle(b);
	insert_text(b, sql);
	n = db_exec_v(b->run->to, sql, e, b->value, b->rows * (size_t)b->n_columns);
	b->rows = 0;
	buf_reset(&b->data);
	return n < 0 ? -1 : 0;
}

static int batch_add(struct batch *b, struct query *q, struct err *e)
{
	for (int i = 0; i < b->n_columns; i++) {
		struct bind *v = &b->value[b->rows * (size_t)b->n_columns + (size_t)i];

		*v = query_value(q, i);
		if (v->type == BIND_TEXT)
			buf_put(&b->data, v->s, strlen(v->s) + 1);
		else if (v->type == BIND_BLOB)
			buf_put(&b->data, v->blob.p, v->blob.n);
	}
	if (b->data.failed)
		return err_set(e, ERR_NOMEM, NULL, "copy: no room for rows of %s", b->table);
	b->rows++;
	return b->rows == b->rows_max ? batch_send(b, e) : 0;
}

static int copy_rows(struct batch *b, struct query *q, struct transfer_digest *d, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1 && batch_columns(b, q, e) != 0)
		return -1;
	for (; rc == 1; rc = query_next(q, e))
		if (digest_row(d, q, b->n_columns, &b->row, e) != 0 || batch_add(b, q, e) != 0 || tell(b->run, e) != 0)
			return -1;
	return rc == 0 ? batch_send(b, e) : -1;
}

static int compare_rows(struct batch *b, const struct transfer_digest *want, struct err *e)
{
	struct transfer_digest got = { 0 };
	struct query *q;
	char sql[sizeof b->columns + 128];
	int rc;

	(void)str_fmt(sql, sizeof sql, "SELECT %s FROM \"%s\"", want->rows > 0 ? b->columns : "*", b->table);
	if (db_scan(b->run->to, &q, sql, e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && (rc = digest_row(&got, q, query_columns(q), &b->row, e)) == 0 &&
		(rc = tell(b->run, e)) == 0)
		;
	query_end(q);
	if (rc == 0 && (got.rows != want->rows || memcmp(got.sum, want->sum, sizeof got.sum) != 0))
		return err_set(e, ERR_STORAGE, NULL,
			"copy: table %s did not arrive as it was (%" PRIu64 " rows of %" PRIu64
			"); nothing was changed",
			b->table, got.rows, want->rows);
	return rc;
}

static int empty_table(struct run *r, const char *name, struct err *e)
{
	char sql[96];

	(void)str_fmt(sql, sizeof sql, "DELETE FROM \"%s\"", name); /* what a migration put there */
	return db_exec(r->to, sql, e) < 0 ? -1 : 0;
}

static int copy_table(struct run *r, struct table *t, struct err *e)
{
	struct batch *b = calloc(1, sizeof *b);
	struct query *q = NULL;
	char sql[96];
	int rc = -1;

	if (b == NULL)
		return err_set(e, ERR_NOMEM, NULL, "copy: out of memory");
	b->run = r;
	b->table = t->name;
	buf_init(&b->data, BATCH_BYTES);
	buf_init(&b->row, BATCH_BYTES);
	(void)str_fmt(sql, sizeof sql, "SELECT * FROM \"%s\"", t->name);
	if (empty_table(r, t->name, e) == 0 && db_scan(r->from, &q, sql, e) == 0)
		rc = copy_rows(b, q, &t->digest, e);
	query_end(q);
	if (rc == 0)
		rc = compare_rows(b, &t->digest, e);
	buf_free(&b->data);
	buf_free(&b->row);
	free(b);
	return rc;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int on_table_there(const char *name, void *arg, struct err *e)
{
	struct run *r = arg;
	int rc = db_has_table(r->from, name, e);
	struct query *q;
	char sql[96];

	if (rc <= 0)
		return rc;
	if (r->n_tables == TABLES_MAX)
		return err_set(e, ERR_INTERNAL, NULL, "copy: more than %d tables", TABLES_MAX);
	(void)str_copy(r->table[r->n_tables++].name, sizeof r->table[0].name, name);
	(void)str_fmt(sql, sizeof sql, "SELECT count(*) FROM \"%s\"", name);
	if (db_query(r->from, &q, sql, e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		r->total += 2 * (uint64_t)query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* What the source is: the tables it has, and the migrations that made them. */
static int survey(struct run *r, struct err *e)
{
	int rc = db_has_table(r->from, "schema_migrations", e);

	if (rc == 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "copy: there is nothing of controld's in the source");
	if (rc < 0 || r->conf->set->n > ARRAY_LEN(r->applied))
		return -1;
	if (migrate_read(r->from, r->conf->set, r->applied, e) != 0)
		return -1;
	return migrate_tables(r->conf->set, on_table_there, r, e);
}

static int on_table_drop(const char *name, void *arg, struct err *e)
{
	struct run *r = arg;
	char sql[96];

	(void)str_fmt(sql, sizeof sql, "DROP TABLE IF EXISTS \"%s\"", name);
	return db_exec(r->to, sql, e) < 0 ? -1 : 0;
}

static int make_room(struct run *r, struct err *e)
{
	int rc = db_has_table(r->to, "schema_migrations", e);

	if (rc == 0)
		return 0;
	if (rc == 1 && !r->conf->replace)
		return err_set(e, ERR_CONFLICT, NULL, "copy: the target is not empty; --replace erases what is there");
	return rc < 0 ? -1 : migrate_tables(r->conf->set, on_table_drop, r, e);
}

static int copy_all(struct run *r, struct err *e)
{
	if (survey(r, e) != 0 || make_room(r, e) != 0 || migrate_make(r->to, r->conf->set, r->applied, e) != 0)
		return -1;
	for (size_t i = 0; i < r->n_tables; i++) {
		if (copy_table(r, &r->table[i], e) != 0)
			return -1;
		if (r->conf->table != NULL)
			r->conf->table(r->table[i].name, &r->table[i].digest, r->conf->arg);
	}
	if (search_rebuild(r->to, e) != 0)
		return -1;
	if (r->conf->new_log && changes_new_log(r->to, e) != 0)
		return -1;
	return db_commit(r->to, e);
}

static int connect_to(struct db **out, const char *url, const struct driver_conf *conf, struct err *e)
{
	const char *target;
	const struct driver *d = driver_of(url, &target, e);

	return d != NULL ? db_new(out, NULL, d, target, conf, e) : -1;
}

int transfer_run(const struct transfer *t, struct err *e)
{
	const struct driver_conf from = { .alone = true,
		.samples = t->samples,
		.foreign = t->foreign,
		.existing = !t->foreign,
		.answer_ms = TRANSFER_ANSWER_MS };
	const struct driver_conf to = {
		.alone = true, .samples = t->samples, .plain = t->plain, .writer = true, .answer_ms = TRANSFER_ANSWER_MS
	};
	struct run *r = calloc(1, sizeof *r);
	int rc = -1;

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "copy: out of memory");
	r->conf = t;
	if (connect_to(&r->from, t->from, &from, e) == 0 && connect_to(&r->to, t->to, &to, e) == 0 &&
		db_begin(r->from, DRIVER_TX_READ, e) == 0 && db_begin(r->to, DRIVER_TX_LOGGED, e) == 0)
		rc = copy_all(r, e);
	if (r->to != NULL)
		db_rollback(r->to);
	if (r->from != NULL)
		db_rollback(r->from);
	db_free(r->to);
	db_free(r->from);
	free(r);
	return rc;
}
