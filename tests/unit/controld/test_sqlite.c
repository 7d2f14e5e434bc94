/* What only SQLite does: files, their modes and logs, a full disk, temporary databases. */
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/store/store.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char sql_make[] = "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)";
static const char sql_insert[] = "INSERT INTO t(id, v) VALUES (?1, ?2)";
static const char sql_count[] = "SELECT count(*) FROM t";

static int work_make(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return db_exec(tx, sql_make, e) < 0 ? -1 : 0;
}

struct row {
	int64_t id;
	const char *v;
};

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	const struct row *r = arg;

	return db_exec(tx, sql_insert, e, bind_i(r->id), bind_s(r->v)) < 0 ? -1 : 0;
}

static int insert(struct store *s, int64_t id, const char *v, struct err *e)
{
	struct row r = { .id = id, .v = v };

	return store_write(s, STORE_LOGGED, work_insert, &r, e);
}

static int64_t count_of(struct store *s)
{
	struct err e = { 0 };
	struct query *q;
	struct db *db;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(s, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql_count, &e), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

static int setup(void **state)
{
	struct test_store *t = malloc(sizeof *t);
	struct err e = { 0 };

	test_store_open(t);
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_make, NULL, &e), e);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	test_store_close(*state);
	free(*state);
	return 0;
}

/* ---- trouble with the disk --------------------------------------------------------------------------------------- */

static char big[256 * 1024];

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_full_disk_is_said_and_recovers(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	int64_t id = 0, kept;

	signal(SIGXFSZ, SIG_IGN);
	memset(big, 'x', sizeof big - 1);
	limit_file_size(4 << 20);
	while (id < 100 && insert(t->store, id, big, &e) == 0)
		id++;
	assert_true(id > 0 && id < 100);
	assert_int_equal(e.code, ERR_DISK_FULL);
	limit_file_size(0); /* now not even a small one fits */
	assert_int_equal(insert(t->store, id, "small", &e), -1);
	assert_int_equal(e.code, ERR_DISK_FULL);
	assert_int_equal(store_ping(t->store, &e), -1);
	assert_int_equal(e.code, ERR_DISK_FULL);
	kept = count_of(t->store); /* reading goes on */
	assert_int_equal(kept, id);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(store_ping(t->store, &e), 0);
	assert_int_equal(insert(t->store, 1000, big, &e), 0);
	assert_int_equal(count_of(t->store), kept + 1);
	store_close(t->store);
	test_store_reopen(t);
	assert_int_equal(count_of(t->store), kept + 1);
}

/* Readers that overlap all the time, as under load: the log must not grow with what is written. */
#define LOG_READERS 6
#define LOG_ROWS    600

struct overlapping {
	struct store *store;
	atomic_bool *stop;
};

static void *work_read_on(void *arg)
{
	struct overlapping *o = arg;

	while (!atomic_load(o->stop)) {
		struct query *q;
		struct db *db;

		if (store_read_begin(o->store, &db, NULL) != 0)
			continue;
		if (db_query(db, &q, sql_count, NULL) == 0)
			(void)!query_next(q, NULL);
		query_end(q);
		usleep(300);
		store_read_end(db);
	}
	return NULL;
}

static void test_the_log_stays_short_though_readers_overlap(void **state)
{
	struct test_store *t = *state;
	struct store_conf conf = { .url = t->url, .readers = LOG_READERS };
	pthread_t threads[LOG_READERS];
	atomic_bool stop = false;
	struct overlapping o = { .stop = &stop };
	struct err e = { 0 };
	char path[160];
	struct stat st;
	int64_t rows = 0;

	store_close(t->store);
	t->store = NULL;
	TEST_STORE_MUST(store_open(&o.store, &conf, &e), e);
	t->store = o.store;
	for (int i = 0; i < LOG_READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_read_on, &o), 0);
	memset(big, 'x', sizeof big - 1);
	(void)str_fmt(path, sizeof path, "%s-wal", t->url + strlen("sqlite:"));
	do { /* a reader that was interrupted while it was in lets it grow for once */
		for (int i = 0; i < LOG_ROWS; i++)
			TEST_STORE_MUST(insert(t->store, rows++, big, &e), e);
		assert_int_equal(stat(path, &st), 0);
	} while (st.st_size >= (off_t)sizeof big * rows / 2 && rows < 5 * LOG_ROWS);
	atomic_store(&stop, true);
	for (int i = 0; i < LOG_READERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(st.st_size < (off_t)sizeof big * rows / 2);
}

