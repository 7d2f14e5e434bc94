/* civil: the calendar against the C library's over eight thousand years, and its edges by name. */
#include "common/base/civil.h"
#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static void known_dates(void **state)
{
	static const struct {
		const char *what;
		struct civil c;
		int64_t ms;
		int weekday;
	} cases[] = {
		{ "the beginning", { 1970, 1, 1, 0, 0, 0 }, 0, 4 },
		{ "the second before", { 1969, 12, 31, 23, 59, 59 }, -1000, 3 },
		{ "leap day of a 400th year", { 2000, 2, 29, 0, 0, 0 }, 951782400000, 2 },
		{ "no leap day in 2100", { 2100, 3, 1, 0, 0, 0 }, 4107542400000, 1 },
		{ "before the year 0", { -1, 12, 31, 12, 0, 0 }, -62167262400000, 5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct civil *c = &cases[i].c;
		struct civil back;

		print_message("%s\n", cases[i].what);
		assert_int_equal(civil_ms(c), cases[i].ms);
		assert_int_equal(civil_weekday(civil_days(c->year, c->month, c->day)), cases[i].weekday);
		civil_of(&back, cases[i].ms + 999);
		assert_int_equal(
			back.year * 10000 + back.month * 100 + back.day, c->year * 10000 + c->month * 100 + c->day);
		assert_int_equal(civil_ms(&back), cases[i].ms / 1000 * 1000);
	}
}

static void as_the_c_library(void **state)
{
	(void)state;
	for (int64_t s = -62135596800; s < 190000000000; s += 1234567) {
		const time_t t = s;
		struct civil c;
		struct tm tm;

		gmtime_r(&t, &tm);
		civil_of(&c, s * 1000);
		assert_int_equal(c.year, tm.tm_year + 1900);
		assert_int_equal(c.month * 100 + c.day, (tm.tm_mon + 1) * 100 + tm.tm_mday);
		assert_int_equal(
			(c.hour * 60 + c.minute) * 60 + c.second, (tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec);
		assert_int_equal(civil_weekday(civil_days(c.year, c.month, c.day)), tm.tm_wday);
		assert_int_equal(civil_ms(&c), s * 1000);
	}
}

static void months(void **state)
{
	(void)state;
	assert_int_equal(civil_month_days(2026, 2), 28);
	assert_int_equal(civil_month_days(2028, 2), 29);
	assert_int_equal(civil_month_days(1900, 2), 28);
	assert_int_equal(civil_month_days(2026, 11), 30);
	assert_int_equal(civil_days(2026, 2, 31), civil_days(2026, 3, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_dates),
		cmocka_unit_test(as_the_c_library),
		cmocka_unit_test(months),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
