#include "controld/store/upkeep.h"

#include "common/base/log.h"
#include "controld/store/changes.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include <cmocka.h>

#define OWNER 12345 /* of the database, when the test may give files away */

static const char sql_put[] = "INSERT INTO meta(key, value) VALUES (?1, 'x')";
static const char sql_has[] = "SELECT 1 FROM meta WHERE key = ?1";

static int work_put(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, sql_put, e, bind_s(arg)) < 0 ? -1 : 0;
}

static void put(struct test_store *t, const char *key)
{
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_put, (void *)(uintptr_t)key, &e), e);
}

static bool has(struct test_store *t, const char *key)
{
	struct err e = { 0 };
	struct query *q;
	struct db *db;
	int rc;

	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql_has, &e, bind_s(key)), e);
	rc = query_next(q, &e);
	query_end(q);
	store_read_end(db);
	return rc == 1;
}

static void log_id_of(struct test_store *t, uint8_t id[CHANGES_LOG_ID_SIZE])
{
	struct err e = { 0 };
	struct db *db;
	int64_t seq;

	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(changes_last(db, &seq, id, &e), e);
	store_read_end(db);
}

static int on_progress(uint64_t done, uint64_t total, void *arg)
{
	assert_true(done <= total);
	++*(int *)arg;
	return 0;
}

static int on_progress_stop(uint64_t done, uint64_t total, void *arg)
{
	(void)done;
	(void)total;
	(void)arg;
	return 1;
}

