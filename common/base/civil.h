/*
 * civil - dates and times of day of the (proleptic) Gregorian calendar, as milliseconds since 1970 and back.
 *
 * Says nothing of where the clock hangs: zone.h does. Pure, no state; years from -9999 to 99999.
 */
#ifndef PORTWAY_BASE_CIVIL_H
#define PORTWAY_BASE_CIVIL_H

#include <stdint.h>

struct civil {
	int64_t year;
	int month, day;           /* from 1 */
	int hour, minute, second; /* from 0 */
};

/* Days since 1970-01-01. A day beyond the month's end counts on into the next one. */
int64_t civil_days(int64_t year, int64_t month, int64_t day);
int civil_month_days(int64_t year, int64_t month);
/* 0 is Sunday. */
int civil_weekday(int64_t days);
/* Milliseconds since 1970-01-01 00:00:00 by the same clock; civil_of() drops the part of a second. */
int64_t civil_ms(const struct civil *c);
void civil_of(struct civil *out, int64_t ms);

#endif
