/* balance: who has more relays than its share gives some away, later and a few at a time. */
#include "controld/fleet/line/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

static void how_many_go(void **state)
{
	static const struct {
		const char *what;
		struct balance_view v;
		size_t go;
	} cases[] = {
		{ "alone", { 1, 100, 100, 0 }, 0 },
		{ "even", { 2, 50, 100, 0 }, 0 },
		{ "nearly even", { 2, 56, 100, 0 }, 0 },
		{ "all are here", { 2, 100, 100, 0 }, 6 },
		{ "a thousand", { 2, 1000, 1000, 0 }, 62 },
		{ "a little too many", { 2, 57, 100, 0 }, 4 },
		{ "never below the share", { 2, 15, 24, 0 }, 3 },
		{ "few relays", { 2, 3, 3, 0 }, 0 },
		{ "three controlds", { 3, 60, 90, 0 }, 4 },
		{ "none here", { 2, 0, 100, 0 }, 0 },
		{ "some cannot reach another", { 2, 100, 100, 6 }, 6 },
		{ "nobody seems to reach another", { 2, 100, 100, 7 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct balance b = { .after_ms = 1000, .controlds = cases[i].v.controlds, .least = cases[i].v.here };

		print_message("%s\n", cases[i].what);
		assert_int_equal(balance_step(&b, &cases[i].v, 5000), cases[i].go);
	}
}

static void later_and_in_steps(void **state)
{
	struct balance b = { .after_ms = 30000 };
	struct balance_view v = { 1, 100, 100, 0 };

	(void)state;
	assert_int_equal(balance_step(&b, &v, 1000), 0);
	v.controlds = 2; /* there is another one now */
	assert_int_equal(balance_step(&b, &v, 2000), 0);
	assert_int_equal(balance_step(&b, &v, 31999), 0);
	assert_int_equal(balance_step(&b, &v, 32000), 6);
	assert_int_equal(balance_step(&b, &v, 32001), 0);
	assert_int_equal(balance_step(&b, &v, 32000 + BALANCE_STEP_MS), 6);
	v.controlds = 3; /* who comes and goes starts the wait again */
	assert_int_equal(balance_step(&b, &v, 60000), 0);
	v.controlds = 2;
	assert_int_equal(balance_step(&b, &v, 91000), 0);
	/* another one has died, which nobody knows yet */
	b.next_ms = 0;
	v.here = 50;
	assert_int_equal(balance_step(&b, &v, 130000), 0);
	v.here = 100;
	assert_int_equal(balance_step(&b, &v, 130001), 0);
	assert_int_equal(balance_step(&b, &v, 160000), 0);
	assert_int_equal(balance_step(&b, &v, 160001), 6);
	b.after_ms = 0;
	assert_int_equal(balance_step(&b, &v, 900000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_many_go),
		cmocka_unit_test(later_and_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
