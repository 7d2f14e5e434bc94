/* mirror, walk, sync_log: what is kept of panels, which pages were read, how syncs are said to stand; on either database. */
#include "controld/panel/mirror.h"

#include "common/base/buf.h"
#include "common/base/log.h"
#include "controld/panel/sync_log.h"
#include "controld/panel/walk.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DAY_MS INT64_C(86400000)

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

/* ---- a transaction for each call --------------------------------------------------------------------------------------- */

struct putting {
	const struct panel_page *page;
	int64_t sync_seq;
	size_t written;
};

static int work_put(struct db *tx, void *arg, struct err *e)
{
	struct putting *p = arg;

	/* The clock stands a day before the last time that it was looked at. */
	const struct mirror_writer w = { "pterodactyl", p->sync_seq, DAY_MS * (10 - p->sync_seq) };

	return mirror_put(tx, &w, p->page, &p->written, e);
}

/* Users from..to with this name, of a page of their own. */
static struct panel_page users(int64_t from, int64_t to, const char *name)
{
	struct panel_page page = { .n = 0 };

	for (int64_t id = from; id <= to; id++) {
		struct panel_object *o = panel_page_add(&page, PANEL_USER);

		assert_non_null(o);
		o->id = id;
		(void)str_copy(o->name, sizeof o->name, name);
		o->body = json_pack("{s:I, s:s}", "id", (json_int_t)id, "username", name);
	}
	page.listed = page.n;
	page.pages = 1;
	page.total = (int64_t)page.n;
	return page;
}

static size_t put(int64_t from, int64_t to, const char *name, int64_t sync_seq)
{
	struct panel_page page = users(from, to, name);
	struct putting p = { &page, sync_seq, 0 };
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_put, &p, &e), e);
	panel_page_fini(&page);
	return p.written;
}

struct removing {
	struct mirror_removal r;
	size_t removed;
};

static int work_remove(struct db *tx, void *arg, struct err *e)
{
	struct removing *r = arg;

	return mirror_remove(tx, &r->r, &r->removed, e);
}

static size_t remove_ids(const int64_t *ids, size_t n, int64_t sync_seq, int64_t now_ms)
{
	struct removing r = { .r = { "pterodactyl", PANEL_USER, ids, n, sync_seq, now_ms } };
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_remove, &r, &e), e);
	return r.removed;
}

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	unsigned *n = arg;

	return mirror_prune(tx, 5000, 10, n, e);
}

static int work_retire(struct db *tx, void *arg, struct err *e)
{
	return mirror_retire(tx, "pelican", "", 9000, arg, e);
}

/* What a list prints. */
static char *list(struct mirror_filter f, char last[MIRROR_CURSOR_SIZE], bool *more)
{
	struct err e;
	struct db *db;
	struct buf b;
	char *text;

	buf_init(&b, 1u << 20);
	buf_u8(&b, '[');
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(mirror_print(db, &f, &b, last, more, &e), e);
	store_read_end(db);
	buf_u8(&b, ']');
	text = strdup(buf_cstr(&b));
	buf_free(&b);
	return text;
}

static size_t how_many(struct mirror_filter f)
{
	char last[MIRROR_CURSOR_SIZE];
	bool more;
	char *text = list(f, last, &more);
	json_t *all = json_loads(text, 0, NULL);
	const size_t n = json_array_size(all);

	assert_non_null(all);
	json_decref(all);
	free(text);
	return n;
}

/* Of users, and without what is not said. */
static struct mirror_filter with(struct mirror_filter f)
{
	const char **texts[] = { &f.panel, &f.text, &f.after_panel };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (*texts[i] == NULL)
			*texts[i] = "";
	if (f.kind == PANEL_LOCATION)
		f.kind = PANEL_USER;
	if (f.limit == 0)
		f.limit = 200;
	return f;
}
#define FILTER(...) with((struct mirror_filter){ __VA_ARGS__ })

/* ---- objects ------------------------------------------------------------------------------------------------------------- */

static void test_only_what_differs_is_written(void **state)
{
	(void)state;
	assert_int_equal(put(1, 10, "a", 1), 10);
	assert_int_equal(put(1, 10, "a", 2), 0);
	assert_int_equal(put(5, 12, "a", 3), 2);
	assert_int_equal(put(1, 3, "b", 4), 3);
	assert_int_equal(how_many(FILTER(.limit = 200)), 12);
	assert_int_equal(how_many(FILTER(.text = "B")), 3);
	assert_int_equal(how_many(FILTER(.text = "%")), 0);
	assert_int_equal(how_many(FILTER(.text = "_")), 0);
	assert_int_equal(how_many(FILTER(.panel = "pelican")), 0);
	assert_int_equal(how_many(FILTER(.kind = PANEL_NODE)), 0);
}

