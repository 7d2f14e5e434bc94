#include "controld/store/store.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char sql_make[] = "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, parent BIGINT REFERENCES t(id))";
static const char sql_insert[] = "INSERT INTO t(id, v) VALUES (?1, ?2)";
static const char sql_count[] = "SELECT count(*) FROM t";
static const char sql_all[] = "SELECT id, v FROM t ORDER BY id";

static int work_exec(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

struct row {
	int64_t id;
	const char *v;
	int fail; /* after the insert */
};

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	const struct row *r = arg;

	if (db_exec(tx, sql_insert, e, bind_i(r->id), bind_s(r->v)) < 0)
		return -1;
	return r->fail ? err_set(e, ERR_FORBIDDEN, NULL, "asked to fail") : 0;
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
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_exec, (void *)(uintptr_t)sql_make, &e), e);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	test_store_close(*state);
	free(*state);
	return 0;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static const char sql_values[] = "SELECT CAST(?1 AS TEXT), CAST(?2 AS BIGINT), CAST(?3 AS DOUBLE PRECISION), CAST(?4 "
				 "AS BLOB), CAST(?5 AS TEXT), "
				 "CAST(?6 AS BLOB)";

static void test_values_come_back(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	struct query *q;
	struct db *db;
	const void *p;
	int64_t ints[2];
	size_t n;

	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql_values, &e, bind_s("text"), bind_i(INT64_MIN), bind_d(0.5),
				bind_b("a\0b", 3), bind_null(), bind_b(NULL, 0)),
		e);
	assert_int_equal(query_next(q, &e), 1);
	assert_string_equal(query_text(q, 0), "text");
	assert_true(query_int(q, 1) == INT64_MIN);
	assert_true(query_real(q, 2) == 0.5);
	p = query_blob(q, 3, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(p, "a\0b", 3);
	assert_true(query_is_null(q, 4));
	assert_null(query_text(q, 4));
	query_ints(q, 1, 1, ints);
	query_ints(q, 4, 1, ints + 1);
	assert_true(ints[0] == INT64_MIN && ints[1] == 0);
	assert_false(query_is_null(q, 5));
	assert_int_equal(query_next(q, &e), 0);
	query_end(q);
	store_read_end(db);
}

static const struct {
	const char *what, *sql;
	int args;
	enum err_code code;
} bad_statements[] = {
	{ "wrong number of values", "SELECT ?1", 0, ERR_INTERNAL },
	{ "syntax", "SELEKT 1", 0, ERR_INTERNAL },
	{ "two statements", "SELECT 1; SELECT 2", 0, ERR_INTERNAL },
	{ "empty", "", 0, ERR_INTERNAL },
	{ "a string in double quotes", "SELECT \"nothing\"", 0, ERR_INTERNAL },
	{ "another file", "ATTACH 'x.db' AS x", 0, ERR_INTERNAL },
	{ "an extension", "SELECT load_extension('x')", 0, ERR_INTERNAL },
	{ "a write where reading is lent", "DELETE FROM t", 0, ERR_STORAGE },
};

static void test_bad_statements_are_refused(void **state)
{
	struct test_store *t = *state;
	struct db *db;
	struct err e = { 0 };
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(bad_statements); i++) {
		err_clear(&e);
		TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
		if (db_exec(db, bad_statements[i].sql, &e) != -1 || e.code != bad_statements[i].code) {
			print_error("%s: %s %s\n", bad_statements[i].what, err_name(e.code), e.msg);
			failed++;
		}
		store_read_end(db);
	}
	assert_int_equal(failed, 0);
}

static void test_constraints_have_names(void **state)
{
	struct test_store *t = *state;
	static const char orphan[] = "INSERT INTO t(id, parent) VALUES (9, 1000)";
	struct err e = { 0 };

	assert_int_equal(insert(t->store, 1, "a", &e), 0);
	assert_int_equal(insert(t->store, 1, "a", &e), -1);
	assert_int_equal(e.code, ERR_ALREADY_EXISTS);
	assert_string_equal(e.field, "id");
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_exec, (void *)(uintptr_t)orphan, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

static void test_a_failed_function_is_undone_alone(void **state)
{
	struct test_store *t = *state;
	struct row bad = { .id = 2, .v = "b", .fail = 1 };
	struct err e = { 0 };

	assert_int_equal(insert(t->store, 1, "a", &e), 0);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_insert, &bad, &e), -1);
	assert_int_equal(e.code, ERR_FORBIDDEN);
	assert_int_equal(insert(t->store, 3, "c", &e), 0);
	assert_int_equal(count_of(t->store), 2);
}

