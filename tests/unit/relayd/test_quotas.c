/* quotas: what is asked for and when, what an answer changes, when an account is over, and what passes alone. */
#include "relayd/limit/quotas.h"

#include "common/base/macros.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct quotas *quotas;
static struct allowance *a;
static unsigned lows, told;
static bool told_over;

static void on_low(void *arg)
{
	(void)arg;
	lows++;
}

static void on_told(const struct grant_item *g, bool over, void *arg)
{
	(void)arg;
	assert_string_equal(g->account, "usr_1");
	told++;
	told_over = over;
}

static int set_up(void **state)
{
	(void)state;
	lows = told = 0;
	assert_int_equal(quotas_new(&quotas, 1000, on_low, NULL), 0);
	a = quotas_get(quotas, "usr_1");
	assert_non_null(a);
	assert_ptr_equal(quotas_get(quotas, "usr_1"), a);
	assert_null(quotas_get(quotas, ""));
	assert_null(quotas_get(NULL, "usr_1"));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	quotas_free(quotas);
	return 0;
}

static struct msg_spend spend;

static uint32_t ask(uint64_t now_ms)
{
	spend.n = 0;
	quotas_ask(quotas, now_ms, &spend);
	return spend.n;
}

static void answer(uint64_t limit, uint64_t now_ms)
{
	static struct msg_grant m;

	m = (struct msg_grant){ .n = 1 };
	str_copy(m.items[0].account, sizeof m.items[0].account, "usr_1");
	m.items[0].limit = limit;
	m.items[0].used_up = limit == 0;
	quotas_take(quotas, &m, now_ms, on_told, NULL);
}

static void pass(size_t n)
{
	assert_int_equal(allowance_take(a, n), n);
	allowance_count(a, n);
}

static void test_slices(void **state)
{
	(void)state;
	assert_int_equal(ask(0), 0); /* nobody wants any yet */
	assert_int_equal(allowance_take(a, 10), 0);
	assert_int_equal(lows, 1);
	assert_true(quotas_waiting(quotas));
	assert_int_equal(ask(0), 1);
	assert_int_equal(spend.items[0].held, 0);
	answer(1000, 0);
	assert_false(quotas_waiting(quotas));
	pass(400);
	assert_int_equal(lows, 1);
	pass(200); /* more than half of it */
	assert_int_equal(lows, 2);
	quotas_mark(quotas);
	pass(100); /* not in that report */
	quotas_settle(quotas);
	assert_int_equal(ask(0), 1);
	assert_int_equal(spend.items[0].held, 1000);
	assert_int_equal(spend.items[0].settled, 600);
	answer(2000, 0);
	pass(1300);
	assert_int_equal(allowance_take(a, 1), 0);
	assert_int_equal(told, 0);
}

static void test_the_end(void **state)
{
	(void)state;
	(void)allowance_take(a, 1);
	assert_int_equal(ask(0), 1);
	answer(1000, 0);
	pass(1000);
	assert_int_equal(ask(10), 1);
	answer(0, 10); /* controld did not know that all of it has passed */
	assert_false(allowance_is_over(a));
	quotas_mark(quotas);
	quotas_settle(quotas);
	assert_int_equal(ask(20), 1);
	answer(0, 20);
	assert_true(allowance_is_over(a));
	assert_true(told == 1 && told_over);
	assert_int_equal(ask(4000), 0); /* not all the time */
	assert_int_equal(ask(6000), 1);
	answer(3000, 6000);
	assert_false(allowance_is_over(a));
	assert_true(told == 2 && !told_over);
	pass(500);
}

/* What little is left may be spent before it is over. */
static void test_some_left(void **state)
{
	(void)state;
	(void)allowance_take(a, 1);
	assert_int_equal(ask(0), 1);
	answer(1000, 0);
	pass(600);
	quotas_mark(quotas);
	quotas_settle(quotas);
	assert_int_equal(ask(0), 1);
	answer(0, 0);
	assert_false(allowance_is_over(a));
	assert_int_equal(ask(500), 0);
	pass(400);
	assert_int_equal(ask(1500), 1);
}

static void test_alone(void **state)
{
	(void)state;
	(void)allowance_take(a, 1);
	assert_int_equal(ask(0), 1);
	quotas_alone(quotas);
	pass(1000);
	assert_int_equal(allowance_take(a, 1), 0); /* that much and no more */
	quotas_alone(quotas);
	assert_int_equal(allowance_take(a, 1), 0);
	answer(500, 0); /* less than was spent meanwhile */
	assert_int_equal(allowance_take(a, 1), 0);
	assert_int_equal(ask(0), 1);
	answer(2000, 0);
	pass(1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slices, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_some_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
