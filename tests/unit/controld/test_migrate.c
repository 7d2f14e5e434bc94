#include "controld/store/migrate.h"

#include "common/base/log.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ONE                                                                                       \
	{                                                                                         \
		1, "0001_one", "aaaaaaaaaaaaaaaa", "CREATE TABLE one (id BIGINT PRIMARY KEY);", 0 \
	}
#define TWO                                                                                                       \
	{                                                                                                         \
		2, "0002_two", "bbbbbbbbbbbbbbbb", "CREATE TABLE two (id BIGINT); INSERT INTO one VALUES (2);", 0 \
	}

static const struct migration one[] = { ONE };
static const struct migration one_two[] = { ONE, TWO };
static const struct migration two[] = { TWO };
/* Newer ones that programs which know the first, or the second, go on with. */
static const struct migration one_three[] = { ONE, { 3, "0003_new", "eeee", "CREATE TABLE new (id BIGINT);", 1 } };
static const struct migration one_four[] = { ONE, { 4, "0004_new", "ffff", "CREATE TABLE new (id BIGINT);", 2 } };
static const struct migration one_changed[] = {
	{ 1, "0001_one", "cccccccccccccccc", "CREATE TABLE one (id TEXT);", 0 },
};
static const struct migration one_then_bad[] = {
	ONE,
	{ 2, "0002_bad", "dddddddddddddddd", "CREATE TABLE half (id BIGINT); CREATE NONSENSE;", 0 },
};
#define SET(rows)                     \
	{                             \
		rows, ARRAY_LEN(rows) \
	}

static const struct {
	const char *what;
	struct migration_set first, then;
	int rc;
	enum err_code code;
	unsigned applied; /* by the second run */
	const char *word; /* in the message */
} cases[] = {
	{ "nothing to do", SET(one), SET(one), 0, ERR_NONE, 0, "" },
	{ "one more", SET(one), SET(one_two), 0, ERR_NONE, 1, "" },
	{ "a program that is older", SET(one_two), SET(one), -1, ERR_CONFLICT, 0, "0002_two was applied by a newer" },
	{ "older, and the newer one fits", SET(one_three), SET(one), 0, ERR_NONE, 0, "" },
	{ "older, fits, with one of its own", SET(one_three), SET(one_two), 0, ERR_NONE, 1, "" },
	{ "older than the newer one fits", SET(one_four), SET(one), -1, ERR_CONFLICT, 0, "that know migration 2" },
	{ "old enough for the newer one", SET(one_four), SET(one_two), 0, ERR_NONE, 1, "" },
	{ "another content", SET(one), SET(one_changed), -1, ERR_CONFLICT, 0, "0001_one was applied with another" },
	{ "a bad one", SET(one), SET(one_then_bad), -1, ERR_INTERNAL, 0, "0002_bad" },
	{ "a gap is filled", SET(one), SET(one_two), 0, ERR_NONE, 1, "" },
};

static void empty_store(struct test_store *t)
{
	struct store_conf conf = { .url = t->url };
	struct err e = { 0 };

	TEST_STORE_MUST(store_open(&t->store, &conf, &e), e);
}

static void test_a_second_run(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_store t;
		struct err e = { 0 };
		unsigned applied = 0;
		int rc;

		test_store_folder(&t);
		empty_store(&t);
		TEST_STORE_MUST(migrate_apply(t.store, &cases[i].first, &applied, &e), e);
		assert_int_equal(applied, cases[i].first.n);
		store_close(t.store);
		empty_store(&t);
		applied = 0;
		rc = migrate_apply(t.store, &cases[i].then, &applied, &e);
		if (rc != cases[i].rc || e.code != cases[i].code || applied != cases[i].applied ||
			strstr(e.msg, cases[i].word) == NULL) {
			print_error("%s: %d %s %s\n", cases[i].what, rc, err_name(e.code), e.msg);
			failed++;
		}
		test_store_close(&t);
	}
	assert_int_equal(failed, 0);
}

struct listed {
	size_t n, applied;
};

static void on_migration(const struct migration *m, int64_t applied_ms, void *arg)
{
	struct listed *l = arg;

	assert_non_null(m->name);
	l->n++;
	l->applied += applied_ms != 0;
}

/* What a bad migration did is gone, and a later program that has it right goes on from there. */
static void test_a_bad_one_leaves_nothing(void **state)
{
	const struct migration_set bad = SET(one_then_bad), good = SET(one_two);
	struct listed l = { 0 };
	struct test_store t;
	struct err e = { 0 };

	(void)state;
	test_store_folder(&t);
	empty_store(&t);
	assert_int_equal(migrate_apply(t.store, &bad, NULL, &e), -1);
	TEST_STORE_MUST(migrate_list(t.store, &good, on_migration, &l, &e), e);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.applied, 1);
	TEST_STORE_MUST(migrate_apply(t.store, &good, NULL, &e), e);
	test_store_close(&t);
}

static void test_order_is_by_number_not_by_time(void **state)
{
	const struct migration_set late = SET(two), early = SET(one);
	struct test_store t;
	struct err e = { 0 };

	(void)state;
	test_store_folder(&t);
	empty_store(&t);
	assert_int_equal(migrate_apply(t.store, &late, NULL, &e), -1); /* needs table one */
	TEST_STORE_MUST(migrate_apply(t.store, &early, NULL, &e), e);
	test_store_close(&t);
}

/* The ones that are compiled in: sorted, with checksums, and they run. */
static void test_compiled_in(void **state)
{
	struct test_store t;
	struct listed l = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(migrations_main.n > 0);
	for (size_t i = 0; i < migrations_main.n; i++) {
		assert_int_equal(strlen(migrations_main.rows[i].checksum), 64);
		assert_true(i == 0 || migrations_main.rows[i].number > migrations_main.rows[i - 1].number);
	}
	test_store_open(&t);
	TEST_STORE_MUST(migrate_list(t.store, &migrations_main, on_migration, &l, &e), e);
	assert_int_equal(l.applied, migrations_main.n);
	test_store_close(&t);
	test_store_folder(&t);
	empty_store(&t);
	TEST_STORE_MUST(migrate_apply(t.store, &migrations_samples, NULL, &e), e);
	test_store_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_second_run),
		cmocka_unit_test(test_a_bad_one_leaves_nothing),
		cmocka_unit_test(test_order_is_by_number_not_by_time),
		cmocka_unit_test(test_compiled_in),
	};

	log_init("test_migrate", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