static void damage(const char *path)
{
	char junk[4096];
	int fd = open(path, O_WRONLY);

	memset(junk, 0x5a, sizeof junk);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, sizeof junk, 0), (ssize_t)sizeof junk);
	close(fd);
}

static void test_a_damaged_file_is_named(void **state)
{
	struct test_store *t = *state;
	struct store_conf conf = { .url = t->url };
	struct store *s = NULL;
	struct err e = { 0 };

	store_close(t->store);
	t->store = NULL;
	damage(t->url + strlen("sqlite:"));
	if (store_open(&s, &conf, &e) == 0) {
		assert_int_equal(migrate_main(s, NULL, &e), -1);
		store_close(s);
	}
	assert_int_equal(e.code, ERR_STORAGE);
	assert_non_null(strstr(e.msg, "damaged"));
	assert_non_null(strstr(e.msg, t->folder));
}

static void test_others_must_not_read_the_file(void **state)
{
	struct test_store *t = *state;
	struct store_conf conf = { .url = t->url };
	struct store *s = NULL;
	struct stat st;
	struct err e = { 0 };

	assert_int_equal(stat(t->url + strlen("sqlite:"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(chmod(t->url + strlen("sqlite:"), 0644), 0);
	assert_int_equal(store_open(&s, &conf, &e), -1);
	assert_int_equal(e.code, ERR_PERMISSION);
}

static const struct {
	const char *what, *url;
	enum err_code code;
} bad_urls[] = {
	{ "no scheme", "/tmp/x.db", ERR_VALIDATION },
	{ "no path", "sqlite:", ERR_VALIDATION },
	{ "another database", "mysql://localhost/x", ERR_VALIDATION },
	{ "no such folder", "sqlite:/nowhere/at/all/x.db", ERR_STORAGE },
	{ "a folder", "sqlite:/tmp", ERR_STORAGE },
};

static void test_bad_urls_are_refused(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_urls); i++) {
		struct store_conf conf = { .url = bad_urls[i].url };
		struct store *s = NULL;
		struct err e = { 0 };

		if (store_open(&s, &conf, &e) != -1 || e.code != bad_urls[i].code) {
			print_error("%s: %s %s\n", bad_urls[i].what, err_name(e.code), e.msg);
			failed++;
		}
		store_close(s);
	}
	assert_int_equal(failed, 0);
}

static void test_a_temporary_database_has_many_connections(void **state)
{
	struct store_conf conf = { .url = "sqlite::memory:", .readers = 2 };
	struct store *s;
	struct err e = { 0 };

	(void)state;
	TEST_STORE_MUST(store_open(&s, &conf, &e), e);
	TEST_STORE_MUST(migrate_main(s, NULL, &e), e);
	TEST_STORE_MUST(store_write(s, STORE_OPERATIONAL, work_make, NULL, &e), e);
	assert_int_equal(insert(s, 1, "a", &e), 0);
	assert_int_equal(count_of(s), 1);
	assert_int_equal(store_ping(s, &e), 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_full_disk_is_said_and_recovers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_log_stays_short_though_readers_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_file_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_must_not_read_the_file, setup, teardown),
		cmocka_unit_test(test_bad_urls_are_refused),
		cmocka_unit_test(test_a_temporary_database_has_many_connections),
	};

	log_init("test_sqlite", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