static void test_pages_of_a_list(void **state)
{
	char last[MIRROR_CURSOR_SIZE];
	bool more;

	(void)state;
	put(1, 10, "a", 1);
	free(list(FILTER(.limit = 4), last, &more));
	assert_true(more);
	assert_string_equal(last, "pterodactyl.4");
	assert_int_equal(how_many(FILTER(.after_panel = "pterodactyl", .after_id = 4)), 6);
	free(list(FILTER(.after_panel = "pterodactyl", .after_id = 6, .limit = 4), last, &more));
	assert_false(more);
	assert_string_equal(last, "pterodactyl.10");
}

static void test_gone_and_back(void **state)
{
	static const int64_t ids[] = { 2, 3, 99 };
	struct mirror_counts c;
	struct err e;
	struct db *db;
	unsigned pruned;

	(void)state;
	put(1, 5, "a", 1);
	put(3, 3, "b", 3); /* by a sync that began later: it is there */
	assert_int_equal(remove_ids(ids, 3, 2, 3000), 1);
	assert_int_equal(remove_ids(ids, 3, 2, 3000), 0);
	assert_int_equal(how_many(FILTER(.limit = 200)), 4);
	assert_int_equal(how_many(FILTER(.removed = true)), 1);
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(mirror_count(db, &c, &e), e);
	store_read_end(db);
	assert_int_equal(c.total[PANEL_USER], 4);
	assert_int_equal(put(2, 2, "a", 4), 1); /* as it was, but there again */
	assert_int_equal(how_many(FILTER(.removed = true)), 0);
	assert_int_equal(remove_ids(ids, 1, 4, 4500), 1); /* what it has written itself and has not seen again */
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_prune, &pruned, &e), e);
	assert_int_equal(pruned, 1);
	assert_int_equal(how_many(FILTER(.removed = true)), 0);
}

static void test_a_panel_that_is_gone(void **state)
{
	struct err e;
	size_t n;

	(void)state;
	put(1, 5, "a", 1);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_retire, &n, &e), e);
	assert_int_equal(n, 5);
	assert_int_equal(how_many(FILTER(.limit = 200)), 0);
}

static void test_ids(void **state)
{
	static const int64_t in[] = { 5, 1, 5, 3, 1, 1 }, out[] = { 1, 3, 5 };
	struct mirror_ids ids = { .n = 0 };
	struct err e;

	(void)state;
	mirror_ids_sort(&ids);
	assert_int_equal(ids.n, 0);
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		assert_int_equal(mirror_ids_add(&ids, in[i], &e), 0);
	mirror_ids_sort(&ids);
	assert_int_equal(ids.n, ARRAY_LEN(out));
	assert_memory_equal(ids.all, out, sizeof out);
	mirror_ids_fini(&ids);
}

/* ---- pages --------------------------------------------------------------------------------------------------------------- */

static const struct walk_key key = { "job_1", "pterodactyl" };

static const struct panel_list *list_of_users(void)
{
	const struct panel_driver *d = &panel_pterodactyl;

	for (size_t i = 0; i < d->n; i++)
		if (d->lists[i].kind == PANEL_USER)
			return &d->lists[i];
	fail();
	return NULL;
}

static int work_page(struct db *tx, void *arg, struct err *e)
{
	const int64_t number = *(const int64_t *)arg;
	struct panel_page page = users(10 * number + 1, 10 * number + 3, "a");
	struct walk_page p;
	int rc;

	page.pages = 7;
	page.missing = BIT(PANEL_EGG);
	walk_page_of(&p, list_of_users(), 0, number, &page);
	rc = walk_put(tx, &key, &p, &page, e);
	panel_page_fini(&page);
	return rc;
}

static int work_forget(struct db *tx, void *arg, struct err *e)
{
	return walk_forget_list(tx, &key, arg, e);
}

static void load(struct walk *w, struct mirror_ids *seen)
{
	struct err e;
	struct db *db;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(walk_load(db, &key, &panel_pterodactyl, w, &e), e);
	TEST_STORE_MUST(walk_seen(db, &key, PANEL_USER, seen, &e), e);
	store_read_end(db);
}

