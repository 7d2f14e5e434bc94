/* chain: rows of the change log that were changed, taken out or put in show; erasing people and deleting by age do not. */
#include "controld/store/chain.h"

#include "common/base/log.h"
#include "controld/store/erasure.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;

static int setup(void **state)
{
	(void)state;
	test_store_open(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

/* Three rows of one transaction; fails behind them when told to. */
static int work_append(struct db *tx, void *arg, struct err *e)
{
	struct change c = { .time_ms = 1000,
		.tenant = "t",
		.actor = "a",
		.kind = "user",
		.op = "update",
		.object = "{\"email\":\"a@b\"}" };

	for (int i = 0; i < 3; i++) {
		c.subject = i == 1 ? "usr_1" : "usr_2";
		c.object = i == 2 ? NULL : c.object;
		if (changes_append(tx, &c, NULL, e) != 0)
			return -1;
	}
	return arg != NULL ? err_set(e, ERR_CONFLICT, NULL, "undone") : 0;
}

static void append(int times)
{
	struct err e = { 0 };

	for (int i = 0; i < times; i++) {
		TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_append, NULL, &e), e);
		assert_int_equal(store_write(t.store, STORE_LOGGED, work_append, &e, &e), -1); /* leaves nothing */
	}
}

static int work_sql(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static void run_sql(const char *sql)
{
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t)sql, &e), e);
}

static struct chain_report verify(void)
{
	struct chain_report r;
	struct err e = { 0 };
	struct db *db;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(chain_verify(db, &r, &e), e);
	store_read_end(db);
	return r;
}

static void as_it_was_written(void **state)
{
	struct chain_report r = verify();

	(void)state;
	assert_int_equal(r.rows, 0);
	append(400); /* more than are read at once */
	r = verify();
	assert_int_equal(r.broken_at, 0);
	assert_int_equal(r.rows, 1200);
	assert_int_equal(r.first, 1);
	assert_int_equal(r.last, 1200);
	assert_int_equal(strlen(r.head), CHAIN_SIZE - 1);
}

static void what_shows(void **state)
{
	static const struct {
		const char *sql;
		int64_t at;
	} cases[] = {
		{ "UPDATE changes SET object = '{\"email\":\"x@y\"}' WHERE seq = 7", 7 },
		{ "UPDATE changes SET actor = 'b' WHERE seq = 5", 5 },
		{ "UPDATE changes SET time_ms = 1 WHERE seq = 12", 12 },
		{ "UPDATE changes SET subject = 'usr_3' WHERE seq = 1", 1 },
		{ "UPDATE changes SET digest = '' WHERE seq = 4", 4 },
		{ "UPDATE changes SET chain = '' WHERE seq = 6", 6 }, { "DELETE FROM changes WHERE seq = 8", 9 },
		{ "DELETE FROM changes WHERE seq <= 3", 4 },
		/* moved from one member to the next */
		{ "UPDATE changes SET actor = 'a1', request_id = '' WHERE seq = 3", 3 },
		{ "UPDATE changes SET object = '{}' WHERE seq = 3", 3 }, /* it had none */
	};

	(void)state;
	append(4);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct chain_report r;

		run_sql("CREATE TABLE kept AS SELECT * FROM changes");
		run_sql(cases[i].sql);
		r = verify();
		if (r.broken_at != cases[i].at)
			fail_msg("%s: %lld, %s", cases[i].sql, (long long)r.broken_at, r.why);
		run_sql("DELETE FROM changes");
		run_sql("INSERT INTO changes SELECT * FROM kept");
		run_sql("DROP TABLE kept");
		assert_int_equal(verify().broken_at, 0);
	}
}

static int work_erase(struct db *tx, void *arg, struct err *e)
{
	const struct erase_owner o = { .id = "usr_1" };
	int64_t position = 0;
	unsigned n;

	(void)arg;
	return changes_erasure.erase(tx, &o, 100, &position, &n, e);
}

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	const struct changes_keep k = { .before_ms = 2000, .rows_max = 1000000 };
	int64_t *removed = arg;

	return changes_prune(tx, &k, 5, removed, e);
}

static void people_go_and_rows_grow_old(void **state)
{
	struct chain_report r;
	struct err e = { 0 };
	int64_t removed;

	(void)state;
	append(4);
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_erase, NULL, &e), e);
	r = verify();
	assert_int_equal(r.broken_at, 0);
	assert_int_equal(r.erased, 4);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_prune, &removed, &e), e);
	assert_int_equal(removed, 5);
	r = verify();
	assert_int_equal(r.broken_at, 0);
	assert_int_equal(r.first, 6);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_prune, &removed, &e), e);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_prune, &removed, &e), e);
	assert_int_equal(removed, 1); /* the newest stays */
	append(1);
	r = verify();
	assert_int_equal(r.broken_at, 0);
	assert_int_equal(r.first, 12);
	assert_int_equal(r.last, 15);
	run_sql("DELETE FROM changes WHERE seq = 12");
	assert_int_equal(verify().broken_at, 13); /* not by age: that is noted */
}

static void rows_from_before(void **state)
{
	struct chain_report r;

	(void)state;
	append(2);
	run_sql("UPDATE changes SET chain = '', digest = ''");
	store_close(t.store);
	test_store_reopen(&t);
	append(2);
	r = verify();
	assert_int_equal(r.broken_at, 0);
	assert_int_equal(r.unchained, 6);
	assert_int_equal(r.rows, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_it_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(what_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(people_go_and_rows_grow_old, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_from_before, setup, teardown),
	};

	log_init("test_chain", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
