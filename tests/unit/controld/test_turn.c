/* turn: who asks a panel after another process waits until that one's requests are out of every window. */
#include "controld/panel/turn.h"

#include "common/base/log.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WINDOW 1000

static struct test_store t;

static uint64_t begin(const char *who, const char *slot, int64_t now_ms)
{
	const struct turn turn = { t.store, slot, who, WINDOW };
	uint64_t hold_ms = 77;
	struct err e;

	TEST_STORE_MUST(turn_begin(&turn, now_ms, &hold_ms, &e), e);
	return hold_ms;
}

static void end(const char *who, const char *slot, int64_t now_ms)
{
	const struct turn turn = { t.store, slot, who, WINDOW };
	struct err e;

	TEST_STORE_MUST(turn_end(&turn, now_ms, &e), e);
}

static void in_range(uint64_t got, uint64_t least)
{
	assert_in_range(got, least, least + 100);
}

static void one_after_the_other(void **state)
{
	(void)state;
	assert_int_equal(begin("a", "game", 10000), 0); /* the first ever */
	end("a", "game", 11000);
	assert_int_equal(begin("a", "game", 11001), 0); /* it remembers what it sent */
	end("a", "game", 12000);
	in_range(begin("b", "game", 12300), 700);
	end("b", "game", 12300); /* it was told to stop while it waited: its own end counts */
	in_range(begin("a", "game", 12400), 900);
	end("a", "game", 13000);
	assert_int_equal(begin("b", "game", 15000), 0);
	assert_int_equal(begin("b", "virtfusion", 15000), 0); /* another panel */
}

static void who_did_not_end_was_killed(void **state)
{
	(void)state;
	assert_int_equal(begin("a", "game", 10000), 0);
	in_range(begin("b", "game", 99000), 1000); /* a lease later */
	end("a", "game", 99001);                   /* it only was frozen: it says nothing about b's */
	in_range(begin("c", "game", 120000), 1000);
}

static void clocks_that_do_not_agree(void **state)
{
	(void)state;
	assert_int_equal(begin("a", "game", 10000), 0);
	end("a", "game", 90000);
	in_range(begin("b", "game", 20000), 1000); /* never longer than a window */
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_after_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(who_did_not_end_was_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(clocks_that_do_not_agree, setup, teardown),
	};

	log_init("test_turn", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
