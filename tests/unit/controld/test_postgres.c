/* What only the PostgreSQL driver does: its SQL, time-outs, deadlocks, sessions that end, who else is there. */
#include "controld/store/postgres.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/store/db.h"
#include "controld/store/upkeep.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
	const char *what, *sql;
	bool script;
	const char *want;
	size_t params;
} texts[] = {
	{ "a parameter", "SELECT ?1", false, "SELECT $1", 1 },
	{ "parameters, out of order and twice", "?12,?2,?12", false, "$12,$2,$12", 12 },
	{ "a question in a string", "SELECT '?1 is ''it''', ?1", false, "SELECT '?1 is ''it''', $1", 1 },
	{ "a question in a name", "SELECT \"?1\"", false, "SELECT \"?1\"", 0 },
	{ "a question in a comment", "SELECT 1 -- ?1 TEXT\n, ?2", true, "SELECT 1 -- ?1 TEXT\n, $2", 2 },
	{ "a question alone", "SELECT a ? b", false, "SELECT a ? b", 0 },
	{ "a string without an end", "SELECT 'abc", false, "SELECT 'abc", 0 },
	{ "types of a statement", "CAST(?1 AS TEXT), CAST(?2 AS BLOB)", false, "CAST($1 AS TEXT), CAST($2 AS BYTEA)",
		2 },
	{ "types of a migration", "a TEXT, b BLOB, TEXTS BLOBS", true, "a TEXT COLLATE \"C\", b BYTEA, TEXTS BLOBS",
		0 },
	{ "types of a table", "CREATE TABLE t (a TEXT)", false, "CREATE TABLE t (a TEXT COLLATE \"C\")", 0 },
	{ "nothing", "", false, "", 0 },
};

static void test_sql(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err e = { 0 };
		size_t params;
		char *got = postgres_sql(texts[i].sql, texts[i].script, &params, &e);

		if (!str_eq(got, texts[i].want) || params != texts[i].params) {
			print_error("%s: %s (%zu)\n", texts[i].what, got, params);
			failed++;
		}
		free(got);
	}
	assert_int_equal(failed, 0);
}

/* ---- on a server ------------------------------------------------------------------------------------------------- */

static const char sql_make[] = "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT NOT NULL, name TEXT NOT NULL UNIQUE)";
static const char sql_put[] = "INSERT INTO t(id, n, name) VALUES (?1, 0, ?2)";
static const char sql_add[] = "UPDATE t SET n = n + 1 WHERE id = ?1";
static const char sql_sum[] = "SELECT sum(n) FROM t";
static const char sql_sleep[] = "SELECT pg_sleep(20)";
static const char sql_end_others[] =
	"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() "
	"AND pid <> pg_backend_pid()";

static struct store *open_another(const struct test_store *t, uint64_t answer_ms)
{
	struct store_conf conf = { .url = t->url, .readers = 2, .wait_ms = 30000, .answer_ms = answer_ms };
	struct err e = { 0 };
	struct store *s;

	TEST_STORE_MUST(store_open(&s, &conf, &e), e);
	return s;
}

static int work_exec(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static int work_put(struct db *tx, void *arg, struct err *e)
{
	const int64_t *id = arg;
	char name[32];

	(void)str_fmt(name, sizeof name, "n%lld", (long long)*id);
	return db_exec(tx, sql_put, e, bind_i(*id), bind_s(name)) < 0 ? -1 : 0;
}

static int64_t number(struct store *s, const char *sql)
{
	struct err e = { 0 };
	struct query *q;
	struct db *db;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(s, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql, &e), e);
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
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_exec, (void *)(uintptr_t)sql_make, &e), e);
	for (int64_t id = 1; id <= 2; id++)
		TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_put, &id, &e), e);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	test_store_close(*state);
	free(*state);
	return 0;
}

/* Adds to both rows, in this order, and lets the other one take its first in between. */
struct pair {
	struct store *store;
	int64_t first, second;
	pthread_barrier_t *met;
	int runs, rc;
};

static int work_both(struct db *tx, void *arg, struct err *e)
{
	struct pair *p = arg;

	if (db_exec(tx, sql_add, e, bind_i(p->first)) < 0)
		return -1;
	if (p->runs++ == 0)
		pthread_barrier_wait(p->met);
	return db_exec(tx, sql_add, e, bind_i(p->second)) < 0 ? -1 : 0;
}

static void *work_pair(void *arg)
{
	struct pair *p = arg;

	p->rc = store_write(p->store, STORE_OPERATIONAL, work_both, p, NULL);
	return NULL;
}

