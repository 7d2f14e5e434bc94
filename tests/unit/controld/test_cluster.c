#include "controld/cluster/cluster.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/cluster/member.h"
#include "controld/cluster/roll.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

/* ---- the roll ---------------------------------------------------------------------------------------------------- */

struct told {
	unsigned n;
	char last[RAND_ID_SIZE];
};

static void on_lost(const char *id, void *arg)
{
	struct told *t = arg;

	t->n++;
	str_copy(t->last, sizeof t->last, id);
}

/* One look at two rows; a beat of -1 is no row. */
static unsigned look(struct roll *r, int64_t a, int64_t b)
{
	struct told t = { .n = 0 };

	roll_begin(r);
	if (a >= 0)
		roll_see(r, "a", a);
	if (b >= 0)
		roll_see(r, "b", b);
	roll_end(r, on_lost, &t);
	return t.n;
}

static void who_stands_still_is_lost_once(void **state)
{
	struct roll r = { .n = 0 };

	(void)state;
	assert_int_equal(look(&r, 0, 0), 0);
	assert_int_equal(look(&r, 1, 1), 0);
	for (int i = 1; i < ROLL_MISSES; i++)
		assert_int_equal(look(&r, 1 + i, 1), 0);
	assert_int_equal(roll_alive(&r), 2);
	assert_int_equal(look(&r, 100, 1), 1);
	assert_int_equal(roll_alive(&r), 1);
	assert_int_equal(look(&r, 101, 1), 0); /* told once */
	assert_int_equal(look(&r, 102, 2), 0); /* it was only stopped */
	assert_int_equal(roll_alive(&r), 2);
	for (int i = 1; i < ROLL_MISSES; i++)
		assert_int_equal(look(&r, 102 + i, 2), 0);
	assert_int_equal(look(&r, 200, 2), 1); /* again */
}

/* Rows of controlds that were killed long ago: told as lost once, never counted. */
static void who_never_beats_is_not_counted(void **state)
{
	struct roll r = { .n = 0 };

	(void)state;
	assert_int_equal(look(&r, 7, 1), 0);
	assert_int_equal(roll_alive(&r), 0);
	assert_int_equal(look(&r, 8, 1), 0);
	assert_int_equal(roll_alive(&r), 1);
	for (int i = 2; i < ROLL_MISSES; i++)
		assert_int_equal(look(&r, 8 + i, 1), 0);
	assert_int_equal(look(&r, 100, 1), 1);
	assert_int_equal(roll_alive(&r), 1);
}

static void who_leaves_is_lost_at_once(void **state)
{
	struct roll r = { .n = 0 };

	(void)state;
	assert_int_equal(look(&r, 1, 1), 0);
	assert_int_equal(look(&r, 2, -1), 1);
	assert_int_equal(roll_alive(&r), 1);
	assert_int_equal(look(&r, -1, -1), 1);
	assert_int_equal(roll_alive(&r), 0);
}

static void a_slow_beat_is_a_beat(void **state)
{
	struct roll r = { .n = 0 };

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(look(&r, i / 3, i), 0);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

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

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	return member_insert(tx, arg, e);
}

static void add(const char *id, int64_t schema, int64_t seen_ms)
{
	struct member m = { .schema = schema, .seen_ms = seen_ms, .name = "other", .version = "0.0.9" };
	struct err e;

	str_copy(m.id, sizeof m.id, id);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_insert, &m, &e), e);
}

static int count_one(const struct member *m, void *arg)
{
	(void)m;
	++*(unsigned *)arg;
	return 0;
}

static unsigned members(void)
{
	unsigned n = 0;
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(member_list(db, count_one, &n, &e), e);
	store_read_end(db);
	return n;
}

static void lost_nobody(void *owner, const char *id)
{
	(void)owner, (void)id;
}

static int64_t position(void *owner)
{
	(void)owner;
	return 7;
}

static void comes_and_goes(void **state)
{
	struct cluster_conf conf = { .store = t.store,
		.self = "ctl_b",
		.name = "",
		.address = "http://127.0.0.1:1",
		.line_address = "127.0.0.1:2",
		.lost = lost_nobody,
		.position = position };
	struct cluster *c;
	struct err e;

	(void)state;
	add("ctl_a", 1, clock_wall_ms());
	conf.shared = true;
	TEST_STORE_MUST(cluster_new(&c, &conf, &e), e);
	TEST_STORE_MUST(cluster_start(c, &e), e);
	assert_int_equal(members(), 2);
	cluster_free(c);
	assert_int_equal(members(), 1);
	conf.shared = false; /* what is there can only be of a process that was killed */
	TEST_STORE_MUST(cluster_new(&c, &conf, &e), e);
	TEST_STORE_MUST(cluster_start(c, &e), e);
	assert_int_equal(members(), 1);
	cluster_free(c);
	assert_int_equal(members(), 0);
}

/* ---- rolling upgrades -------------------------------------------------------------------------------------------- */

static void upgrades_wait_for_the_old(void **state)
{
	struct migration rows[64];
	struct migration_set set = { rows, migrations_main.n + 1 };
	int newest = migrations_main.rows[migrations_main.n - 1].number;
	struct migration *next = &rows[migrations_main.n];
	struct err e = { 0 };

	(void)state;
	memcpy(rows, migrations_main.rows, migrations_main.n * sizeof rows[0]);
	*next = (struct migration){ newest + 1, "9999_next", "cccc", "", 0 };
	TEST_STORE_MUST(cluster_may_migrate(t.store, &migrations_main, &e), e);
	TEST_STORE_MUST(cluster_may_migrate(t.store, &set, &e), e); /* nobody else is there */
	add("ctl_dead", newest, clock_wall_ms() - CLUSTER_ALIVE_MS - 1000);
	TEST_STORE_MUST(cluster_may_migrate(t.store, &set, &e), e);
	add("ctl_old", newest, clock_wall_ms());
	TEST_STORE_MUST(cluster_may_migrate(t.store, &migrations_main, &e), e);
	assert_int_equal(cluster_may_migrate(t.store, &set, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_non_null(strstr(e.msg, "9999_next"));
	next->compatible = newest; /* both understand it */
	TEST_STORE_MUST(cluster_may_migrate(t.store, &set, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_stands_still_is_lost_once),
		cmocka_unit_test(who_never_beats_is_not_counted),
		cmocka_unit_test(who_leaves_is_lost_at_once),
		cmocka_unit_test(a_slow_beat_is_a_beat),
		cmocka_unit_test_setup_teardown(comes_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(upgrades_wait_for_the_old, setup, teardown),
	};

	log_init("test_cluster", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
