#include "common/base/zone_rule.h"

#include "common/base/civil.h"

#include <ctype.h>
#include <string.h>

#define DAY 86400

/* ---- the text ------------------------------------------------------------------------------------------------------ */

/* Every take_ moves *s behind what it took and answers whether it was there. */
static bool take_number(const char **s, int min, int max, int *out)
{
	int v = 0, digits = 0;

	for (; **s >= '0' && **s <= '9' && digits < 3; ++*s, ++digits)
		v = v * 10 + (**s - '0');
	*out = v;
	return digits > 0 && v >= min && v <= max;
}

static bool take(const char **s, char c)
{
	return **s == c && (++*s, true);
}

/* Letters, or anything of letters, digits and signs in angle brackets. */
static bool take_name(const char **s)
{
	const char *from = *s;

	if (!take(s, '<')) {
		while (isalpha((unsigned char)**s))
			++*s;
		return *s - from >= 3;
	}
	while (isalnum((unsigned char)**s) || **s == '+' || **s == '-')
		++*s;
	return *s - from > 3 && take(s, '>');
}

/* [+-]hh[:mm[:ss]], up to a week for the hour of a change. */
static bool take_time(const char **s, int max_hour, int32_t *out)
{
	const bool negative = **s == '-';
	int hour, minute = 0, second = 0;

	if (**s == '-' || **s == '+')
		++*s;
	if (!take_number(s, 0, max_hour, &hour))
		return false;
	if (take(s, ':') && (!take_number(s, 0, 59, &minute) || (take(s, ':') && !take_number(s, 0, 59, &second))))
		return false;
	*out = (hour * 3600 + minute * 60 + second) * (negative ? -1 : 1);
	return true;
}

static bool take_moment(const char **s, struct zone_moment *m)
{
	bool ok;

	if (!take(s, ','))
		return false;
	m->second = 2 * 3600;
	if (take(s, 'M')) {
		m->kind = ZONE_WEEKDAY;
		ok = take_number(s, 1, 12, &m->month) && take(s, '.') && take_number(s, 1, 5, &m->week) &&
		     take(s, '.') && take_number(s, 0, 6, &m->day);
	} else if (take(s, 'J')) {
		m->kind = ZONE_JULIAN;
		ok = take_number(s, 1, 365, &m->day);
	} else {
		m->kind = ZONE_DAY;
		ok = take_number(s, 0, 365, &m->day);
	}
	return ok && (!take(s, '/') || take_time(s, 167, &m->second));
}

int zone_rule_parse(struct zone_rule *r, const char *s)
{
	memset(r, 0, sizeof *r);
	if (!take_name(&s) || !take_time(&s, 24, &r->standard))
		return -1;
	r->standard = -r->standard;
	if (*s == '\0')
		return 0;
	r->has_dst = true;
	r->dst = r->standard + 3600;
	if (!take_name(&s))
		return -1;
	if (*s != ',') {
		if (!take_time(&s, 24, &r->dst))
			return -1;
		r->dst = -r->dst;
	}
	return take_moment(&s, &r->begin) && take_moment(&s, &r->end) && *s == '\0' ? 0 : -1;
}

/* ---- the years ----------------------------------------------------------------------------------------------------- */

/* The w-th such weekday of the month; the fifth is the last one. */
static int64_t weekday_of(const struct zone_moment *m, int64_t year)
{
	const int64_t first = civil_days(year, m->month, 1);
	int64_t day = 1 + (m->day - civil_weekday(first) + 7) % 7 + (m->week - 1) * 7;

	if (day > civil_month_days(year, m->month))
		day -= 7;
	return first + day - 1;
}

static int64_t moment_in(const struct zone_moment *m, int64_t year)
{
	int64_t days;

	switch (m->kind) {
	case ZONE_WEEKDAY:
		days = weekday_of(m, year);
		break;
	case ZONE_JULIAN:
		days = civil_days(year, 1, m->day) + (m->day >= 60 && civil_month_days(year, 2) == 29);
		break;
	default:
		days = civil_days(year, 1, 1 + m->day);
	}
	return days * DAY + m->second;
}

/*
 * The change that came last decides. A moment may lie days beyond its year, so the years before and after are looked at, too;
 * where summer time ends as it begins (all the year round) it is summer.
 */
int32_t zone_rule_offset(const struct zone_rule *r, int64_t utc)
{
	struct civil now;
	int64_t last = INT64_MIN;
	int32_t offset = r->standard;

	if (!r->has_dst)
		return offset;
	civil_of(&now, (utc + r->standard) * 1000);
	for (int64_t year = now.year - 1; year <= now.year + 1; year++) {
		const int64_t begin = moment_in(&r->begin, year) - r->standard;
		const int64_t end = moment_in(&r->end, year) - r->dst;

		if (end <= utc && end > last) {
			last = end;
			offset = r->standard;
		}
		if (begin <= utc && begin >= last) {
			last = begin;
			offset = r->dst;
		}
	}
	return offset;
}
