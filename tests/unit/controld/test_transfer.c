/* Rows move between SQLite and PostgreSQL, either way, and are the same afterwards; or nothing has changed. */
#include "controld/store/transfer.h"

#include "common/base/log.h"
#include "controld/store/db.h"
#include "controld/store/migrate.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROWS     2500 /* several portions of a scan, many INSERTs, and one that is not full */
#define CHECKSUM "aaaaaaaaaaaaaaaa"

static const struct migration rows_of_set[] = {
	{ 1, "0001_all", CHECKSUM,
		"CREATE TABLE values_of_all_types (id BIGINT PRIMARY KEY, t TEXT NOT NULL, n TEXT, r DOUBLE PRECISION, "
		"b BLOB);"
		"CREATE TABLE seeded (id TEXT PRIMARY KEY); INSERT INTO seeded VALUES ('by the migration');",
		0 },
};
static const struct migration_set set = { rows_of_set, ARRAY_LEN(rows_of_set) };
static const char sql_put[] = "INSERT INTO values_of_all_types(id, t, n, r, b) VALUES (?1, ?2, ?3, ?4, ?5)";
static const char sql_forget[] = "DELETE FROM seeded";
static const char sql_newer[] =
	"INSERT INTO schema_migrations(number, name, checksum, applied_at) VALUES (2, '0002_newer', 'x', 1)";
static const char sql_newer_ok[] = "INSERT INTO schema_compatible(number, compatible) VALUES (2, 1)";

static const char *const texts[] = { "", "plain", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98",
	"it's \"quoted\" \\ and\nmore", "\\x00" };
static const uint8_t blob[] = { 0, 1, 0xff, '\\', 'x', 0 };

static int work_fill(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	for (int64_t i = 0; i < ROWS; i++) {
		int64_t id = i == 0 ? INT64_MIN : i == 1 ? INT64_MAX : i;

		if (db_exec(tx, sql_put, e, bind_i(id), bind_s(texts[i % 5]), bind_s(i % 3 ? NULL : "n"),
			    bind_d(1.0 / (double)(i + 1)), bind_b(blob, (size_t)(i % 7))) < 0)
			return -1;
	}
	return db_exec(tx, sql_forget, e) < 0 ? -1 : 0;
}

static int work_exec(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static void run(struct store *s, const char *sql)
{
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(s, STORE_OPERATIONAL, work_exec, (void *)(uintptr_t)sql, &e), e);
}

/* An empty database of either kind. */
static void place(struct test_store *t, const char *database)
{
	setenv("PORTWAY_TEST_DATABASE", database, 1);
	test_store_folder(t);
}

static void leave(struct test_store *t, const char *database)
{
	setenv("PORTWAY_TEST_DATABASE", database, 1);
	test_store_close(t);
}

static void fill(struct test_store *t, store_fn fn)
{
	struct store_conf conf = { .url = t->url };
	struct err e = { 0 };

	TEST_STORE_MUST(store_open(&t->store, &conf, &e), e);
	TEST_STORE_MUST(migrate_apply(t->store, &set, NULL, &e), e);
	TEST_STORE_MUST(fn != NULL ? store_write(t->store, STORE_OPERATIONAL, fn, NULL, &e) : 0, e);
}

static void done(struct test_store *t)
{
	store_close(t->store);
	t->store = NULL;
}

struct seen {
	size_t n;
	char name[8][64];
	struct transfer_digest digest[8];
	uint64_t last, calls;
	bool stop;
};

static void on_table(const char *name, const struct transfer_digest *d, void *arg)
{
	struct seen *s = arg;

	(void)str_copy(s->name[s->n], sizeof s->name[0], name);
	s->digest[s->n++] = *d;
}

static int on_progress(uint64_t rows, uint64_t total, void *arg)
{
	struct seen *s = arg;

	assert_true(rows <= total && rows >= s->last);
	s->last = rows;
	s->calls++;
	return s->stop ? -1 : 0;
}

static int transfer(
	const struct test_store *from, const struct test_store *to, bool replace, struct seen *s, struct err *e)
{
	const struct transfer t = { .from = from->url,
		.to = to->url,
		.set = &set,
		.replace = replace,
		.progress = on_progress,
		.table = on_table,
		.arg = s };

	memset(e, 0, sizeof *e);
	return transfer_run(&t, e);
}

