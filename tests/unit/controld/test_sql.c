/* Every statement of every noun is good SQL on a migrated database. */
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/store/changes.h"
#include "controld/store/migrate.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct sql_table *const tables[] = {
	&store_sql,
	&changes_sql,
	&migrate_sql,
	&secrets_sql,
};

static int prepare_table(struct db *db, const struct sql_table *t)
{
	int failed = 0;

	assert_non_null(t->noun);
	assert_true(t->n > 0);
	for (size_t i = 0; i < t->n; i++) {
		struct err e = { 0 };

		if (db_prepare_only(db, t->sql[i], &e) != 0) {
			print_error("%s: %s\n  %s\n", t->noun, e.msg, t->sql[i]);
			failed++;
		}
	}
	return failed;
}

static void test_every_statement(void **state)
{
	struct test_store t;
	struct err e = { 0 };
	struct db *db;
	int failed = 0;

	(void)state;
	test_store_open(&t);
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		failed += prepare_table(db, tables[i]);
	for (size_t i = 0; i < tunnels_sql_n; i++)
		failed += prepare_table(db, tunnels_sql[i]);
	store_read_end(db);
	test_store_close(&t);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_statement) };

	log_init("test_sql", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
