/* cron: what is meant, and when that is, also where clocks are set. */
#include "controld/jobs/cron.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_refused(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{ "", "five fields" },
		{ "* * * *", "five fields" },
		{ "* * * * * *", "more than five" },
		{ "60 * * * *", "minute '60'" },
		{ "-1 * * * *", "minute '" },
		{ "* 24 * * *", "hour '24'" },
		{ "* * 0 * *", "day of month '0'" },
		{ "* * 32 * *", "day of month '32'" },
		{ "* * * 13 *", "month '13'" },
		{ "* * * foo *", "month 'foo'" },
		{ "* * * * 8", "day of week '8'" },
		{ "* * * * sunday", "day of week" },
		{ "5-1 * * * *", "minute '5" },
		{ "*/0 * * * *", "minute '" },
		{ "*/ * * * *", "minute '" },
		{ "1,,2 * * * *", "minute ''" },
		{ "1, * * * *", "minute ''" },
		{ "1-2-3 * * * *", "minute '" },
		{ "0 0 30 2 *", "none of the months" },
		{ "0 0 31 4,6,9,11 *", "none of the months" },
		{ "@every", "'@every'" },
		{ "@every 0s", "@every" },
		{ "@every 500ms", "@every" },
		{ "@every 400d", "@every" },
		{ "@never", "'@never'" },
	};
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { 0 };
		struct cron c;

		if (cron_parse(&c, cases[i].text, &e) == 0 || strstr(e.msg, cases[i].part) == NULL) {
			print_error("'%s': %s\n", cases[i].text, e.msg);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

/* Up to four times that follow each other; "" is the end, "never" that there is none. */
static const struct {
	const char *cron, *zone, *after, *next[4];
} cases[] = {
	{ "* * * * *", "UTC", "2026-01-01T00:00:00Z", { "2026-01-01T00:01:00.000Z", "2026-01-01T00:02:00.000Z" } },
	{ "* * * * *", "UTC", "2026-01-01T00:00:59.999Z", { "2026-01-01T00:01:00.000Z" } },
	{ "*/20 3 * * *", "UTC", "2026-01-01T03:00:00Z",
		{ "2026-01-01T03:20:00.000Z", "2026-01-01T03:40:00.000Z", "2026-01-02T03:00:00.000Z" } },
	{ "5-7,30/15 * * * *", "UTC", "2026-01-01T00:05:30Z",
		{ "2026-01-01T00:06:00.000Z", "2026-01-01T00:07:00.000Z", "2026-01-01T00:30:00.000Z",
			"2026-01-01T00:45:00.000Z" } },
	{ "0 9 * * mon-fri", "UTC", "2026-11-27T10:00:00Z",
		{ "2026-11-30T09:00:00.000Z", "2026-12-01T09:00:00.000Z" } },
	{ "0 0 * * 7", "UTC", "2026-11-27T10:00:00Z", { "2026-11-29T00:00:00.000Z" } },
	{ "0 0 * * SUN", "UTC", "2026-11-27T10:00:00Z", { "2026-11-29T00:00:00.000Z" } },
	{ "0 0 1 jan,JUL *", "UTC", "2026-01-01T00:00:00Z",
		{ "2026-07-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z" } },
	/* both days restricted: either is enough; one of them a star with a step: both must hold */
	{ "0 0 13 * fri", "UTC", "2026-11-10T00:00:00Z", { "2026-11-13T00:00:00.000Z", "2026-11-20T00:00:00.000Z" } },
	{ "0 0 */2 * mon", "UTC", "2026-11-10T00:00:00Z", { "2026-11-23T00:00:00.000Z", "2026-12-07T00:00:00.000Z" } },
	{ "0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", { "2104-02-29T00:00:00.000Z" } },
	{ "0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", { "2026-03-31T00:00:00.000Z", "2026-05-31T00:00:00.000Z" } },
	{ "@yearly", "UTC", "2026-01-01T00:00:00Z", { "2027-01-01T00:00:00.000Z" } },
	{ "@annually", "UTC", "2026-01-01T00:00:00Z", { "2027-01-01T00:00:00.000Z" } },
	{ "@monthly", "UTC", "2026-01-01T00:00:00Z", { "2026-02-01T00:00:00.000Z" } },
	{ "@weekly", "UTC", "2026-01-01T00:00:00Z", { "2026-01-04T00:00:00.000Z" } },
	{ "@daily", "UTC", "2026-01-01T00:00:00Z", { "2026-01-02T00:00:00.000Z" } },
	{ "@midnight", "+02:00", "2026-01-01T00:00:00Z", { "2026-01-01T22:00:00.000Z" } },
	{ "@hourly", "+05:45", "2026-01-01T00:00:00Z", { "2026-01-01T00:15:00.000Z" } },
	{ "@every 90s", "UTC", "2026-01-01T00:00:00Z", { "2026-01-01T00:01:30.000Z", "2026-01-01T00:03:00.000Z" } },
	{ "@every  2h", "Europe/Berlin", "2026-01-01T01:59:59Z", { "2026-01-01T02:00:00.000Z" } },

	/* Berlin, 2026-03-29: from 02:00 (+1) to 03:00 (+2) at 01:00Z. A given hour that is skipped comes at that moment, once. */
	{ "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
		{ "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z" } },
	{ "*/15 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
		{ "2026-03-29T01:00:00.000Z", "2026-03-30T00:00:00.000Z", "2026-03-30T00:15:00.000Z" } },
	{ "30 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
		{ "2026-03-29T01:30:00.000Z", "2026-03-30T01:30:00.000Z" } },
	{ "0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z",
		{ "2026-03-29T00:00:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-29T02:00:00.000Z" } },
	{ "30 */2 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z",
		{ "2026-03-28T23:30:00.000Z", "2026-03-29T02:30:00.000Z", "2026-03-29T04:30:00.000Z" } },
	/* 2026-10-25: from 03:00 (+2) to 02:00 (+1) at 01:00Z. A given hour that is there twice is meant once, the first time. */
	{ "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
		{ "2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z" } },
	{ "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", { "2026-10-26T01:30:00.000Z" } },
	{ "*/30 2 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z",
		{ "2026-10-25T00:00:00.000Z", "2026-10-25T00:30:00.000Z", "2026-10-26T01:00:00.000Z" } },
	{ "0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
		{ "2026-10-25T00:00:00.000Z", "2026-10-25T01:00:00.000Z", "2026-10-25T02:00:00.000Z" } },
	{ "0 3 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", { "2026-10-25T02:00:00.000Z" } },
	{ "@daily", "Europe/Berlin", "2026-10-24T21:00:00Z",
		{ "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z" } },
	/* New York: other days, other way round the world. */
	{ "30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z",
		{ "2026-03-08T07:00:00.000Z", "2026-03-09T06:30:00.000Z" } },
	{ "30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z",
		{ "2026-11-01T05:30:00.000Z", "2026-11-02T06:30:00.000Z" } },
	/* Half an hour only. */
	{ "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
		{ "2026-10-03T15:30:00.000Z", "2026-10-04T15:15:00.000Z" } },
	/* Midnight itself is missing: Cairo 2026-04-24. */
	{ "0 0 * * *", "Africa/Cairo", "2026-04-23T00:00:00Z",
		{ "2026-04-23T22:00:00.000Z", "2026-04-24T21:00:00.000Z" } },
	/* A whole day is missing: Apia had no 2011-12-30. */
	{ "0 12 30 * *", "Pacific/Apia", "2011-12-29T00:00:00Z",
		{ "2011-12-30T10:00:00.000Z", "2012-01-29T22:00:00.000Z" } },
};

static int check_times(size_t i)
{
	int64_t at;
	struct err e = { 0 };
	struct zone *zone;
	struct cron c;
	int failed = 0;

	assert_int_equal(clock_parse_rfc3339(cases[i].after, &at), 0);
	if (cron_parse(&c, cases[i].cron, &e) != 0 || zone_open(&zone, cases[i].zone, &e) != 0) {
		print_error("%s: %s\n", cases[i].cron, e.msg);
		return 1;
	}
	for (size_t n = 0; n < ARRAY_LEN(cases[i].next) && cases[i].next[n] != NULL; n++) {
		char text[CLOCK_RFC3339_SIZE];

		at = cron_next(&c, zone, at);
		clock_rfc3339(text, at);
		if (strcmp(text, cases[i].next[n]) != 0) {
			print_error(
				"%s %s: %zu is %s, not %s\n", cases[i].cron, cases[i].zone, n, text, cases[i].next[n]);
			failed++;
		}
	}
	zone_free(zone);
	return failed;
}

static void when_it_is(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		failed += check_times(i);
	assert_int_equal(failed, 0);
}

/* From any moment the next one is later, and is found from the moment before it as well. */
static void times_rise(void **state)
{
	static const char *const crons[] = { "*/7 * * * *", "30 2 * * *", "0 */5 * * *", "* 2 * * sun",
		"59 23 29 2 *" };
	static const char *const zones[] = { "UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe" };
	int64_t start;
	struct err e;

	(void)state;
	assert_int_equal(clock_parse_rfc3339("2026-01-01T00:00:00Z", &start), 0);
	for (size_t i = 0; i < ARRAY_LEN(crons) * ARRAY_LEN(zones); i++) {
		int64_t at = start;
		struct zone *zone;
		struct cron c;

		assert_int_equal(cron_parse(&c, crons[i / ARRAY_LEN(zones)], &e), 0);
		assert_int_equal(zone_open(&zone, zones[i % ARRAY_LEN(zones)], &e), 0);
		for (int n = 0; n < 300; n++) {
			const int64_t next = cron_next(&c, zone, at);

			assert_true(next > at);
			assert_true(cron_next(&c, zone, next - 1) == next);
			if (next == INT64_MAX)
				break;
			at = next;
		}
		zone_free(zone);
	}
}

static void the_end_of_time(void **state)
{
	struct zone *zone;
	struct cron c;
	struct err e;

	(void)state;
	assert_int_equal(zone_open(&zone, "UTC", &e), 0);
	assert_int_equal(cron_parse(&c, "* * * * *", &e), 0);
	assert_true(cron_next(&c, zone, INT64_MAX) == INT64_MAX);
	assert_true(cron_next(&c, zone, -1) == INT64_MAX);
	zone_free(zone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(when_it_is),
		cmocka_unit_test(times_rise),
		cmocka_unit_test(the_end_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