static void test_a_reader_keeps_its_snapshot(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	struct query *q;
	struct db *db;

	assert_int_equal(insert(t->store, 1, "a", &e), 0);
	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	for (int round = 0; round < 2; round++) {
		TEST_STORE_MUST(db_query(db, &q, sql_count, &e), e);
		assert_int_equal(query_next(q, &e), 1);
		assert_int_equal(query_int(q, 0), 1);
		query_end(q);
		assert_int_equal(insert(t->store, 10 + round, "later", &e), 0);
	}
	store_read_end(db);
	assert_int_equal(count_of(t->store), 3);
}

/* The same statement inside itself, and one that a careless caller left open. */
static void test_statements_nest_and_are_closed(void **state)
{
	struct test_store *t = *state;
	struct query *outer, *inner;
	struct err e = { 0 };
	struct db *db;
	int pairs = 0;

	for (int i = 0; i < 3; i++)
		assert_int_equal(insert(t->store, i, "x", &e), 0);
	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &outer, sql_all, &e), e);
	while (query_next(outer, &e) == 1) {
		TEST_STORE_MUST(db_query(db, &inner, sql_all, &e), e);
		while (query_next(inner, &e) == 1)
			pairs++;
		query_end(inner);
	}
	assert_int_equal(pairs, 9);
	store_read_end(db); /* outer is still open */
	assert_int_equal(count_of(t->store), 3);
}

#define POSTED 300

static int work_post(struct db *tx, void *arg, struct err *e)
{
	const struct row *r = arg;

	for (int64_t i = 0; i < POSTED; i++)
		if (db_post(tx, sql_insert, e, bind_i(r->id + i), bind_s(r->v)) != 0)
			return -1;
	return r->fail ? db_exec(tx, sql_count, e) < 0 ? -1 : 0 : 0;
}

/* What nobody waits for is done all the same; what of it fails undoes the function, at the latest with what follows. */
static void test_posted_statements(void **state)
{
	struct test_store *t = *state;
	struct row good = { .id = 1000, .v = "posted" }, bad = { .id = 1000 + POSTED - 1, .v = "again", .fail = 1 };
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_post, &good, &e), e);
	assert_int_equal(count_of(t->store), POSTED);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_post, &bad, &e), -1);
	assert_int_equal(e.code, ERR_ALREADY_EXISTS);
	assert_int_equal(insert(t->store, 1, "a", &e), 0);
	assert_int_equal(count_of(t->store), POSTED + 1);
}

static int work_write_again(struct db *tx, void *arg, struct err *e)
{
	(void)tx;
	return insert(arg, 99, "inner", e);
}

/* ---- one statement many times ------------------------------------------------------------------------------------ */

#define MANY 700 /* more than one flight has room for */

struct many {
	struct bind values[MANY][2];
	size_t n, stop_at;
	int64_t ids[MANY], rows[MANY];
};

static const char sql_put[] = "INSERT INTO t(id, v) VALUES (?1, ?2) RETURNING id";
static const char sql_near[] =
	"SELECT id FROM t WHERE id BETWEEN ?1 AND CAST(?1 AS BIGINT) + CAST(?2 AS BIGINT) ORDER BY id";

static int on_row(void *arg, size_t i, struct query *q, struct err *e)
{
	struct many *m = arg;

	m->ids[i] = query_int(q, 0);
	m->rows[i]++;
	return i == m->stop_at ? err_set(e, ERR_FORBIDDEN, NULL, "enough") : 0;
}

static int each(struct db *db, const char *sql, struct many *m, struct err *e)
{
	const struct db_each all = { sql, m->values[0], 2, m->n, on_row, m };

	return db_each(db, &all, e);
}