static void test_who_loses_a_deadlock_runs_again(void **state)
{
	struct test_store *t = *state;
	pthread_barrier_t met;
	struct store *other = open_another(t, 0);
	struct pair a = { .store = t->store, .first = 1, .second = 2, .met = &met };
	struct pair b = { .store = other, .first = 2, .second = 1, .met = &met };
	pthread_t thread;

	pthread_barrier_init(&met, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, work_pair, &a), 0);
	(void)work_pair(&b);
	pthread_join(thread, NULL);
	assert_int_equal(a.rc, 0);
	assert_int_equal(b.rc, 0);
	assert_true(a.runs + b.runs >= 3); /* on a busy machine both may be told, and then both run again */
	assert_int_equal(number(t->store, sql_sum), 4);
	store_close(other);
	pthread_barrier_destroy(&met);
}

static int work_plans(struct db *tx, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, "SELECT current_setting('plan_cache_mode')", e) != 0)
		return -1;
	rc = query_next(q, e);
	*(bool *)arg = rc == 1 && str_eq(query_text(q, 0), "force_generic_plan");
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static void test_writers_plan_a_statement_once(void **state)
{
	const struct test_store *t = *state;
	struct err e = { 0 };
	bool once = false;
	struct db *db;

	for (int class = STORE_LOGGED; class <= STORE_OPERATIONAL; class ++) {
		TEST_STORE_MUST(store_write(t->store, (enum store_class) class, work_plans, &once, &e), e);
		assert_true(once);
	}
	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(work_plans(db, &once, &e), e);
	assert_false(once); /* searches and lists are better off with what they look for */
	store_read_end(db);
}

static void test_a_statement_that_takes_too_long_is_ended(void **state)
{
	struct test_store *t = *state;
	struct store *s = open_another(t, 3000);
	struct err e = { 0 };
	struct query *q;
	struct db *db;

	TEST_STORE_MUST(store_read_begin(s, &db, &e), e);
	assert_int_equal(db_query(db, &q, sql_sleep, &e), -1);
	assert_int_equal(e.code, ERR_TIMEOUT);
	store_read_end(db);
	assert_int_equal(store_ping(s, &e), 0);
	store_close(s);
}

static void test_sessions_that_were_ended_are_not_noticed(void **state)
{
	struct test_store *t = *state;
	int64_t id = 10;
	struct err e = { 0 };

	assert_int_equal(number(t->store, sql_sum), 0);
	test_postgres_run(t->url, sql_end_others);
	assert_int_equal(number(t->store, sql_sum), 0);
	test_postgres_run(t->url, sql_end_others);
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_put, &id, &e), e);
}

/* What was read stays true: a reader whose session ends in between is told. */
static void test_a_reader_in_the_middle_is_told(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	struct query *q;
	struct db *db;

	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql_sum, &e), e);
	query_end(q);
	test_postgres_run(t->url, sql_end_others);
	assert_int_equal(db_query(db, &q, sql_sum, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	store_read_end(db);
	assert_int_equal(number(t->store, sql_sum), 0);
}

static int work_go_on(struct db *tx, void *arg, struct err *e)
{
	int64_t id = 1;

	(void)arg;
	(void)e;
	(void)!work_put(tx, &id, NULL); /* is there */
	return 0;
}

/* Its session ends in its middle, as often as that. */
struct losing {
	const struct test_store *store;
	int times, runs;
};

static int work_lose(struct db *tx, void *arg, struct err *e)
{
	struct losing *l = arg;
	int64_t id = 20;

	if (work_put(tx, &id, e) != 0)
		return -1;
	if (l->runs++ < l->times)
		test_postgres_run(l->store->url, sql_end_others);
	id++;
	return work_put(tx, &id, e);
}

static void test_a_write_whose_session_ends_is_done_in_another(void **state)
{
	struct test_store *t = *state;
	struct losing l = { t, 2, 0 };
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_lose, &l, &e), e);
	assert_int_equal(l.runs, 3);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t WHERE id IN (20, 21)"), 2);
}

static void test_writes_that_cannot_be_are_refused_whole(void **state)
{
	struct test_store *t = *state;
	struct losing always = { t, 100, 0 };
	int64_t id = 1;
	struct err e = { 0 };

	assert_int_equal(store_write(t->store, STORE_LOGGED, work_put, &id, &e), -1);
	assert_int_equal(e.code, ERR_ALREADY_EXISTS);
	assert_string_equal(e.field, "id");
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_go_on, NULL, &e), -1);
	assert_int_equal(e.code, ERR_INTERNAL);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_lose, &always, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_true(always.runs < 100);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t"), 2);
}

