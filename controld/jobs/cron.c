#include "controld/jobs/cron.h"

#include "common/base/civil.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/base/zone.h"

#include <ctype.h>
#include <string.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * (int64_t)HOUR)

#define YEARS_MAX 9 /* 29 February may be eight years away */
#define EVERY_MAX (366 * DAY)
#define LAST_MS   INT64_C(250000000000000) /* the year 9892: nobody counts further */

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov",
	"dec", NULL };
static const char *const weekday_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };

static const struct field {
	const char *name;
	unsigned min, max;
	const char *const *names; /* of min, min + 1, ... */
} fields[] = {
	{ "minute", 0, 59, NULL }, { "hour", 0, 23, NULL }, { "day of month", 1, 31, NULL },
	{ "month", 1, 12, month_names }, { "day of week", 0, 7, weekday_names }, /* Sunday is 0 and 7 */
};
enum { MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS, FIELDS };

static int wrong(const struct field *f, const char *item, struct err *e)
{
	err_set(e, ERR_VALIDATION, "cron",
		"cron: %s '%.40s' must be *, a number from %u to %u%s, a range or a list of these", f->name, item,
		f->min, f->max, f->names != NULL ? ", a name" : "");
	return err_detail(e, "format", item);
}

static int read_value(const struct field *f, const char *text, unsigned *out)
{
	uint64_t n;

	for (unsigned i = 0; f->names != NULL && f->names[i] != NULL; i++)
		if (strlen(text) == 3 && tolower((unsigned char)text[0]) == f->names[i][0] &&
			tolower((unsigned char)text[1]) == f->names[i][1] &&
			tolower((unsigned char)text[2]) == f->names[i][2]) {
			*out = f->min + i;
			return 0;
		}
	if (str_to_u64(text, f->min, f->max, &n) != 0)
		return -1;
	*out = (unsigned)n;
	return 0;
}

/* "a", "a-b" or "*"; a step after a single number counts on to the end. */
static int read_range(const struct field *f, char *text, bool stepped, unsigned *from, unsigned *to)
{
	char *dash = strchr(text, '-');

	*from = f->min;
	*to = f->max;
	if (str_eq(text, "*"))
		return 0;
	if (dash != NULL)
		*dash = '\0';
	if (read_value(f, text, from) != 0)
		return -1;
	if (dash != NULL)
		return read_value(f, dash + 1, to) == 0 && *from <= *to ? 0 : -1;
	if (!stepped)
		*to = *from;
	return 0;
}

static int read_item(const struct field *f, const char *item, uint64_t *set)
{
	char copy[32];
	uint64_t step = 1;
	unsigned from, to;
	char *slash;

	if (str_copy(copy, sizeof copy, item) != 0)
		return -1;
	if ((slash = strchr(copy, '/')) != NULL) {
		*slash = '\0';
		if (str_to_u64(slash + 1, 1, f->max + 1, &step) != 0)
			return -1;
	}
	if (read_range(f, copy, slash != NULL, &from, &to) != 0)
		return -1;
	for (unsigned i = from; i <= to; i += (unsigned)step)
		*set |= UINT64_C(1) << i;
	return 0;
}

static int read_field(const struct field *f, char *text, uint64_t *set, struct err *e)
{
	*set = 0;
	for (;;) {
		char *comma = strchr(text, ',');

		if (comma != NULL)
			*comma = '\0';
		if (read_item(f, text, set) != 0)
			return wrong(f, text, e);
		if (comma == NULL)
			return 0;
		text = comma + 1;
	}
}

/* A day that none of the months has. */
static int check_days(const struct cron *c, struct err *e)
{
	if (!c->any_weekday && !c->any_day)
		return 0;
	for (int month = 1; month <= 12; month++)
		for (int day = 1; day <= civil_month_days(2000, month); day++)
			if ((c->months & BIT(month)) != 0 && (c->days & BIT(day)) != 0)
				return 0;
	return err_set(e, ERR_VALIDATION, "cron", "cron: none of the months has such a day");
}

static int parse_fields(struct cron *c, char *text, struct err *e)
{
	uint64_t sets[FIELDS];
	bool star[FIELDS];
	char *save = NULL;
	int n = 0;

	for (char *word = strtok_r(text, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save)) {
		if (n == FIELDS)
			return err_set(e, ERR_VALIDATION, "cron", "cron: more than five fields");
		star[n] = word[0] == '*';
		if (read_field(&fields[n], word, &sets[n], e) != 0)
			return -1;
		n++;
	}
	if (n < FIELDS)
		return err_set(e, ERR_VALIDATION, "cron",
			"cron: must have five fields (minute hour day month weekday), or be a word such as @hourly");
	c->minutes = sets[MINUTES];
	c->hours = (uint32_t)sets[HOURS];
	c->days = (uint32_t)sets[DAYS];
	c->months = (uint32_t)sets[MONTHS];
	c->weekdays = (uint32_t)(sets[WEEKDAYS] | sets[WEEKDAYS] >> 7) & 0x7f;
	c->any_hour = star[HOURS];
	c->any_day = star[DAYS];
	c->any_weekday = star[WEEKDAYS];
	return check_days(c, e);
}

