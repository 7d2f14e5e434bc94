/* share: which queue is served next. */
#include "controld/jobs/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PLENTY 1000

/* As many turns with `free` workers each time; what ran is over at the next turn. */
static void serve(
	struct share *s, unsigned free_now, const unsigned waiting[JOB_QUEUES], int turns, int served[JOB_QUEUES])
{
	memset(served, 0, JOB_QUEUES * sizeof served[0]);
	for (int i = 0; i < turns; i++) {
		struct share_room room = { .workers = free_now };
		unsigned take[JOB_QUEUES];

		memcpy(room.waiting, waiting, sizeof room.waiting);
		share_plan(s, &room, take);
		for (int q = 0; q < JOB_QUEUES; q++)
			served[q] += (int)take[q];
	}
}

static void weights_hold_while_all_have_work(void **state)
{
	static const unsigned plenty[] = { PLENTY, PLENTY, PLENTY };

	(void)state;
	for (unsigned workers = 1; workers <= 40; workers++) {
		struct share s = { .credit = { 0 } };
		int served[JOB_QUEUES];
		const int all = (int)workers * 300;

		serve(&s, workers, plenty, 300, served);
		assert_int_equal(served[0] + served[1] + served[2], all);
		for (int q = 0; q < JOB_QUEUES; q++) {
			const int fair = all * share_weights[q] / 10;

			assert_in_range(served[q], fair * 95 / 100 - 1, fair * 105 / 100 + 1);
		}
	}
}

static void turns_are_spread(void **state)
{
	struct share s = { .credit = { 0 } };
	char order[11] = "";

	(void)state;
	for (int i = 0; i < 10; i++) {
		const struct share_room room = { .workers = 1, .waiting = { PLENTY, PLENTY, PLENTY } };
		unsigned take[JOB_QUEUES];

		share_plan(&s, &room, take);
		order[i] = take[JOB_CRITICAL] ? 'c' : take[JOB_DEFAULT] ? 'd' : 'l';
	}
	assert_string_equal(order, "cdccdclcdc");
}

static void what_is_idle_flows_on(void **state)
{
	static const struct {
		const char *what;
		unsigned waiting[JOB_QUEUES], running[JOB_QUEUES], take[JOB_QUEUES];
	} cases[] = {
		{ "nothing", { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } },
		{ "only critical", { 50, 0, 0 }, { 0, 0, 0 }, { 30, 0, 0 } },
		{ "only default: one worker is kept", { 0, 50, 0 }, { 0, 0, 0 }, { 0, 29, 0 } },
		{ "only low: two are kept", { 0, 0, 50 }, { 0, 0, 0 }, { 0, 0, 28 } },
		{ "default and low", { 0, 50, 50 }, { 0, 0, 0 }, { 0, 22, 8 } },
		{ "a few critical, the rest low", { 3, 0, 50 }, { 0, 0, 0 }, { 3, 0, 27 } },
		{ "long low jobs everywhere", { 5, 5, 5 }, { 0, 0, 28 }, { 1, 1, 0 } },
		{ "all are busy", { 5, 5, 5 }, { 10, 10, 10 }, { 0, 0, 0 } },
	};
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct share s = { .credit = { 0 } };
		struct share_room room = { .workers = 30 };
		unsigned take[JOB_QUEUES];

		memcpy(room.waiting, cases[i].waiting, sizeof room.waiting);
		memcpy(room.running, cases[i].running, sizeof room.running);
		share_plan(&s, &room, take);
		if (memcmp(take, cases[i].take, sizeof take) != 0) {
			print_error("%s: %u %u %u\n", cases[i].what, take[0], take[1], take[2]);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

/* A queue that had nothing for long has no claim on what it missed. */
static void nothing_is_saved_up(void **state)
{
	static const unsigned low_only[] = { 0, 0, PLENTY }, plenty[] = { PLENTY, PLENTY, PLENTY };
	struct share s = { .credit = { 0 } };
	int served[JOB_QUEUES];

	(void)state;
	serve(&s, 1, low_only, 1000, served);
	assert_int_equal(served[JOB_LOW], 1000);
	serve(&s, 1, plenty, 20, served);
	assert_int_equal(served[JOB_CRITICAL], 12);
	assert_int_equal(served[JOB_LOW], 2);
}

/* Three workers are too few to keep any. */
static void one_worker_serves_all(void **state)
{
	static const unsigned low_only[] = { 0, 0, PLENTY };
	struct share s = { .credit = { 0 } };
	int served[JOB_QUEUES];

	(void)state;
	serve(&s, 3, low_only, 5, served);
	assert_int_equal(served[JOB_LOW], 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_hold_while_all_have_work),
		cmocka_unit_test(turns_are_spread),
		cmocka_unit_test(what_is_idle_flows_on),
		cmocka_unit_test(nothing_is_saved_up),
		cmocka_unit_test(one_worker_serves_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
