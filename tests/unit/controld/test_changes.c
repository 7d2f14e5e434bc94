#include "controld/store/changes.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>

#include <cmocka.h>

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

/* Appends n rows of a kind in one transaction. */
struct batch {
	const char *kind;
	int n;
	int fail; /* after the rows */
	int64_t time_ms;
	const char *object, *fields;
	int64_t last;
};

static int work_batch(struct db *tx, void *arg, struct err *e)
{
	struct batch *b = arg;
	struct change c = { .kind = b->kind,
		.op = "update",
		.actor = "system",
		.subject = "s",
		.object = b->object,
		.fields = b->fields,
		.time_ms = b->time_ms };

	for (int i = 0; i < b->n; i++)
		if (changes_append(tx, &c, &b->last, e) != 0)
			return -1;
	return b->fail ? err_set(e, ERR_FORBIDDEN, NULL, "asked to fail") : 0;
}

static int64_t append(struct store *s, const char *kind, int n)
{
	struct batch b = { .kind = kind, .n = n };
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(s, STORE_LOGGED, work_batch, &b, &e), e);
	return b.last;
}

struct seen {
	int64_t seq[64], tx[64];
	size_t n, stop_after;
	char fields[1100], object[64];
	int64_t time_ms;
};

static int on_change(const struct change *c, void *arg)
{
	struct seen *s = arg;

	s->seq[s->n] = c->seq;
	s->tx[s->n++] = c->tx;
	s->time_ms = c->time_ms;
	(void)str_copy(s->fields, sizeof s->fields, c->fields);
	(void)str_copy(s->object, sizeof s->object, c->object ? c->object : "null");
	return s->stop_after != 0 && s->n == s->stop_after;
}

static void read_log(struct store *s, int64_t after, unsigned limit, const char *kind, struct seen *out)
{
	size_t stop_after = out->stop_after;
	struct err e = { 0 };
	struct db *db;

	memset(out, 0, sizeof *out);
	out->stop_after = stop_after;
	TEST_STORE_MUST(store_read_begin(s, &db, &e), e);
	TEST_STORE_MUST(changes_read(db, after, limit, kind, on_change, out, &e), e);
	store_read_end(db);
}

static int64_t last_of(struct store *s, uint8_t log_id[CHANGES_LOG_ID_SIZE])
{
	struct err e = { 0 };
	struct db *db;
	int64_t seq;

	TEST_STORE_MUST(store_read_begin(s, &db, &e), e);
	TEST_STORE_MUST(changes_last(db, &seq, log_id, &e), e);
	store_read_end(db);
	return seq;
}

static void test_numbers_have_no_gap(void **state)
{
	struct test_store *t = *state;
	struct batch bad = { .kind = "mapping", .n = 5, .fail = 1 };
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	struct seen seen = { 0 };

	assert_int_equal(append(t->store, "mapping", 1), 1);
	assert_int_equal(append(t->store, "user", 2), 3);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_batch, &bad, NULL), -1);
	assert_int_equal(append(t->store, "mapping", 1), 4);
	read_log(t->store, 0, 100, NULL, &seen);
	assert_int_equal(seen.n, 4);
	for (size_t i = 0; i < seen.n; i++)
		assert_int_equal(seen.seq[i], i + 1);
	assert_int_equal(seen.tx[1], 2);
	assert_int_equal(seen.tx[2], 2);
	assert_int_equal(last_of(t->store, log_id), 4);
}

static const struct {
	const char *what;
	int64_t after;
	unsigned limit;
	const char *kind;
	size_t stop_after, n;
	int64_t first, last;
} reads[] = {
	/* the log: 1 (a), 2-4 (b), 5 (a), 6-9 (a) */
	{ "all", 0, 100, NULL, 0, 9, 1, 9 },
	{ "a limit at a border", 0, 4, NULL, 0, 4, 1, 4 },
	{ "a limit inside a transaction", 0, 2, NULL, 0, 4, 1, 4 },
	{ "from inside of one", 2, 1, NULL, 0, 2, 3, 4 },
	{ "limit 0 counts as 1", 0, 0, NULL, 0, 1, 1, 1 },
	{ "the end", 9, 10, NULL, 0, 0, 0, 0 },
	{ "a kind", 0, 100, "b", 0, 3, 2, 4 },
	{ "a kind with a limit", 1, 1, "a", 0, 1, 5, 5 },
	{ "a kind with a limit inside a transaction", 0, 3, "a", 0, 6, 1, 9 },
	{ "a kind that is not there", 0, 100, "c", 0, 0, 0, 0 },
	{ "stopped by the reader", 0, 100, NULL, 3, 3, 1, 3 },
};