static void test_pages_that_were_read(void **state)
{
	struct mirror_ids seen = { .n = 0 };
	struct walk w = { .n = 0 };
	const struct walk_page *p;
	struct err e;

	(void)state;
	for (int64_t n = 5; n > 0; n -= 2) {
		TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_page, &n, &e), e);
		TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_page, &n, &e), e); /* again is fine */
	}
	load(&w, &seen);
	assert_int_equal(w.n, 3);
	assert_int_equal(seen.n, 9);
	assert_int_equal(seen.all[0], 11);
	assert_null(walk_find(&w, list_of_users(), 0, 2));
	assert_null(walk_find(&w, list_of_users(), 1, 3));
	assert_non_null(p = walk_find(&w, list_of_users(), 0, 3));
	assert_int_equal(p->pages, 7);
	assert_int_equal(p->missing, BIT(PANEL_EGG));
	assert_int_equal(p->own.n, 3);
	assert_int_equal(p->own.all[0], 31);
	walk_fini(&w);
	mirror_ids_fini(&seen);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_forget, (void *)(uintptr_t) "users", &e), e);
	load(&w, &seen);
	assert_int_equal(w.n + seen.n, 0);
	walk_fini(&w);
	mirror_ids_fini(&seen);
}

/* ---- logs ---------------------------------------------------------------------------------------------------------------- */

static int work_sql(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

/* The job of the test's sync, as the engine would leave it. */
static void set_job(const char *state, int64_t ended_ms)
{
	char sql[1024];
	struct err e;

	TEST_STORE_MUST(
		store_write(t.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t) "DELETE FROM jobs", &e), e);
	if (state == NULL)
		return;
	(void)str_fmt(sql, sizeof sql,
		"INSERT INTO jobs (id, tenant_id, user_id, actor, request_id, schedule_id, kind, queue, state, "
		"priority, args, "
		"created_ms, due_ms, started_ms, ended_ms, failures, failures_max, crashes, lease, holder, cancel, "
		"total, done, "
		"failed, rate, note, saved, error_code, error, log_next, version) VALUES ('job_1', '', '', '', '', '', "
		"'panel.sync', 'default', '%s', 0, '{}', 0, 0, 1, %lld, 0, 1, 0, 0, '', 0, 0, 0, 0, 2.5, '', '', '', "
		"'why it "
		"failed', 0, 1)",
		state, (long long)ended_ms);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_sql, sql, &e), e);
}

static int work_open(struct db *tx, void *arg, struct err *e)
{
	struct sync_log *s = arg;
	char id[RAND_ID_SIZE];

	(void)str_copy(s->job_id, sizeof s->job_id, "job_1");
	(void)str_copy(s->type, sizeof s->type, "full");
	if (sync_log_open(tx, s, 1000, e) != 0)
		return -1;
	(void)str_copy(id, sizeof id, s->id);
	if (sync_log_open(tx, s, 2000, e) != 0) /* there is one already */
		return -1;
	return str_eq(id, s->id) && s->created_ms == 1000 ? 0 : err_set(e, ERR_INTERNAL, NULL, "another one");
}

static void state_is(const char *id, const char *want)
{
	struct sync_log s;
	struct err e;
	struct db *db;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(sync_log_get(db, id, &s, &e), e);
	store_read_end(db);
	assert_string_equal(s.state, want);
}

static int on_settled(const struct sync_log *s, void *arg)
{
	++*(int *)arg;
	assert_string_equal(s->error, "why it failed");
	return 0;
}

static int work_settle(struct db *tx, void *arg, struct err *e)
{
	return sync_log_settle(tx, 9000, on_settled, arg, e);
}

static void test_it_stands_as_its_job_does(void **state)
{
	static const struct {
		const char *job, *want;
		int64_t ended_ms;
	} cases[] = {
		{ "queued", "PENDING", 0 },
		{ "scheduled", "PENDING", 0 },
		{ "running", "RUNNING", 0 },
		{ "dead", "FAILED", 5 },
		{ "cancelled", "CANCELLED", 5 },
		{ NULL, "FAILED", 0 },
	};
	struct sync_log s = { .created_ms = 0 };
	struct err e;
	int settled = 0;

	(void)state;
	set_job("queued", 0);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_open, &s, &e), e);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_job(cases[i].job, cases[i].ended_ms);
		state_is(s.id, cases[i].want);
	}
	set_job("running", 0);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_settle, &settled, &e), e);
	assert_int_equal(settled, 0);
	set_job("cancelled", 5);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_settle, &settled, &e), e);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_settle, &settled, &e), e);
	assert_int_equal(settled, 1);
	set_job(NULL, 0); /* the job is forgotten, how it ended is not */
	state_is(s.id, "CANCELLED");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_what_differs_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_of_a_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_panel_that_is_gone, setup, teardown),
		cmocka_unit_test(test_ids),
		cmocka_unit_test_setup_teardown(test_pages_that_were_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_stands_as_its_job_does, setup, teardown),
	};

	log_init("test_mirror", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
