/* model_reader: what the log says comes into model and roster; a log that has lost rows since is noticed, and all is as the
 * rows are. */
#include "controld/fleet/line/model_reader.h"

#include "common/base/log.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/store/changes.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct room {
	struct test_store t;
	struct roster *roster;
	struct model_reader *reader;
	unsigned told, gone; /* nodes of which the reader said something, and those that may not come any more */
};

static const struct who who = { "system", "", 1 };

static int work_found(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return group_bootstrap(tx, &who, e);
}

static int work_node(struct db *tx, void *arg, struct err *e)
{
	struct group g;
	struct node n;

	if (group_get(tx, GROUP_DEFAULT, &g, e) != 0 || node_create(tx, &n, arg, &g, &who, e) != 0)
		return -1;
	return node_bind(tx, &n, &who, e);
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct node n;

	return node_get(tx, arg, &n, e) != 0 ? -1 : node_delete(tx, &n, &who, e);
}

static int work_forget_log(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return db_exec(tx, "DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)", e) < 0 ? -1 : 0;
}

static void write_now(struct room *r, store_fn fn, const char *name)
{
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(r->t.store, STORE_LOGGED, fn, (void *)(uintptr_t)name, &e), e);
}

static void on_node(const char *id, const struct node *before, const struct node *now, void *arg)
{
	struct room *r = arg;

	(void)id;
	(void)before;
	r->told++;
	r->gone += now == NULL || now->standing != NODE_JOINED;
}

static size_t joined(struct room *r)
{
	size_t nodes, online;

	roster_count(r->roster, &nodes, &online);
	return nodes;
}

static int setup(void **state)
{
	struct room *r = calloc(1, sizeof *r);
	struct model_reader_conf c = { .changes_max = 100, .recall_max = 100, .on_node = on_node, .arg = r };
	struct err e = { 0 };

	test_store_open(&r->t);
	write_now(r, work_found, NULL);
	write_now(r, work_node, "first");
	write_now(r, work_node, "second");
	assert_int_equal(roster_new(&r->roster, 15000, &e), 0);
	c.store = r->t.store;
	c.roster = r->roster;
	TEST_STORE_MUST(model_reader_new(&r->reader, &c, &e), e);
	assert_int_equal(joined(r), 2);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct room *r = *state;

	model_reader_free(r->reader);
	roster_free(r->roster);
	test_store_close(&r->t);
	free(r);
	return 0;
}

static int catch_up(struct room *r)
{
	struct err e = { 0 };
	const int rc = model_reader_catch_up(r->reader, &e);

	assert_true(rc >= 0);
	return rc;
}

static int64_t last_change(struct room *r)
{
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	struct err e = { 0 };
	struct db *db;
	int64_t seq;

	TEST_STORE_MUST(store_read_begin(r->t.store, &db, &e), e);
	TEST_STORE_MUST(changes_last(db, &seq, log_id, &e), e);
	store_read_end(db);
	return seq;
}

static void the_log_is_followed(void **state)
{
	struct room *r = *state;

	assert_int_equal(catch_up(r), 0);
	write_now(r, work_node, "third");
	write_now(r, work_delete, "first");
	assert_int_equal(catch_up(r), 1);
	assert_int_equal(joined(r), 2);
	assert_int_equal(r->told, 2);
	assert_int_equal(r->gone, 1);
	assert_int_equal(model_revision(model_reader_model(r->reader)).seq, last_change(r));
}

static void what_the_log_has_lost_is_read_anew(void **state)
{
	struct room *r = *state;
	struct model *model = model_reader_model(r->reader);
	const uint64_t before = model_changes(model);

	write_now(r, work_delete, "first"); /* revoked */
	write_now(r, work_delete, "second");
	write_now(r, work_delete, "second"); /* and removed */
	write_now(r, work_node, "third");
	write_now(r, work_node, "fourth");
	write_now(r, work_forget_log, NULL);
	assert_int_equal(catch_up(r), 1);
	assert_int_equal(joined(r), 2);
	assert_int_equal(r->gone, 2);
	assert_ptr_equal(model_reader_model(r->reader), model); /* who holds it goes on */
	assert_int_equal(model_revision(model).seq, last_change(r));
	assert_true(model_changes(model) > before);
	write_now(r, work_node, "fifth"); /* and it follows the log again */
	r->told = 0;
	assert_int_equal(catch_up(r), 1);
	assert_int_equal(r->told, 1);
	assert_int_equal(joined(r), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_log_is_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_log_has_lost_is_read_anew, setup, teardown),
	};

	log_init("test_model_reader", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