static void test_reads_take_whole_transactions(void **state)
{
	struct test_store *t = *state;
	struct seen seen;
	int failed = 0;

	append(t->store, "a", 1);
	append(t->store, "b", 3);
	append(t->store, "a", 1);
	append(t->store, "a", 4);
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		seen.stop_after = reads[i].stop_after;
		read_log(t->store, reads[i].after, reads[i].limit, reads[i].kind, &seen);
		if (seen.n != reads[i].n ||
			(seen.n > 0 && (seen.seq[0] != reads[i].first || seen.seq[seen.n - 1] != reads[i].last))) {
			print_error("%s: %zu rows, %lld to %lld\n", reads[i].what, seen.n, (long long)seen.seq[0],
				(long long)seen.seq[seen.n ? seen.n - 1 : 0]);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

/* Steps of SQLite's machine that a statement takes when the reader is three rows behind the end. */
static int steps_near_the_end(sqlite3 *db, const char *text, int64_t end)
{
	sqlite3_stmt *stmt;
	int steps;

	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
	for (int i = 1; i <= sqlite3_bind_parameter_count(stmt); i++)
		assert_int_equal(sqlite3_bind_int64(stmt, i, i == 1 ? end - 3 : 999), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		;
	steps = sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 0);
	sqlite3_finalize(stmt);
	return steps;
}

/* Every change is followed by reads of the log's end: they may not look at what lies before. */
static void test_the_end_is_read_without_the_rest(void **state)
{
	struct test_store *t = *state;
	int64_t end = 0;
	sqlite3 *db;

	if (!str_starts(t->url, "sqlite:"))
		skip(); /* the steps are SQLite's */
	for (int i = 0; i < 10; i++)
		end = append(t->store, "a", 500);
	assert_int_equal(sqlite3_open(t->url + strlen("sqlite:"), &db), SQLITE_OK);
	for (size_t i = 0; i < changes_sql.n; i++)
		if (str_starts(changes_sql.sql[i], "SELECT") && steps_near_the_end(db, changes_sql.sql[i], end) > 500)
			fail_msg("reads the whole log: %s", changes_sql.sql[i]);
	sqlite3_close(db);
}

static void test_operational_writes_may_not_append(void **state)
{
	struct test_store *t = *state;
	struct batch b = { .kind = "mapping", .n = 1 };
	struct err e = { 0 };

	assert_int_equal(store_write(t->store, STORE_OPERATIONAL, work_batch, &b, &e), -1);
	assert_int_equal(e.code, ERR_INTERNAL);
}

static void test_a_long_object_is_cut_and_says_so(void **state)
{
	struct test_store *t = *state;
	static char object[CHANGES_OBJECT_MAX + 2];
	struct batch b = { .kind = "mapping", .n = 1, .object = object, .fields = "name" };
	struct seen seen = { 0 };
	struct err e = { 0 };

	memset(object, 'x', CHANGES_OBJECT_MAX);
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_batch, &b, &e), e);
	read_log(t->store, 0, 1, NULL, &seen);
	assert_string_equal(seen.fields, "name");
	object[CHANGES_OBJECT_MAX] = 'x';
	TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_batch, &b, &e), e);
	read_log(t->store, 1, 1, NULL, &seen);
	assert_string_equal(seen.fields, "name,cut");
	assert_string_equal(seen.object, "{}");
	assert_true(seen.time_ms > 0);
}

/* ---- wake-ups ---------------------------------------------------------------------------------------------------- */

static void on_commit(int64_t last_seq, void *arg)
{
	*(int64_t *)arg = last_seq;
}

