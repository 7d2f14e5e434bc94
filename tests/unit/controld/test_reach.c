#include "controld/store/reach.h"

#include "common/base/err.h"
#include "common/base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_while_it_is_reached_everybody_may_connect(void **state)
{
	struct reach r;
	struct err e = { 0 };

	(void)state;
	reach_init(&r);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reach_ask(&r, 1000, &e), 0);
	assert_int_equal(reach_tell(&r, NULL, 1000), reach_epoch(&r));
	reach_fini(&r);
}

static void test_while_it_is_not_one_tries_at_a_time(void **state)
{
	struct reach r;
	struct err e = { 0 };

	(void)state;
	reach_init(&r);
	assert_int_equal(reach_ask(&r, 1000, &e), 0);
	(void)reach_tell(&r, "no route", 1000);
	assert_int_equal(reach_ask(&r, 1000, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_int_equal(reach_ask(&r, 1000 + REACH_FIRST_MS, &e), 0);
	assert_int_equal(reach_ask(&r, 1000 + REACH_FIRST_MS, &e), -1); /* somebody is at it */
	(void)reach_tell(&r, NULL, 1000 + REACH_FIRST_MS);
	assert_int_equal(reach_ask(&r, 1000 + REACH_FIRST_MS, &e), 0);
	reach_fini(&r);
}

/* However long it is away, a try comes every second at the latest. */
static void test_the_pause_grows_to_its_limit(void **state)
{
	struct reach r;
	struct err e = { 0 };
	uint64_t now = 5000, before = 0;

	(void)state;
	reach_init(&r);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(reach_ask(&r, now, &e), 0);
		(void)reach_tell(&r, "no route", now);
		assert_true(r.next_ms > now && r.next_ms - now <= REACH_LAST_MS);
		assert_true(i < 1 || r.pause_ms >= before);
		before = r.pause_ms;
		now = r.next_ms;
	}
	assert_int_equal(r.pause_ms, REACH_LAST_MS);
	reach_fini(&r);
}

static void test_silence_makes_all_connections_suspect_once(void **state)
{
	struct reach r;
	struct err e = { 0 };
	unsigned epoch;

	(void)state;
	reach_init(&r);
	epoch = reach_epoch(&r);
	reach_silent(&r, epoch, 1000);
	assert_int_not_equal(reach_epoch(&r), epoch);
	assert_int_equal(reach_ask(&r, 1000, &e), -1);
	epoch = reach_epoch(&r);
	reach_silent(&r, epoch - 1, 1000); /* another one of before */
	assert_int_equal(reach_epoch(&r), epoch);
	assert_int_equal(reach_ask(&r, 1000 + REACH_FIRST_MS, &e), 0);
	assert_int_equal(reach_tell(&r, NULL, 1000 + REACH_FIRST_MS), epoch);
	reach_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_while_it_is_reached_everybody_may_connect),
		cmocka_unit_test(test_while_it_is_not_one_tries_at_a_time),
		cmocka_unit_test(test_the_pause_grows_to_its_limit),
		cmocka_unit_test(test_silence_makes_all_connections_suspect_once),
	};

	log_init("test_reach", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
