#include "common/base/civil.h"

#include <stdbool.h>

#define DAY_MS INT64_C(86400000)

/* Towards minus infinity, as days before 1970 need it. */
static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/*
 * The year is taken to begin in March, so that the leap day comes last and the months before a date have 153 days in
 * five. An era is the 400 years after which the calendar repeats.
 */
int64_t civil_days(int64_t year, int64_t month, int64_t day)
{
	const int64_t y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;
	const int64_t era = floor_div(y, 400), of_era = y - era * 400;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719468;
}

int civil_month_days(int64_t year, int64_t month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

int civil_weekday(int64_t days)
{
	return (int)(days + 4 - floor_div(days + 4, 7) * 7); /* 1970-01-01 was a Thursday */
}

int64_t civil_ms(const struct civil *c)
{
	return civil_days(c->year, c->month, c->day) * DAY_MS +
	       ((c->hour * INT64_C(60) + c->minute) * 60 + c->second) * 1000;
}

/* civil_days() the other way (H. Hinnant's civil_from_days). */
void civil_of(struct civil *out, int64_t ms)
{
	const int64_t all = floor_div(ms, DAY_MS), days = all + 719468, second = (ms - all * DAY_MS) / 1000;
	const int64_t era = floor_div(days, 146097), of_era = days - era * 146097;
	const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	const int64_t month = (5 * of_year + 2) / 153;

	out->day = (int)(of_year - (153 * month + 2) / 5 + 1);
	out->month = (int)(month < 10 ? month + 3 : month - 9);
	out->year = year + era * 400 + (out->month <= 2);
	out->hour = (int)(second / 3600);
	out->minute = (int)(second / 60 % 60);
	out->second = (int)(second % 60);
}