static char *copy_name(const struct test_store *t, char dst[128])
{
	(void)str_fmt(dst, 128, "%s/copy", t->folder);
	return dst;
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

static void test_backup_and_restore(void **state)
{
	struct test_store *t = *state;
	uint8_t before[CHANGES_LOG_ID_SIZE], after[CHANGES_LOG_ID_SIZE];
	struct stat st;
	struct err e = { 0 };
	char copy[128], file[128];
	int calls = 0;

	put(t, "kept");
	log_id_of(t, before);
	TEST_STORE_MUST(upkeep_backup(t->url, copy_name(t, copy), on_progress, &calls, &e), e); /* while it is open */
	assert_true(calls > 0);
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	put(t, "gone");
	store_close(t->store);
	t->store = NULL;
	(void)str_fmt(file, sizeof file, "%s/controld.db", t->folder);
	if (geteuid() == 0)
		assert_int_equal(chown(file, OWNER, OWNER), 0);
	TEST_STORE_MUST(upkeep_restore(t->url, copy, NULL, NULL, &e), e);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_uid, geteuid() == 0 ? OWNER : geteuid());
	test_store_reopen(t);
	assert_true(has(t, "kept"));
	assert_false(has(t, "gone"));
	log_id_of(t, after);
	assert_memory_not_equal(before, after, sizeof before);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Somebody else's database. */
static void write_foreign(const char *path)
{
	sqlite3 *handle = NULL;

	assert_int_equal(unlink(path), 0);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "CREATE TABLE albums (title TEXT)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

static int work_newer(struct db *tx, void *arg, struct err *e)
{
	static const char sql[] = "INSERT INTO schema_migrations(number, name, checksum, applied_at) "
				  "VALUES (9999, '9999_newer', 'x', 1)";

	(void)arg;
	return db_exec(tx, sql, e) < 0 ? -1 : 0;
}

/* What cannot be used leaves the database as it was, and nothing beside it. */
static void test_a_bad_copy_changes_nothing(void **state)
{
	struct test_store *t = *state;
	struct test_store other;
	struct err e = { 0 };
	char copy[128], left[128];

	put(t, "kept");
	test_store_open(&other);
	store_close(t->store);
	t->store = NULL;

	assert_int_equal(upkeep_restore(t->url, copy_name(t, copy), NULL, NULL, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	write_file(
		copy, "this is no database, but long enough to be looked at .......................................");
	assert_int_equal(upkeep_restore(t->url, copy, NULL, NULL, &e), -1);
	assert_non_null(strstr(e.msg, "is not a file that 'controld db backup' wrote"));
	write_foreign(copy);
	assert_int_equal(upkeep_restore(t->url, copy, NULL, NULL, &e), -1);
	assert_non_null(strstr(e.msg, "none of controld's"));
	TEST_STORE_MUST(store_write(other.store, STORE_OPERATIONAL, work_newer, NULL, &e), e);
	TEST_STORE_MUST(upkeep_backup(other.url, copy, NULL, NULL, &e), e);
	assert_int_equal(upkeep_restore(t->url, copy, NULL, NULL, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(upkeep_backup(other.url, copy, on_progress_stop, NULL, &e), -1);
	assert_int_equal(upkeep_backup(other.url, "/nowhere/at/all", NULL, NULL, &e), -1);
	test_store_close(&other);

	(void)str_fmt(left, sizeof left, "%s/controld.db.restore", t->folder);
	assert_int_equal(access(left, F_OK), -1);
	test_store_reopen(t);
	assert_true(has(t, "kept"));
}

static void test_the_lock_is_one_programs(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	struct upkeep_lock *one = NULL, *two = NULL;
	char left[128];

	TEST_STORE_MUST(upkeep_lock(&one, t->url, true, &e), e);
	assert_int_equal(upkeep_lock(&two, t->url, true, &e), -1);
	assert_int_equal(e.code, ERR_LOCKED);
	upkeep_unlock(one);
	TEST_STORE_MUST(upkeep_lock(&two, t->url, true, &e), e);
	upkeep_unlock(two);
	(void)str_fmt(left, sizeof left, "%s/controld.db.lock", t->folder);
	assert_int_equal(access(left, F_OK), -1);
}

/* Takes the lock and gives it back, again and again; nobody else ever has it meanwhile. */
struct taker {
	const struct test_store *store;
	atomic_int *inside;
	int had, shared;
};

static void *work_take(void *arg)
{
	struct taker *t = arg;

	for (int i = 0; i < 500 || (t->had == 0 && i < 1000000); i++) {
		struct upkeep_lock *lock = NULL;

		if (upkeep_lock(&lock, t->store->url, true, NULL) != 0)
			continue;
		t->shared += atomic_fetch_add(t->inside, 1) != 0;
		t->had++;
		atomic_fetch_sub(t->inside, 1);
		upkeep_unlock(lock);
	}
	return NULL;
}

static void test_the_lock_file_goes_with_its_last_holder(void **state)
{
	atomic_int inside = 0;
	struct taker takers[4];
	pthread_t threads[ARRAY_LEN(takers)];

	for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
		takers[i] = (struct taker){ .store = *state, .inside = &inside };
		assert_int_equal(pthread_create(&threads[i], NULL, work_take, &takers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
		pthread_join(threads[i], NULL);
		assert_true(takers[i].had > 0);
		assert_int_equal(takers[i].shared, 0);
	}
}

static void test_one_database_by_two_names(void **state)
{
	const struct test_store *t = *state;
	char other[128];

	(void)str_fmt(other, sizeof other, "sqlite:%s/../%s/controld.db", t->folder, t->folder + strlen("/tmp/"));
	assert_true(upkeep_same(t->url, t->url));
	assert_true(upkeep_same(t->url, other));
	assert_false(upkeep_same(t->url, "sqlite:/tmp/nowhere.db"));
	assert_false(upkeep_same(t->url, "postgresql://127.0.0.1/x"));
}

static void test_erase(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };

	put(t, "old");
	store_close(t->store);
	t->store = NULL;
	TEST_STORE_MUST(upkeep_erase(t->url, false, &e), e);
	TEST_STORE_MUST(upkeep_erase(t->url, false, &e), e); /* there is none */
	test_store_reopen(t);
	assert_false(has(t, "old"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_backup_and_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bad_copy_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_lock_is_one_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_lock_file_goes_with_its_last_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_database_by_two_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_erase, setup, teardown),
	};

	log_init("test_upkeep", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
