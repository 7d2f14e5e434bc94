/* Quotas: where months begin by the clocks of a zone, and how zones are written. */
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
		{ "before 1970", "1969-12-31T23:00:00Z", "UTC", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct quota q = { .reset_day = cases[i].day };

		print_message("%s\n", cases[i].what);
		assert_int_equal(quota_zone_parse(cases[i].zone, &q.zone_min), 0);
		quota_month(&q, at(cases[i].now));
		assert_int_equal(q.start_ms, at(cases[i].start));
		assert_int_equal(q.end_ms, at(cases[i].end));
	}
}

/* A month's end is the next one's beginning, whatever the day. */
static void months_follow_each_other(void **state)
{
	(void)state;
	for (int64_t day = 1; day <= QUOTA_RESET_DAY_MAX; day += 9)
		for (int64_t zone = -720; zone <= 840; zone += 195) {
			struct quota q = { .reset_day = day, .zone_min = zone }, next = q;

			quota_month(&q, at("1999-12-31T12:00:00Z"));
			for (int n = 0; n < 200; n++) {
				quota_month(&next, q.end_ms);
				assert_int_equal(next.start_ms, q.end_ms);
				quota_month(&next, q.end_ms - 1);
				assert_int_equal(next.start_ms, q.start_ms);
				quota_month(&q, q.end_ms);
			}
		}
}

static void zones(void **state)
{
	static const char *const bad[] = { "", "Europe/Berlin", "+2:00", "+02:60", "+15:00", "02:00", "+02:00x",
		"+0a:00" };
	char text[QUOTA_ZONE_SIZE];
	int64_t min = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(quota_zone_parse(bad[i], &min), -1);
	assert_int_equal(quota_zone_parse("Z", &min), 0);
	assert_int_equal(min, 0);
	assert_int_equal(quota_zone_parse("-09:30", &min), 0);
	assert_int_equal(min, -570);
	quota_zone_print(text, min);
	assert_string_equal(text, "-09:30");
	quota_zone_print(text, 0);
	assert_string_equal(text, "UTC");
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
		cmocka_unit_test(zones),
		cmocka_unit_test(used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