/* Puts one row, and posts another one that is there already: nobody waits for that. */
static int work_post_last(struct db *tx, void *arg, struct err *e)
{
	return work_put(tx, arg, e) != 0 ? -1 : db_post(tx, sql_put, e, bind_i(1), bind_s("posted"));
}

static int work_linger(struct db *tx, void *arg, struct err *e)
{
	(void)tx;
	(void)e;
	pthread_barrier_wait(arg); /* the writer is busy from now on ... */
	pthread_barrier_wait(arg); /* ... until the others wait for it */
	return 0;
}

struct lone {
	struct store *store;
	store_fn fn;
	void *arg;
	int rc;
	struct err e;
};

static void *work_alone(void *arg)
{
	struct lone *l = arg;

	l->rc = store_write(l->store, STORE_LOGGED, l->fn, l->arg, &l->e);
	return NULL;
}

/* Of one group: who is told that it is stored finds it there, and who failed is the one whose statement did. */
static void test_a_posted_failure_is_its_own(void **state)
{
	struct test_store *t = *state;
	int64_t ids[] = { 10, 11, 12 };
	pthread_barrier_t busy;
	struct lone all[] = { { t->store, work_linger, &busy, 0, { 0 } }, { t->store, work_put, &ids[0], 0, { 0 } },
		{ t->store, work_post_last, &ids[1], 0, { 0 } }, { t->store, work_put, &ids[2], 0, { 0 } } };
	pthread_t threads[ARRAY_LEN(all)];
	struct store_stats stats = { 0 };

	pthread_barrier_init(&busy, NULL, 2);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, work_alone, &all[i]), 0);
		if (i == 0)
			pthread_barrier_wait(&busy);
		while (store_stats(t->store, &stats), stats.queue < i)
			usleep(1000);
	}
	pthread_barrier_wait(&busy);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&busy);
	assert_int_equal(all[1].rc, 0);
	assert_int_equal(all[2].rc, -1);
	assert_int_equal(all[2].e.code, ERR_ALREADY_EXISTS);
	assert_int_equal(all[3].rc, 0);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t WHERE id IN (10, 12)"), 2);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t WHERE id = 11"), 0);
}

/* ---- a server that does not answer --------------------------------------------------------------------------------- */

#define LARGE 4000

/* More than the socket takes, to a session that does not read. */
static int work_send_to_nobody(struct db *tx, void *arg, struct err *e)
{
	char name[LARGE + 1];
	struct query *q;
	pid_t *pid = arg;
	int64_t first = 99; /* whose statement is prepared then: the others are only sent */

	if (work_put(tx, &first, e) != 0 || db_query(tx, &q, "SELECT pg_backend_pid()", e) != 0 ||
		query_next(q, e) != 1)
		return -1;
	*pid = (pid_t)query_int(q, 0);
	query_end(q);
	assert_int_equal(kill(*pid, SIGSTOP), 0);
	memset(name, 'x', LARGE);
	name[LARGE] = '\0';
	for (int64_t id = 100; id < 300; id++) {
		(void)str_fmt(name, sizeof name, "%lld", (long long)id);
		name[strlen(name)] = 'x';
		if (db_post(tx, sql_put, e, bind_i(id), bind_s(name)) != 0)
			return -1;
	}
	return db_exec(tx, sql_add, e, bind_i(1)) < 0 ? -1 : 0;
}

