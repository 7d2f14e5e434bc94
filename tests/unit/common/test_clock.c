/* clock: RFC 3339 both ways, against the C library's calendar; durations for people. */
#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void test_print(void **state)
{
	static const struct {
		int64_t ms;
		const char *want;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ 1795341600123, "2026-11-22T10:00:00.123Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
		{ INT64_MIN, "0000-03-01T00:00:00.000Z" },
	};
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_rfc3339(text, cases[i].ms);
		assert_string_equal(text, cases[i].want);
	}
}

static void test_parse(void **state)
{
	static const struct {
		const char *s;
		int64_t want;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "2026-11-22t10:00:00.1z", 1795341600100 },
		{ "2026-11-22T10:00:00.123456789Z", 1795341600123 },
		{ "2026-11-22T12:30:00+02:30", 1795341600000 },
		{ "2026-11-22T05:00:00-05:00", 1795341600000 },
		{ "2016-12-31T23:59:60Z", 1483228800000 }, /* a leap second is the next one's first instant */
		{ "2000-02-29T00:00:00Z", 951782400000 },
	};
	static const char *const bad[] = {
		"",
		"2026",
		"2026-11-22",
		"2026-11-22T10:00:00",
		"2026-11-22 10:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z",
		"2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00Zx",
		"2026-01-01T00:00:00+0100",
		"2026-01-01T00:00:00+24:00",
		"2026-01-01T00:00:00+01:60",
		"2026-1-01T00:00:00Z",
		"+2026-01-01T00:00:00Z",
		"2026-01-01T00:00Z",
	};
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (clock_parse_rfc3339(good[i].s, &ms) != 0)
			fail_msg("%s refused", good[i].s);
		if (ms != good[i].want)
			fail_msg("%s: %lld", good[i].s, (long long)ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (clock_parse_rfc3339(bad[i], &ms) == 0)
			fail_msg("%s accepted", bad[i]);
}

/* Every day of 400 years, the whole cycle of the calendar. */
static void test_calendar(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	for (int64_t day = -70000; day < 80000; day++) {
		const time_t seconds = day * 86400 + 4321;
		struct tm tm;
		char want[40];
		int64_t ms;

		gmtime_r(&seconds, &tm);
		strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		clock_rfc3339(text, seconds * 1000);
		assert_string_equal(text, want);
		assert_int_equal(clock_parse_rfc3339(text, &ms), 0);
		assert_true(ms == seconds * 1000);
	}
}

static void test_uptime(void **state)
{
	static const struct {
		uint64_t s;
		const char *want;
	} cases[] = {
		{ 0, "0s" },
		{ 59, "59s" },
		{ 60, "1m0s" },
		{ 3599, "59m59s" },
		{ 3600, "1h0m0s" },
		{ 261015, "72h30m15s" },
	};
	char text[40];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_uptime(text, sizeof text, cases[i].s);
		assert_string_equal(text, cases[i].want);
	}
}

static void test_clocks_go_on(void **state)
{
	const uint64_t before = clock_mono_ns();

	(void)state;
	assert_true(clock_mono_ns() >= before);
	assert_true(clock_mono_ms() >= before / 1000000);
	assert_true(clock_wall_ms() / 1000 - time(NULL) <= 1);
	assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_uptime),
		cmocka_unit_test(test_clocks_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
