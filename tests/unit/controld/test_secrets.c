#include "controld/store/secrets.h"

#include "common/base/buf.h"
#include "common/base/log.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct secret {
	const char *name;
	const void *p;
	size_t n;
};

static int work_put(struct db *tx, void *arg, struct err *e)
{
	const struct secret *s = arg;

	return secrets_put(tx, s->name, s->p, s->n, e);
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	return secrets_delete(tx, arg, e);
}

/* As another program would: moves a sealed value to another name. */
static int work_move(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return db_exec(tx, "UPDATE secrets SET name = 'b' WHERE name = 'a'", e) < 0 ? -1 : 0;
}

static int put(struct store *s, const char *name, const void *p, size_t n, struct err *e)
{
	struct secret secret = { name, p, n };

	return store_write(s, STORE_OPERATIONAL, work_put, &secret, e);
}

static int get(struct store *s, const char *name, struct buf *out, struct err *e)
{
	struct db *db;
	int rc;

	TEST_STORE_MUST(store_read_begin(s, &db, e), *e);
	rc = secrets_get(db, name, out, e);
	store_read_end(db);
	return rc;
}

static int check(struct store *s, struct err *e)
{
	struct db *db;
	int rc;

	TEST_STORE_MUST(store_read_begin(s, &db, e), *e);
	rc = secrets_check(db, e);
	store_read_end(db);
	return rc;
}

static int setup(void **state)
{
	struct test_store *t = malloc(sizeof *t);

	test_store_open(t);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	test_store_close(*state);
	free(*state);
	return 0;
}

static void test_put_get_replace_delete(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(get(t->store, "a", &b, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	TEST_STORE_MUST(put(t->store, "a", "first", 5, &e), e);
	TEST_STORE_MUST(put(t->store, "a", "second", 6, &e), e);
	TEST_STORE_MUST(put(t->store, "empty", "", 0, &e), e);
	TEST_STORE_MUST(get(t->store, "a", &b, &e), e);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "second", 6);
	buf_reset(&b);
	TEST_STORE_MUST(get(t->store, "empty", &b, &e), e);
	assert_int_equal(b.len, 0);
	TEST_STORE_MUST(check(t->store, &e), e);
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_delete, (void *)(uintptr_t) "a", &e), e);
	assert_int_equal(get(t->store, "a", &b, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	buf_free(&b);
}

static void test_another_key_or_name_opens_nothing(void **state)
{
	static const uint8_t other[SEAL_KEY_SIZE] = { 1 };
	struct test_store *t = *state;
	struct err e = { 0 };
	struct buf b;

	buf_init(&b, 4096);
	TEST_STORE_MUST(put(t->store, "a", "value", 5, &e), e);
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_move, NULL, &e), e);
	assert_int_equal(get(t->store, "b", &b, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	TEST_STORE_MUST(put(t->store, "b", "value", 5, &e), e);
	TEST_STORE_MUST(check(t->store, &e), e);
	store_set_master_key(t->store, other);
	assert_int_equal(check(t->store, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static int work_claim(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return secrets_claim(tx, e);
}

/* The first to come says which master key is right; also of a database that had secrets before there was a mark. */
static void test_the_first_key_stays(void **state)
{
	static const uint8_t other[SEAL_KEY_SIZE] = { 1 }, own[SEAL_KEY_SIZE] = { 7, 7, 7 };
	struct test_store *t = *state;
	struct err e = { 0 };

	TEST_STORE_MUST(put(t->store, "a", "value", 5, &e), e);
	store_set_master_key(t->store, other);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	store_set_master_key(t->store, own); /* the failed one has left no mark */
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), e);
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), e);
	store_set_master_key(t->store, other);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), -1);
	assert_non_null(strstr(e.msg, "CONTROLD_MASTER_KEY"));
}

/* As before there was more than one key: what seal.h writes, and nothing in front. */
static int work_put_unkeyed(struct db *tx, void *arg, struct err *e)
{
	uint8_t sealed[3 + SEAL_OVERHEAD];

	if (seal_wrap(sealed, arg, "secret:old", "abc", 3, e) != 0)
		return -1;
	return db_exec(tx, "INSERT INTO secrets (name, sealed, updated_at) VALUES ('old', ?1, 0)", e,
		       bind_b(sealed, sizeof sealed)) < 0
	               ? -1
	               : 0;
}

static void test_several_keys(void **state)
{
	static const uint8_t own[SEAL_KEY_SIZE] = { 7, 7, 7 }, next[SEAL_KEY_SIZE] = { 8 },
			     other[SEAL_KEY_SIZE] = { 9 };
	struct test_store *t = *state;
	struct err e = { 0 };
	struct buf b;

	buf_init(&b, 4096);
	TEST_STORE_MUST(put(t->store, "a", "first", 5, &e), e);
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_put_unkeyed, (void *)(uintptr_t)own, &e), e);
	store_set_master_key(t->store, next);
	assert_int_equal(get(t->store, "a", &b, &e), -1);
	assert_int_equal(get(t->store, "old", &b, &e), -1);
	assert_int_equal(store_add_master_key(t->store, other), 0);
	assert_int_equal(store_add_master_key(t->store, own), 0);
	TEST_STORE_MUST(get(t->store, "a", &b, &e), e);
	assert_string_equal(buf_cstr(&b), "first");
	buf_reset(&b);
	TEST_STORE_MUST(get(t->store, "old", &b, &e), e);
	assert_string_equal(buf_cstr(&b), "abc");
	/* what is written now needs the first key alone */
	TEST_STORE_MUST(put(t->store, "a", "second", 6, &e), e);
	store_set_master_key(t->store, next);
	buf_reset(&b);
	TEST_STORE_MUST(get(t->store, "a", &b, &e), e);
	assert_string_equal(buf_cstr(&b), "second");
	assert_int_equal(store_add_master_key(t->store, own), 0);
	assert_int_equal(store_add_master_key(t->store, own), 0);
	assert_int_equal(store_add_master_key(t->store, own), 0);
	assert_int_equal(store_add_master_key(t->store, own), -1);
	buf_free(&b);
}

/* A controld that has the key before only is refused as soon as one with the new key has started. */
static void test_the_mark_follows_the_key(void **state)
{
	static const uint8_t own[SEAL_KEY_SIZE] = { 7, 7, 7 }, next[SEAL_KEY_SIZE] = { 8 };
	struct test_store *t = *state;
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), e);
	store_set_master_key(t->store, next);
	assert_int_equal(store_add_master_key(t->store, own), 0);
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), e);
	store_set_master_key(t->store, own);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_claim, NULL, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
}

static void test_limits(void **state)
{
	struct test_store *t = *state;
	static char big[SECRETS_MAX + 1];
	struct err e = { 0 };
	struct buf b;

	assert_int_equal(put(t->store, "big", big, sizeof big, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	TEST_STORE_MUST(put(t->store, "big", big, SECRETS_MAX, &e), e);
	buf_init(&b, SECRETS_MAX - 1);
	assert_int_equal(get(t->store, "big", &b, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	buf_free(&b);
	buf_init(&b, SECRETS_MAX); /* exactly as large as it is */
	TEST_STORE_MUST(get(t->store, "big", &b, &e), e);
	assert_int_equal(b.len, SECRETS_MAX);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_put_get_replace_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_key_or_name_opens_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_first_key_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_mark_follows_the_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};

	log_init("test_secrets", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
