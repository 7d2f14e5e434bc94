/* rotate: everything that is sealed is sealed with another key, in as many steps as it takes; no column is forgotten. */
#include "controld/rotate.h"

#include "common/base/buf.h"
#include "common/base/log.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECRETS_N 250 /* more than one transaction takes */

static const uint8_t before[SEAL_KEY_SIZE] = { 7, 7, 7 }, after[SEAL_KEY_SIZE] = { 8, 8, 8 };
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

static int work_fill(struct db *tx, void *arg, struct err *e)
{
	char name[32];

	(void)arg;
	for (int i = 0; i < SECRETS_N; i++) {
		(void)str_fmt(name, sizeof name, "s%03d", i);
		if (secrets_put(tx, name, name, strlen(name), e) != 0)
			return -1;
	}
	return 0;
}

static int64_t count_stale(void)
{
	uint8_t head[SECRETS_HEAD];
	struct query *q;
	struct db *db;
	struct err e;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(secrets_head(db, head, &e), e);
	TEST_STORE_MUST(db_query(db, &q, "SELECT count(*) FROM secrets WHERE substr(sealed, 1, 5) <> ?1", &e,
				bind_b(head, sizeof head)),
		e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

static int check(struct err *e)
{
	struct db *db;
	int rc;

	TEST_STORE_MUST(store_read_begin(t.store, &db, e), *e);
	rc = secrets_check(db, e);
	store_read_end(db);
	return rc;
}

static void all_rows_change_key(void **state)
{
	struct err e = { 0 };
	uint64_t n;

	(void)state;
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_fill, NULL, &e), e);
	assert_int_equal(count_stale(), 0);
	store_set_master_key(t.store, after);
	assert_int_equal(rotate_all(t.store, &n, &e), -1); /* the one before is missing */
	assert_int_equal(e.code, ERR_CRYPTO);
	assert_int_equal(count_stale(), SECRETS_N);
	assert_int_equal(store_add_master_key(t.store, before), 0);
	TEST_STORE_MUST(rotate_all(t.store, &n, &e), e);
	assert_int_equal(n, SECRETS_N);
	assert_int_equal(count_stale(), 0);
	store_set_master_key(t.store, after);
	TEST_STORE_MUST(check(&e), e);
	TEST_STORE_MUST(rotate_all(t.store, &n, &e), e); /* again: there is nothing to do */
	assert_int_equal(n, 0);
}

static int work_some(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return secrets_put(tx, "s007", "changed meanwhile", 17, e);
}

/* Interrupted after some rows, and a row written in between by a controld with the new key: the next try goes on. */
static void it_goes_on(void **state)
{
	struct err e = { 0 };
	uint64_t n;

	(void)state;
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_fill, NULL, &e), e);
	store_set_master_key(t.store, after);
	assert_int_equal(store_add_master_key(t.store, before), 0);
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_some, NULL, &e), e);
	assert_int_equal(count_stale(), SECRETS_N - 1);
	TEST_STORE_MUST(check(&e), e); /* both are readable */
	TEST_STORE_MUST(rotate_all(t.store, &n, &e), e);
	assert_int_equal(n, SECRETS_N - 1);
}

static bool is_known(const char *table, const char *column)
{
	static const char *const plain[] = {
		"signing_keys.public_key", /* public */
		"meters.counters",         /* counted bytes */
		"panel_pages.ids",         /* numbers of objects of panels */
		"peer_messages.body",      /* from one controld to another; what is secret in them is not theirs */
	};
	const struct sealed_column *c;
	char name[128], from[128];

	(void)str_fmt(name, sizeof name, "%s.%s", table, column);
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (str_eq(plain[i], name))
			return true;
	(void)str_fmt(from, sizeof from, ", %s FROM %s WHERE", column, table);
	for (size_t i = 0; (c = rotate_column(i)) != NULL; i++)
		if (strstr(c->stale, from) != NULL)
			return true;
	return false;
}

/* A BLOB is sealed and in the list, or in the clear for a reason. */
static void no_column_is_forgotten(void **state)
{
	struct query *q;
	struct db *db;
	struct err e;
	int seen = 0, failed = 0;

	(void)state;
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(
		db_query(db, &q,
			test_store_on_postgres()
				? "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = "
				  "current_schema() AND data_type = 'bytea'"
				: "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE "
				  "m.type = "
				  "'table' AND c.type = 'BLOB' AND m.name NOT LIKE 'search%' AND m.sql NOT LIKE "
				  "'%VIRTUAL%'",
			&e),
		e);
	while (query_next(q, &e) == 1) {
		seen++;
		if (!is_known(query_text(q, 0), query_text(q, 1))) {
			print_error(
				"%s.%s: not sealed anew, and no reason why not\n", query_text(q, 0), query_text(q, 1));
			failed++;
		}
	}
	query_end(q);
	store_read_end(db);
	assert_true(seen > 5);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_rows_change_key, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(no_column_is_forgotten, setup, teardown),
	};

	log_init("test_rotate", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
