#include "common/base/clock.h"

#include "common/base/civil.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define CLOCK_MS_PER_DAY INT64_C(86400000)
/* Four digits of year are all that RFC 3339 has: what lies outside is shown as its first or last instant. */
#define CLOCK_FIRST_MS (INT64_C(-719468) * CLOCK_MS_PER_DAY)     /* 0000-03-01 */
#define CLOCK_LAST_MS  (INT64_C(2932897) * CLOCK_MS_PER_DAY - 1) /* the last one before 10000-01-01 */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000u;
}

int64_t clock_wall_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000u);
}

/* Two digits of v and the byte `then`; answers where to go on. */
static inline char *clock_put(char *p, int v, char then)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
	p[2] = then;
	return p + 3;
}

void clock_rfc3339(char *dst, int64_t wall_ms)
{
	const int64_t ms = MIN(MAX(wall_ms, CLOCK_FIRST_MS), CLOCK_LAST_MS);
	const int fraction = (int)((ms % 1000 + 1000) % 1000);
	struct civil c;

	civil_of(&c, ms);
	(void)clock_put(dst, (int)(c.year / 100), '-');
	dst = clock_put(dst + 2, (int)(c.year % 100), '-');
	dst = clock_put(dst, c.month, '-');
	dst = clock_put(dst, c.day, 'T');
	dst = clock_put(dst, c.hour, ':');
	dst = clock_put(dst, c.minute, ':');
	dst = clock_put(dst, c.second, '.');
	*dst++ = (char)('0' + fraction / 100);
	dst = clock_put(dst, fraction % 100, 'Z');
	*dst = '\0';
}

/* Takes exactly n digits and then, unless it is NUL, the byte `then`. */
static bool clock_take(const char **s, unsigned n, char then, int64_t *out)
{
	int64_t v = 0;

	for (unsigned i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*out = v;
	if (then == '\0')
		return true;
	return *(*s)++ == then;
}

static bool clock_take_date(const char **s, int64_t *days)
{
	int64_t year, month, day;

	if (!clock_take(s, 4, '-', &year) || !clock_take(s, 2, '-', &month) || !clock_take(s, 2, '\0', &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > civil_month_days(year, month))
		return false;
	*days = civil_days(year, month, day);
	return true;
}

static bool clock_take_time(const char **s, int64_t *ms)
{
	int64_t hour, minute, second, scale = 100;

	if (!clock_take(s, 2, ':', &hour) || !clock_take(s, 2, ':', &minute) || !clock_take(s, 2, '\0', &second))
		return false;
	if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
		return false;
	*ms = ((hour * 60 + minute) * 60 + second) * 1000;
	if (**s != '.')
		return true;
	if ((*s)[1] < '0' || (*s)[1] > '9')
		return false;
	for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
		*ms += (**s - '0') * scale;
	return true;
}

static bool clock_take_offset(const char **s, int64_t *ms)
{
	int64_t hour, minute;
	const char sign = *(*s)++;

	*ms = 0;
	if (sign == 'Z' || sign == 'z')
		return true;
	if ((sign != '+' && sign != '-') || !clock_take(s, 2, ':', &hour) || !clock_take(s, 2, '\0', &minute))
		return false;
	if (hour > 23 || minute > 59)
		return false;
	*ms = (hour * 60 + minute) * 60000 * (sign == '-' ? -1 : 1);
	return true;
}

int clock_parse_rfc3339(const char *s, int64_t *wall_ms)
{
	int64_t days, time_ms, offset_ms;

	if (!clock_take_date(&s, &days) || (*s != 'T' && *s != 't'))
		return -1;
	s++;
	if (!clock_take_time(&s, &time_ms) || *s == '\0' || !clock_take_offset(&s, &offset_ms) || *s != '\0')
		return -1;
	*wall_ms = days * CLOCK_MS_PER_DAY + time_ms - offset_ms;
	return 0;
}

void clock_uptime(char *dst, size_t size, uint64_t seconds)
{
	const unsigned long long h = seconds / 3600, m = seconds / 60 % 60, s = seconds % 60;

	if (h > 0)
		str_fmt(dst, size, "%lluh%llum%llus", h, m, s);
	else if (m > 0)
		str_fmt(dst, size, "%llum%llus", m, s);
	else
		str_fmt(dst, size, "%llus", s);
}