static void test_there_and_back(void **state)
{
	struct test_store first, middle, last;
	struct seen there = { 0 }, back = { 0 };
	struct err e;

	(void)state;
	place(&first, "sqlite");
	place(&middle, "postgresql");
	place(&last, "sqlite");
	fill(&first, work_fill);
	done(&first);
	TEST_STORE_MUST(transfer(&first, &middle, false, &there, &e), e);
	TEST_STORE_MUST(transfer(&middle, &last, false, &back, &e), e);
	assert_int_equal(there.n, 4);
	assert_int_equal(there.n, back.n);
	assert_true(there.calls > 0 && back.calls > 0);
	for (size_t i = 0; i < there.n; i++) {
		assert_string_equal(there.name[i], back.name[i]);
		assert_memory_equal(&there.digest[i], &back.digest[i], sizeof there.digest[i]);
	}
	assert_string_equal(there.name[2], "values_of_all_types");
	assert_int_equal(there.digest[2].rows, ROWS);
	assert_int_equal(there.digest[3].rows, 0); /* what the migration put there was gone in the source */
	leave(&first, "sqlite");
	leave(&middle, "postgresql");
	leave(&last, "sqlite");
}

/* One row, one bit: another digest. */
static void test_a_digest_sees_a_difference(void **state)
{
	static const char *const changes[] = { "UPDATE values_of_all_types SET t = 'plaim' WHERE id = 6",
		"UPDATE values_of_all_types SET n = '' WHERE id = 10",
		"UPDATE values_of_all_types SET r = 0.1 WHERE id = 7", "DELETE FROM values_of_all_types WHERE id = 6" };
	struct test_store from, to;
	struct seen before = { 0 };
	struct err e;

	(void)state;
	place(&from, "sqlite");
	place(&to, "sqlite");
	fill(&from, work_fill);
	TEST_STORE_MUST(transfer(&from, &to, false, &before, &e), e);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct seen after = { 0 };

		run(from.store, changes[i]);
		TEST_STORE_MUST(transfer(&from, &to, true, &after, &e), e);
		assert_memory_not_equal(before.digest[2].sum, after.digest[2].sum, sizeof after.digest[2].sum);
		before = after;
	}
	leave(&from, "sqlite");
	leave(&to, "sqlite");
}

static bool has_tables(struct test_store *t)
{
	struct store_conf conf = { .url = t->url };
	struct err e = { 0 };
	struct store *s;
	struct db *db;
	int rc;

	TEST_STORE_MUST(store_open(&s, &conf, &e), e);
	TEST_STORE_MUST(store_read_begin(s, &db, &e), e);
	rc = db_has_table(db, "values_of_all_types", &e);
	store_read_end(db);
	store_close(s);
	return rc == 1;
}

static void refusals(const char *database)
{
	struct test_store from, to;
	struct seen s = { 0 };
	struct err e;

	place(&from, "sqlite");
	place(&to, database);
	assert_int_equal(transfer(&from, &to, false, &s, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	fill(&from, work_fill);
	s.stop = true;
	assert_int_equal(transfer(&from, &to, false, &s, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_false(has_tables(&to)); /* half of a copy is none */
	s = (struct seen){ 0 };
	TEST_STORE_MUST(transfer(&from, &to, false, &s, &e), e);
	s = (struct seen){ 0 };
	assert_int_equal(transfer(&from, &to, false, &s, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	TEST_STORE_MUST(transfer(&from, &to, true, &s, &e), e);
	run(from.store, sql_newer);
	run(from.store, sql_newer_ok);
	assert_int_equal(transfer(&from, &to, true, &s, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_non_null(strstr(e.msg, "newer"));
	leave(&from, "sqlite");
	leave(&to, database);
}

static void test_refusals_change_nothing(void **state)
{
	(void)state;
	refusals("sqlite");
	refusals("postgresql");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_a_digest_sees_a_difference),
		cmocka_unit_test(test_refusals_change_nothing),
	};

	log_init("test_transfer", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
