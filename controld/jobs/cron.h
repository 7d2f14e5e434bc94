/*
 * cron - when something is to be done again and again: five fields, or a word.
 *
 *	minute hour day-of-month month day-of-week      0-59 0-23 1-31 1-12|jan-dec 0-7|sun-sat
 *	each: *  a  a-b  with /step; lists by comma     where both days are restricted, either one is enough
 *	@yearly @annually @monthly @weekly @daily @midnight @hourly, @every 90s|15m|2h|1d
 *
 * Where clocks are set forward or back: a time at given hours comes once, at the moment that skips it, or the first time
 * that the clocks show it; one at every hour (the hour begins with *) goes on by real time. @every counts from 1970, so all
 * controlds mean the same moments.
 *
 * Pure: no clock, no lock.
 */
#ifndef PORTWAY_CONTROLD_JOBS_CRON_H
#define PORTWAY_CONTROLD_JOBS_CRON_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct zone;

#define CRON_TEXT_MAX 200

struct cron {
	uint64_t minutes; /* BIT of each that is meant */
	uint32_t hours, days, months, weekdays;
	bool any_hour, any_day, any_weekday; /* begins with * */
	int64_t every_ms;                    /* 0: the fields hold */
};

/* ERR_VALIDATION names field, value and range; also for what never comes, as in "0 0 30 2 *". */
int cron_parse(struct cron *out, const char *text, struct err *e) MUST_CHECK;
/* The first time after that; INT64_MAX: none within the years that can be counted. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms);

#endif