static void test_readers_are_told_after_the_commit(void **state)
{
	struct test_store *t = *state;
	struct batch bad = { .kind = "mapping", .n = 1, .fail = 1 };
	struct batch none = { .kind = "mapping", .n = 0 };
	int64_t one = 0, two = 0;

	changes_on_commit(t->store, on_commit, &one);
	changes_on_commit(t->store, on_commit, &two);
	append(t->store, "mapping", 3);
	assert_int_equal(one, 3);
	assert_int_equal(two, 3);
	one = 0;
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_batch, &bad, NULL), -1);
	assert_int_equal(store_write(t->store, STORE_LOGGED, work_batch, &none, NULL), 0);
	assert_int_equal(one, 0);
	two = 0;
	changes_off_commit(t->store, &two);
	append(t->store, "mapping", 1);
	assert_true(one > 0);
	assert_int_equal(two, 0);
}

/* ---- the log's own life ------------------------------------------------------------------------------------------ */

struct pruning {
	struct changes_keep keep;
	int64_t removed;
	unsigned limit;
};

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	struct pruning *p = arg;

	return changes_prune(tx, &p->keep, p->limit, &p->removed, e);
}

static int64_t prune_to(struct store *s, struct changes_keep keep, unsigned limit)
{
	struct pruning p = { .keep = keep, .limit = limit };
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(s, STORE_OPERATIONAL, work_prune, &p, &e), e);
	return p.removed;
}

static int64_t prune(struct store *s, int64_t before_ms, unsigned limit)
{
	return prune_to(s, (struct changes_keep){ before_ms, INT64_MAX, 0 }, limit);
}

static void test_the_log_has_a_size(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };

	for (int i = 1; i <= 10; i++) {
		struct batch b = { .kind = "mapping", .n = 1, .time_ms = i * 1000 };

		TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_batch, &b, &e), e);
	}
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 0, 10, 99999 }, 100), 0);
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 0, 7, 99999 }, 2), 2); /* a batch */
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 0, 7, 99999 }, 2), 1);
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 0, 7, 99999 }, 2), 0);
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 0, 2, 6000 }, 100), 2);    /* 4 and 5: 6 is young */
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 8000, 2, 6000 }, 100), 2); /* but old enough */
	assert_int_equal(prune_to(t->store, (struct changes_keep){ 0, 0, 99999 }, 100), 2);   /* the newest stays */
	assert_int_equal(append(t->store, "mapping", 1), 11);
}

static void test_pruning_keeps_the_numbers(void **state)
{
	struct test_store *t = *state;
	struct err e = { 0 };
	struct db *db;
	int64_t first;

	for (int i = 1; i <= 5; i++) {
		struct batch b = { .kind = "mapping", .n = 1, .time_ms = i * 1000 };

		TEST_STORE_MUST(store_write(t->store, STORE_LOGGED, work_batch, &b, &e), e);
	}
	assert_int_equal(prune(t->store, 3000, 1), 1);
	assert_int_equal(prune(t->store, 3000, 100), 1);
	assert_int_equal(prune(t->store, 3000, 100), 0);
	TEST_STORE_MUST(store_read_begin(t->store, &db, &e), e);
	TEST_STORE_MUST(changes_first(db, &first, &e), e);
	store_read_end(db);
	assert_int_equal(first, 3);
	assert_int_equal(prune(t->store, INT64_MAX, 100), 2); /* the newest stays */
	assert_int_equal(append(t->store, "mapping", 1), 6);
}

static int work_new_log(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return changes_new_log(tx, e);
}

static void test_the_log_id_stays_until_it_is_replaced(void **state)
{
	struct test_store *t = *state;
	uint8_t first[CHANGES_LOG_ID_SIZE], again[CHANGES_LOG_ID_SIZE];
	struct err e = { 0 };

	last_of(t->store, first);
	store_close(t->store);
	test_store_reopen(t);
	last_of(t->store, again);
	assert_memory_equal(first, again, sizeof first);
	TEST_STORE_MUST(store_write(t->store, STORE_OPERATIONAL, work_new_log, NULL, &e), e);
	last_of(t->store, again);
	assert_memory_not_equal(first, again, sizeof first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers_have_no_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_take_whole_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_end_is_read_without_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_operational_writes_may_not_append, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_long_object_is_cut_and_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readers_are_told_after_the_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_log_has_a_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pruning_keeps_the_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_log_id_stays_until_it_is_replaced, setup, teardown),
	};

	log_init("test_changes", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