static int work_put_many(struct db *tx, void *arg, struct err *e)
{
	if (db_post(tx, sql_insert, e, bind_i(-1), bind_s("goes along")) != 0)
		return -1;
	return each(tx, sql_put, arg, e);
}

static struct many *many_rows(void)
{
	struct many *m = calloc(1, sizeof *m);

	m->n = MANY;
	m->stop_at = SIZE_MAX;
	for (size_t i = 0; i < MANY; i++) {
		m->values[i][0] = bind_i((int64_t)i * 2);
		m->values[i][1] = bind_s("v");
	}
	return m;
}

static void test_one_statement_many_times(void **state)
{
	const struct test_store *t = *state;
	struct many *m = many_rows();
	struct err e = { 0 };
	struct db *db;

	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_put_many, m, &e), e);
	assert_int_equal(count_of(t->store), MANY + 1);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(m->ids[i], 2 * i);
		assert_int_equal(m->rows[i], 1);
		m->rows[i] = 0;
		m->values[i][1] = bind_i((int64_t)i % 2 * 2); /* every other one finds its neighbour, too */
	}
	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(each(db, sql_near, m, &e), e);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(m->rows[i], i % 2 == 1 && i + 1 < MANY ? 2 : 1);
	m->stop_at = 300;
	assert_int_equal(each(db, sql_near, m, &e), -1);
	assert_int_equal(e.code, ERR_FORBIDDEN);
	m->n = 0;
	TEST_STORE_MUST(each(db, sql_near, m, &e), e);
	store_read_end(db);
	free(m);
}

static void test_many_times_or_not_at_all(void **state)
{
	const struct test_store *t = *state;
	struct many *m = many_rows();
	struct err e = { 0 };

	m->values[MANY - 1][0] = bind_i(4);
	assert_int_equal(store_write(t->store, STORE_OPERATIONAL, work_put_many, m, &e), -1);
	assert_int_equal(e.code, ERR_ALREADY_EXISTS);
	assert_int_equal(count_of(t->store), 0);
	m->n = 2;
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_put_many, m, &e), e);
	assert_int_equal(count_of(t->store), 3);
	free(m);
}

static void test_a_write_inside_a_write_is_refused(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };

	assert_int_equal(store_write(t->store, STORE_LOGGED, work_write_again, t->store, &e), -1);
	assert_int_equal(e.code, ERR_INTERNAL);
	assert_int_equal(count_of(t->store), 0);
}

/* ---- group commit and the queue ---------------------------------------------------------------------------------- */

#define WRITERS        8
#define ROWS_OF_WRITER 100

struct writers {
	struct store *store;
	int index;
	int written, refused;
};

static void *work_many(void *arg)
{
	struct writers *w = arg;

	for (int i = 0; i < ROWS_OF_WRITER; i++) {
		struct row r = { .id = w->index * 1000 + i, .v = "row", .fail = i % 10 == 9 };
		struct err e = { 0 };
		enum store_class class = i % 2 ? STORE_LOGGED : STORE_OPERATIONAL;

		if (store_write(w->store, class, work_insert, &r, &e) == 0)
			w->written++;
		else if (e.code == ERR_FORBIDDEN)
			w->refused++;
	}
	return NULL;
}

static void test_many_writers_share_commits(void **state)
{
	struct test_store *t = *state;
	pthread_t threads[WRITERS];
	struct writers w[WRITERS];
	struct store_stats before, after;

	store_stats(t->store, &before);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writers){ .store = t->store, .index = i };
		assert_int_equal(pthread_create(&threads[i], NULL, work_many, &w[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].written, ROWS_OF_WRITER * 9 / 10);
		assert_int_equal(w[i].refused, ROWS_OF_WRITER / 10);
	}
	store_stats(t->store, &after);
	assert_int_equal(count_of(t->store), WRITERS * ROWS_OF_WRITER * 9 / 10);
	assert_int_equal(after.writes - before.writes, WRITERS * ROWS_OF_WRITER * 9 / 10);
	assert_int_equal(after.failed - before.failed, WRITERS * ROWS_OF_WRITER / 10);
	assert_true(after.commits - before.commits <= after.writes - before.writes);
	assert_int_equal(after.queue, 0);
}

