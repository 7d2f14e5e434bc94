/* How an agent stands with targets: failures, words of its own, and what is forgotten. */
#include "relayd/tunnel/standing.h"

#include "common/base/macros.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static struct standings all;

static int set_up(void **state)
{
	(void)state;
	standings_init(&all);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	standings_fini(&all);
	return 0;
}

static void test_failures_in_a_row(void **state)
{
	(void)state;
	assert_int_equal(standings_rank(&all, "map_a", 10 * S), STANDING_GOOD);
	standings_failed(&all, "map_a", 10 * S);
	assert_int_equal(standings_rank(&all, "map_a", 11 * S - 1), STANDING_DOUBTED);
	assert_int_equal(standings_rank(&all, "map_b", 10 * S), STANDING_GOOD);
	assert_int_equal(standings_rank(&all, "map_a", 11 * S), STANDING_GOOD);
	standings_failed(&all, "map_a", 11 * S);
	assert_int_equal(standings_rank(&all, "map_a", 13 * S - 1), STANDING_DOUBTED);
	for (unsigned i = 0; i < 100; i++)
		standings_failed(&all, "map_a", 20 * S);
	assert_int_equal(standings_rank(&all, "map_a", 50 * S - 1), STANDING_DOUBTED);
	assert_int_equal(standings_rank(&all, "map_a", 50 * S), STANDING_GOOD);
	standings_reached(&all, "map_a");
	assert_null(standings_get(&all, "map_a"));
}

static void test_what_it_says(void **state)
{
	(void)state;
	assert_false(standings_say(&all, "map_a", false, "nobody asked"));
	assert_true(standings_check(&all, "map_a"));
	assert_int_equal(standings_rank(&all, "map_a", S), STANDING_UNTOLD);
	assert_true(standings_say(&all, "map_a", false, "connection refused"));
	assert_false(standings_say(&all, "map_a", false, "connection refused"));
	assert_int_equal(standings_rank(&all, "map_a", S), STANDING_DOWN);
	assert_string_equal(standings_get(&all, "map_a")->reason, "connection refused");
	standings_failed(&all, "map_a", S);
	assert_int_equal(standings_rank(&all, "map_a", S), STANDING_DOWN);
	assert_true(standings_say(&all, "map_a", true, ""));
	assert_int_equal(standings_rank(&all, "map_a", S), STANDING_GOOD);
	standings_reached(&all, "map_a");
	assert_non_null(standings_get(&all, "map_a"));
	standings_forget(&all, "map_a");
	assert_null(standings_get(&all, "map_a"));
}

static void test_limit(void **state)
{
	char id[FRAME_ID_SIZE];

	(void)state;
	for (unsigned i = 0; i < STANDINGS_MAX; i++) {
		str_fmt(id, sizeof id, "map_%u", i);
		standings_failed(&all, id, S);
	}
	assert_false(standings_check(&all, "one too many"));
	standings_failed(&all, "one too many", S);
	assert_int_equal(standings_rank(&all, "one too many", S), STANDING_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_failures_in_a_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_it_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