static void test_sending_has_its_limit_of_time(void **state)
{
	struct test_store *t = *state;
	struct store *s = open_another(t, 300);
	struct err e = { 0 };
	pid_t pid = 0;

	alarm(60); /* what hangs is not waited for */
	assert_int_equal(store_write(s, STORE_OPERATIONAL, work_send_to_nobody, &pid, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	alarm(0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	store_close(s);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t"), 2);
}

/* ---- a COMMIT that takes longer than anybody waits for it --------------------------------------------------------- */

/* What is stored last waits while it is made durable, as with a disk or a standby that does not answer. */
#define SQL_SLOW(seconds)                                                                                      \
	"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(" seconds          \
	"); RETURN NULL; END'; "                                                                               \
	"CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE " \
	"FUNCTION "                                                                                            \
	"slow()"

/* Nobody may call it undone while it goes on. */
static void test_a_slow_commit_is_awaited(void **state)
{
	struct test_store *t = *state;
	struct store *s = open_another(t, 2000);
	struct err e = { 0 };
	int64_t id = 30;

	test_postgres_run(t->url, SQL_SLOW("5"));
	TEST_STORE_MUST(store_write(s, STORE_LOGGED, work_put, &id, &e), e);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t WHERE id = 30"), 1);
	store_close(s);
}

/* How many sessions have come to their sleep. */
static int asleep(const char *url)
{
	PGconn *pg = PQconnectdb(url);
	PGresult *r = PQexec(
		pg, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'");
	const int n = PQntuples(r);

	PQclear(r);
	PQfinish(pg);
	return n;
}

static void crash(const char *url)
{
	PGconn *pg = PQconnectdb(url);

	PQsetNoticeProcessor(pg, test_postgres_quiet, NULL);
	PQclear(PQexec(pg, "COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'"));
	PQfinish(pg);
}

/* A server that crashed gives the number to somebody else: what it says of it is not about our transaction. */
static void test_after_a_crash_nobody_knows(void **state)
{
	struct test_store *t = *state;
	int64_t id = 31;
	struct lone l = { t->store, work_put, &id, 0, { 0 } };
	pthread_t thread;

	test_postgres_run(t->url, SQL_SLOW("60"));
	assert_int_equal(pthread_create(&thread, NULL, work_alone, &l), 0);
	while (asleep(t->url) == 0)
		usleep(10000);
	crash(t->url);
	pthread_join(thread, NULL);
	assert_int_equal(l.rc, -1);
	assert_int_equal(l.e.code, ERR_OUTCOME_UNKNOWN);
	assert_int_equal(number(t->store, "SELECT count(*) FROM t WHERE id = 31"), 0);
}

static void test_who_wants_it_alone_sees_who_is_there(void **state)
{
	struct test_store *t = *state;
	struct store_conf conf = { .url = t->url };
	struct upkeep_lock *lock = NULL, *serving = NULL;
	struct store *s = NULL;
	struct err e = { 0 };

	TEST_STORE_MUST(upkeep_lock(&serving, t->url, false, &e), e); /* as many as like */
	assert_int_equal(upkeep_lock(&lock, t->url, true, &e), -1);
	assert_int_equal(e.code, ERR_LOCKED);
	store_close(t->store);
	t->store = NULL;
	TEST_STORE_MUST(upkeep_lock(&lock, t->url, true, &e), e);
	assert_int_equal(store_open(&s, &conf, &e), -1);
	assert_int_equal(e.code, ERR_LOCKED);
	upkeep_unlock(lock);
	upkeep_unlock(serving);
	test_store_reopen(t);
}

static const struct {
	const char *what, *url;
	enum err_code code;
} bad_urls[] = {
	{ "no such parameter", "postgresql://h/x?nosuch=1", ERR_VALIDATION },
	{ "a bad escape", "postgresql://u:%zz@h/x", ERR_VALIDATION },
	{ "nobody there", "postgresql://127.0.0.1:1/x", ERR_UNAVAILABLE },
	{ "no such folder", "postgresql:///x?host=/nowhere/at/all", ERR_UNAVAILABLE },
	{ "words instead of a URL", "host=127.0.0.1", ERR_VALIDATION },
	{ "a password with a slash", "postgresql://u:secret/more@127.0.0.1:1/x", ERR_VALIDATION },
	{ "and a number before it", "postgresql://u:12/secret@127.0.0.1:1/x", ERR_VALIDATION },
	{ "a password with an at", "postgresql://u:more@secret@127.0.0.1:1/x", ERR_VALIDATION },
};

static void test_bad_urls_are_refused(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_urls); i++) {
		struct store_conf conf = { .url = bad_urls[i].url };
		struct store *s = NULL;
		struct err e = { 0 };

		if (store_open(&s, &conf, &e) != -1 || e.code != bad_urls[i].code || strstr(e.msg, "secret") != NULL) {
			print_error("%s: %s %s\n", bad_urls[i].what, err_name(e.code), e.msg);
			failed++;
		}
		store_close(s);
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sql),
		cmocka_unit_test_setup_teardown(test_who_loses_a_deadlock_runs_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writers_plan_a_statement_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_statement_that_takes_too_long_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sessions_that_were_ended_are_not_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reader_in_the_middle_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes_that_cannot_be_are_refused_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_whose_session_ends_is_done_in_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_posted_failure_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sending_has_its_limit_of_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_commit_is_awaited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_crash_nobody_knows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_wants_it_alone_sees_who_is_there, setup, teardown),
		cmocka_unit_test(test_bad_urls_are_refused),
	};

	setenv("PORTWAY_TEST_DATABASE", "postgresql", 1);
	log_init("test_postgres", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