/* A gate holds the writer, so that what queues behind it is known. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool entered, open;
	struct store *store;
};

static int work_gate(struct db *tx, void *arg, struct err *e)
{
	struct gate *g = arg;

	(void)tx;
	(void)e;
	pthread_mutex_lock(&g->lock);
	g->entered = true;
	pthread_cond_broadcast(&g->changed);
	while (!g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static void *work_hold(void *arg)
{
	struct gate *g = arg;
	struct err e = { 0 };

	while (store_write(g->store, STORE_LOGGED, work_gate, g, &e) != 0)
		assert_int_equal(
			e.code, ERR_OVERLOADED); /* the writer was too slow for a short wait: it did not enter */
	return NULL;
}

static void gate_close(struct gate *g, struct store *s, pthread_t *holder)
{
	*g = (struct gate){ .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .store = s };
	assert_int_equal(pthread_create(holder, NULL, work_hold, g), 0);
	pthread_mutex_lock(&g->lock);
	while (!g->entered)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g, pthread_t holder)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
	pthread_join(holder, NULL);
}

static void *work_insert_thread(void *arg)
{
	struct writers *w = arg;

	w->written = insert(w->store, w->index, "grouped", NULL) == 0;
	return NULL;
}

static void test_what_queues_shares_one_commit(void **state)
{
	struct test_store *t = *state;
	struct store_stats before, after;
	struct writers w[WRITERS];
	pthread_t threads[WRITERS], holder;
	struct gate g;

	gate_close(&g, t->store, &holder);
	store_stats(t->store, &before);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writers){ .store = t->store, .index = i };
		assert_int_equal(pthread_create(&threads[i], NULL, work_insert_thread, &w[i]), 0);
	}
	do
		store_stats(t->store, &after);
	while (after.queue < WRITERS);
	gate_open(&g, holder);
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].written, 1);
	}
	store_stats(t->store, &after);
	assert_int_equal(after.commits - before.commits, 2); /* the gate's own, and the group's */
	assert_int_equal(count_of(t->store), WRITERS);
}

