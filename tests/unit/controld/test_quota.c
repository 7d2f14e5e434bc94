/* Quotas: where months begin by the clocks of a zone, by name or by offset. */
#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/tunnels/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
	int64_t ms;

	assert_int_equal(clock_parse_rfc3339(text, &ms), 0);
	return ms;
}

static void months(void **state)
{
	static const struct {
		const char *what, *now, *zone, *start, *end;
		int64_t day;
	} cases[] = {
		{ "first of the month", "2026-11-28T13:00:00Z", "UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z",
			1 },
		{ "the moment it begins", "2026-12-01T00:00:00Z", "UTC", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z",
			1 },
		{ "the moment before", "2026-11-30T23:59:59.999Z", "UTC", "2026-11-01T00:00:00Z",
			"2026-12-01T00:00:00Z", 1 },
		{ "over the new year", "2027-01-10T00:00:00Z", "UTC", "2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z",
			15 },
		{ "after the day in December", "2026-12-20T00:00:00Z", "UTC", "2026-12-15T00:00:00Z",
			"2027-01-15T00:00:00Z", 15 },
		{ "February has it, too", "2028-02-28T12:00:00Z", "UTC", "2028-02-28T00:00:00Z", "2028-03-28T00:00:00Z",
			28 },
		{ "leap day", "2028-02-29T12:00:00Z", "UTC", "2028-02-28T00:00:00Z", "2028-03-28T00:00:00Z", 28 },
		{ "east: the day begins earlier", "2026-10-31T23:00:00Z", "+02:00", "2026-10-31T22:00:00Z",
			"2026-11-30T22:00:00Z", 1 },
		{ "west: and later", "2026-11-01T03:00:00Z", "-05:30", "2026-10-01T05:30:00Z", "2026-11-01T05:30:00Z",
			1 },
		{ "day 31 in a month of 30", "2026-11-30T12:00:00Z", "UTC", "2026-11-30T00:00:00Z",
			"2026-12-31T00:00:00Z", 31 },
		{ "day 31 in February", "2026-02-27T12:00:00Z", "UTC", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z",
			31 },
		{ "day 30 in a leap February", "2028-02-29T00:00:00Z", "UTC", "2028-02-29T00:00:00Z",
			"2028-03-30T00:00:00Z", 30 },
		{ "summer time begins within", "2026-03-29T12:00:00Z", "Europe/Berlin", "2026-02-28T23:00:00Z",
			"2026-03-31T22:00:00Z", 1 },
		{ "summer time ends within", "2026-10-25T12:00:00Z", "Europe/Berlin", "2026-09-30T22:00:00Z",
			"2026-10-31T23:00:00Z", 1 },
		{ "on the day of the change", "2026-03-29T00:59:59Z", "Europe/Berlin", "2026-03-28T23:00:00Z",
			"2026-04-28T22:00:00Z", 29 },
		{ "midnight is skipped", "2026-09-06T03:59:59Z", "America/Santiago", "2026-08-06T04:00:00Z",
			"2026-09-06T04:00:00Z", 6 },
		{ "and the next one", "2026-09-06T04:00:00Z", "America/Santiago", "2026-09-06T04:00:00Z",
			"2026-10-06T03:00:00Z", 6 },
		{ "midnight comes twice", "2026-11-01T05:00:00Z", "America/Havana", "2026-11-01T04:00:00Z",
			"2026-12-01T05:00:00Z", 1 },
		{ "a zone that is not known keeps its offset", "2026-11-28T13:00:00Z", "Mars/Base",
			"2026-10-31T22:00:00Z", "2026-11-30T22:00:00Z", 1 },
		{ "before 1970", "1969-12-31T23:00:00Z", "UTC", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct quota q = { .reset_day = cases[i].day, .zone_min = 120 };

		print_message("%s\n", cases[i].what);
		str_copy(q.time_zone, sizeof q.time_zone, cases[i].zone);
		quota_month(&q, at(cases[i].now));
		assert_int_equal(q.start_ms, at(cases[i].start));
		assert_int_equal(q.end_ms, at(cases[i].end));
	}
}

/* A month's end is the next one's beginning, whatever the day. */
static void months_follow_each_other(void **state)
{
	static const char *const zones[] = { "UTC", "-12:00", "+14:00", "Europe/Berlin", "America/Santiago",
		"America/Havana", "Pacific/Apia" };

	(void)state;
	for (int64_t day = 1; day <= QUOTA_RESET_DAY_MAX; day += 6)
		for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
			struct quota q = { .reset_day = day }, next;

			str_copy(q.time_zone, sizeof q.time_zone, zones[i]);
			next = q;
			quota_month(&q, at("1999-12-31T12:00:00Z"));
			for (int n = 0; n < 200; n++) {
				assert_true(q.start_ms < q.end_ms);
				quota_month(&next, q.end_ms);
				assert_int_equal(next.start_ms, q.end_ms);
				quota_month(&next, q.end_ms - 1);
				assert_int_equal(next.start_ms, q.start_ms);
				quota_month(&q, q.end_ms);
			}
		}
}

static void used(void **state)
{
	(void)state;
	assert_int_equal(quota_used(&(struct quota){ .total_bytes = 10, .base_bytes = 4 }), 6);
	assert_int_equal(quota_used(&(struct quota){ .total_bytes = 3, .base_bytes = 4 }), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(months),
		cmocka_unit_test(months_follow_each_other),
		cmocka_unit_test(used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