static int parse_every(struct cron *c, const char *text, struct err *e)
{
	uint64_t ms;

	while (*text == ' ' || *text == '\t')
		text++;
	if (str_to_duration_ms(text, &ms) != 0 || ms < SECOND || ms > EVERY_MAX || ms % SECOND != 0) {
		err_set(e, ERR_VALIDATION, "cron", "cron: @every '%.40s' must be from 1s to 366d, in whole seconds",
			text);
		return err_detail(e, "range", text);
	}
	c->every_ms = (int64_t)ms;
	return 0;
}

int cron_parse(struct cron *out, const char *text, struct err *e)
{
	static const struct {
		const char *word, *fields;
	} words[] = { { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
		{ "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" }, { "@midnight", "0 0 * * *" },
		{ "@hourly", "0 * * * *" } };
	char copy[CRON_TEXT_MAX + 1];
	struct cron c = { .every_ms = 0 };
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(text, words[i].word))
			text = words[i].fields;
	if (str_copy(copy, sizeof copy, text) != 0)
		return err_set(e, ERR_VALIDATION, "cron", "cron: longer than %d characters", CRON_TEXT_MAX);
	if (copy[0] == '@' && !str_starts(copy, "@every "))
		return err_set(e, ERR_VALIDATION, "cron",
			"cron: '%.40s' must be @yearly, @monthly, @weekly, @daily, @hourly, @every TIME or five fields",
			copy);
	rc = str_starts(copy, "@every ") ? parse_every(&c, copy + 7, e) : parse_fields(&c, copy, e);
	if (rc == 0)
		*out = c;
	return rc;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* Where one of the two days is not restricted the other one says it; else either is enough. */
static bool is_day(const struct cron *c, const struct civil *t)
{
	const bool day = (c->days & BIT(t->day)) != 0;
	const bool weekday = (c->weekdays & BIT(civil_weekday(civil_days(t->year, t->month, t->day)))) != 0;

	if ((c->months & BIT(t->month)) == 0)
		return false;
	return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

static bool is_time(const struct cron *c, const struct civil *t)
{
	return (c->hours & BIT(t->hour)) != 0 && (c->minutes >> t->minute & 1) != 0;
}

/* How far the next moment is that may be meant, as far as the clocks go evenly. */
static int64_t step_ms(const struct cron *c, const struct civil *t)
{
	const int64_t to_hour = (60 - t->minute) * (int64_t)MINUTE - t->second * SECOND;

	if (t->second != 0)
		return MINUTE - t->second * SECOND;
	if (!is_day(c, t))
		return to_hour + (23 - t->hour) * (int64_t)HOUR;
	if ((c->hours & BIT(t->hour)) == 0)
		return to_hour;
	return MINUTE;
}

/* By what the clocks show: each such time once. */
static int64_t next_shown(const struct cron *c, const struct zone *z, int64_t after_ms)
{
	struct civil t;
	int64_t shown, last;

	zone_local(z, after_ms, &t);
	shown = civil_ms(&t);
	last = shown + YEARS_MAX * 366 * DAY;
	shown += MINUTE - t.second * SECOND;
	while (shown < last) {
		civil_of(&t, shown);
		if (is_day(c, &t) && is_time(c, &t)) {
			const int64_t utc = zone_utc(z, &t);

			if (utc > after_ms)
				return utc;
		}
		shown += step_ms(c, &t);
	}
	return INT64_MAX;
}

/* Far away long steps, then hour by hour: one may be missing on the way. */
static int64_t careful(int64_t step, const struct civil *t)
{
	if (step > 4 * HOUR)
		return step - 3 * HOUR;
	return MIN(step, (60 - t->minute) * (int64_t)MINUTE - t->second * SECOND);
}

static int64_t next_real(const struct cron *c, const struct zone *z, int64_t after_ms)
{
	const int64_t last = after_ms + YEARS_MAX * 366 * DAY;
	int64_t utc = after_ms + 1;

	while (utc < last) {
		struct civil t;

		zone_local(z, utc, &t);
		if (utc % SECOND == 0 && t.second == 0 && is_day(c, &t) && is_time(c, &t))
			return utc;
		utc += utc % SECOND != 0 ? SECOND - utc % SECOND : careful(step_ms(c, &t), &t);
	}
	return INT64_MAX;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms)
{
	if (after_ms < 0 || after_ms > LAST_MS)
		return INT64_MAX;
	if (c->every_ms > 0)
		return (after_ms / c->every_ms + 1) * c->every_ms;
	return c->any_hour ? next_real(c, z, after_ms) : next_shown(c, z, after_ms);
}