static void test_a_full_queue_and_a_long_wait_are_refused(void **state)
{
	struct test_store other;
	struct store_conf conf = { .queue_max = 1, .wait_ms = 50, .readers = 1 };
	struct writers waiting;
	struct store_stats before, stats;
	pthread_t holder, waiter;
	struct gate g;
	struct err e = { 0 };

	(void)state;
	test_store_folder(&other);
	test_store_reopen(&other); /* with patience */
	TEST_STORE_MUST(store_write(other.store, STORE_OPERATIONAL, work_exec, (void *)(uintptr_t)sql_make, &e), e);
	store_close(other.store);
	conf.url = other.url;
	TEST_STORE_MUST(store_open(&other.store, &conf, &e), e);
	gate_close(&g, other.store, &holder);
	store_stats(other.store, &before);
	assert_int_equal(insert(other.store, 1, "too late", &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	waiting = (struct writers){ .store = other.store, .index = 2 };
	do {
		/* it may be refused for its wait before it is seen in the queue: then again */
		assert_int_equal(pthread_create(&waiter, NULL, work_insert_thread, &waiting), 0);
		do
			store_stats(other.store, &stats);
		while (stats.queue < 1 && stats.busy < before.busy + 2);
		if (stats.queue == 1)
			break;
		pthread_join(waiter, NULL);
	} while (true);
	err_clear(&e);
	assert_int_equal(insert(other.store, 3, "no place", &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	gate_open(&g, holder);
	pthread_join(waiter, NULL);
	store_stats(other.store, &stats);
	assert_true(stats.busy >= before.busy + 2);
	assert_int_equal(count_of(other.store), waiting.written);
	test_store_close(&other);
}

/* What a load has opened is closed when it has passed, but one. */
static void test_idle_readers_are_closed(void **state)
{
	struct store_conf conf = { .readers = 4, .idle_ms = 50 };
	const uint64_t end_ms = clock_mono_ms() + 30000;
	struct test_store other;
	struct store_stats stats;
	struct db *all[4];
	struct err e = { 0 };
	uint64_t most;

	(void)state;
	test_store_folder(&other);
	conf.url = other.url;
	TEST_STORE_MUST(store_open(&other.store, &conf, &e), e);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		TEST_STORE_MUST(store_read_begin(other.store, &all[i], &e), e);
	store_stats(other.store, &stats);
	most = stats.connections;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		store_read_end(all[i]);
	do {
		TEST_STORE_MUST(store_read_begin(other.store, &all[0], &e), e);
		store_read_end(all[0]);
		store_stats(other.store, &stats);
	} while (stats.connections > most - 3 && clock_mono_ms() < end_ms);
	assert_int_equal(stats.connections, most - 3);
	test_store_close(&other);
}

static void test_readers_are_bounded(void **state)
{
	struct test_store other;
	struct store_conf conf = { .wait_ms = 20, .readers = 1 };
	struct db *one, *two;
	struct err e = { 0 };

	(void)state;
	test_store_folder(&other);
	conf.url = other.url;
	TEST_STORE_MUST(store_open(&other.store, &conf, &e), e);
	TEST_STORE_MUST(store_read_begin(other.store, &one, &e), e);
	assert_int_equal(store_read_begin(other.store, &two, &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	store_read_end(one);
	TEST_STORE_MUST(store_read_begin(other.store, &two, &e), e);
	store_read_end(two);
	test_store_close(&other);
}

/* ---- kill -9 ----------------------------------------------------------------------------------------------------- */

#define CRASH_ROUNDS 3

/* The child's writers tell each row over the pipe once it is acknowledged. */
struct crash {
	struct store *store;
	int pipe;
	int64_t first;
};

static void *work_crash(void *arg)
{
	struct crash *c = arg;

	for (int64_t id = c->first;; id++)
		if (insert(c->store, id, "acknowledged", NULL) == 0 && write(c->pipe, &id, sizeof id) != sizeof id)
			_exit(1);
	return NULL;
}

static void crash_child(struct test_store *t, int out, int round)
{
	struct crash c[4];
	pthread_t threads[4];

	test_store_reopen(t);
	for (int i = 0; i < 4; i++) {
		c[i] = (struct crash){ .store = t->store, .pipe = out, .first = round * 1000000 + i * 100000 };
		if (pthread_create(&threads[i], NULL, work_crash, &c[i]) != 0)
			_exit(1);
	}
	pause();
	_exit(0);
}

static void test_what_was_acknowledged_survives_a_kill(void **state)
{
	struct test_store *t = *state;
	static int64_t acknowledged[1 << 16];
	size_t n = 0;

	store_close(t->store);
	t->store = NULL;
	for (int round = 0; round < CRASH_ROUNDS; round++) {
		int fds[2];
		pid_t child;
		size_t until = n + 200;

		assert_int_equal(pipe(fds), 0);
		if ((child = fork()) == 0) {
			close(fds[0]);
			crash_child(t, fds[1], round);
		}
		close(fds[1]);
		while (n < ARRAY_LEN(acknowledged) &&
			read(fds[0], &acknowledged[n], sizeof(int64_t)) == sizeof(int64_t)) {
			if (++n == until)
				kill(child, SIGKILL);
		}
		waitpid(child, NULL, 0);
		close(fds[0]);
		assert_true(n >= until);
	}
	test_store_reopen(t);
	for (size_t i = 0; i < n; i++) {
		struct err e = { 0 };

		assert_int_equal(insert(t->store, acknowledged[i], "again", &e), -1);
		assert_int_equal(e.code, ERR_ALREADY_EXISTS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_acknowledged_survives_a_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_statements_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_constraints_have_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failed_function_is_undone_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reader_keeps_its_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_statements_nest_and_are_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_posted_statements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_statement_many_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_times_or_not_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_inside_a_write_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_writers_share_commits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_queues_shares_one_commit, setup, teardown),
		cmocka_unit_test(test_a_full_queue_and_a_long_wait_are_refused),
		cmocka_unit_test(test_readers_are_bounded),
		cmocka_unit_test(test_idle_readers_are_closed),
	};

	log_init("test_store", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
