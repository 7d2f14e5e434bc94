/*
 * A zone is a list of changes of its offset, and a rule for the time after the last of them.
 *
 *   TZif: header, data with 32-bit times (skipped), header, data with 64-bit times, '\n' rule '\n'
 *   header: "TZif" version reserved[15], then six u32: isut, isstd, leap, time, type, char
 *   data:   time x i64 | time x u8 index of a type | type x (i32 offset, u8 dst, u8 name) | char | leap x 12 | isstd | isut
 */
#include "common/base/zone.h"

#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/base/zone_rule.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER     "/usr/share/zoneinfo"
#define FILE_MAX   (256 * 1024)
#define RULE_SIZE  128
#define DAY_MS     INT64_C(86400000)
#define OFFSET_MAX (24 * 3600 - 1) /* seconds */

struct change {
	int64_t at;     /* seconds since 1970 UTC */
	int32_t offset; /* from then on, in seconds */
};

struct zone {
	struct zone_rule rule; /* from the last change on */
	bool has_rule;
	int32_t first; /* offset before the first change */
	uint32_t n;
	struct change changes[];
};

/* ---- reading ------------------------------------------------------------------------------------------------------- */

struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static void read_header(struct cursor *c, struct counts *n)
{
	const uint8_t *magic = cursor_bytes(c, 4);

	if (magic == NULL || memcmp(magic, "TZif", 4) != 0 || cursor_u8(c) < '2')
		cursor_fail(c);
	cursor_bytes(c, 15);
	n->isut = cursor_u32(c);
	n->isstd = cursor_u32(c);
	n->leap = cursor_u32(c);
	n->time = cursor_u32(c);
	n->type = cursor_u32(c);
	n->chars = cursor_u32(c);
}

/* The file has at most FILE_MAX bytes, so that a count beyond it is wrong and none of these sums can wrap. */
static void skip_short_data(struct cursor *c)
{
	struct counts n;

	read_header(c, &n);
	if (n.isut > FILE_MAX || n.isstd > FILE_MAX || n.leap > FILE_MAX || n.time > FILE_MAX || n.type > FILE_MAX ||
		n.chars > FILE_MAX)
		cursor_fail(c);
	else
		cursor_bytes(c, (size_t)n.time * 5 + n.type * 6 + n.chars + n.leap * 8 + n.isstd + n.isut);
}

static int32_t offset_of(struct cursor *c, const uint8_t *types, uint32_t n, uint32_t i)
{
	struct cursor type;
	int32_t offset;

	if (c->failed || i >= n) {
		cursor_fail(c);
		return 0;
	}
	cursor_init(&type, types + (size_t)i * 6, 6);
	offset = (int32_t)cursor_u32(&type);
	if (offset < -OFFSET_MAX || offset > OFFSET_MAX)
		cursor_fail(c);
	return offset;
}

/* Leap seconds would make another count of seconds of it: such files ("right/...") are refused. */
static void read_data(struct cursor *c, const struct counts *n, struct zone *z)
{
	const uint8_t *times = cursor_bytes(c, (size_t)n->time * 8), *index = cursor_bytes(c, n->time);
	const uint8_t *types = cursor_bytes(c, (size_t)n->type * 6);
	struct cursor time;

	cursor_bytes(c, n->chars);
	cursor_bytes(c, n->isstd);
	cursor_bytes(c, n->isut);
	z->first = offset_of(c, types, n->type, 0);
	z->n = c->failed ? 0 : n->time;
	cursor_init(&time, times, z->n * (size_t)8);
	for (uint32_t i = 0; i < z->n; i++) {
		z->changes[i].at = (int64_t)cursor_u64(&time);
		z->changes[i].offset = offset_of(c, types, n->type, index[i]);
		if (i > 0 && z->changes[i].at <= z->changes[i - 1].at)
			cursor_fail(c);
	}
}

static void read_rule(struct cursor *c, struct zone *z)
{
	const uint8_t *at = c->p, *end;
	char rule[RULE_SIZE];

	if (c->failed || c->left == 0 || *at != '\n' || (end = memchr(at + 1, '\n', c->left - 1)) == NULL ||
		end - at > RULE_SIZE) {
		cursor_fail(c);
		return;
	}
	memcpy(rule, at + 1, (size_t)(end - at - 1));
	rule[end - at - 1] = '\0';
	cursor_bytes(c, (size_t)(end - at + 1));
	z->has_rule = rule[0] != '\0';
	if (strlen(rule) != (size_t)(end - at - 1) || (z->has_rule && zone_rule_parse(&z->rule, rule) != 0))
		cursor_fail(c);
}

int zone_parse(struct zone **out, const void *tzif, size_t size, struct err *e)
{
	struct counts n;
	struct cursor c;
	struct zone *z;

	cursor_init(&c, tzif, MIN(size, FILE_MAX));
	skip_short_data(&c);
	read_header(&c, &n);
	if (c.failed || n.leap != 0 || n.time > c.left / 9 || n.type > c.left / 6)
		return err_set(
			e, ERR_VALIDATION, NULL, "no time zone: not a TZif file of version 2 without leap seconds");
	z = calloc(1, sizeof *z + n.time * sizeof z->changes[0]);
	if (z == NULL)
		return err_set(e, ERR_NOMEM, NULL, "time zone: out of memory");
	read_data(&c, &n, z);
	read_rule(&c, z);
	if (c.failed) {
		zone_free(z);
		return err_set(e, ERR_VALIDATION, NULL, "no time zone: the TZif file is cut or contradicts itself");
	}
	*out = z;
	return 0;
}

void zone_free(struct zone *z)
{
	free(z);
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

static bool two_digits(const char *s, int max, int *out)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return false;
	*out = (s[0] - '0') * 10 + (s[1] - '0');
	return *out <= max;
}

static bool fixed_offset(const char *s, int32_t *seconds)
{
	int hours, minutes;

	*seconds = 0;
	if (str_eq(s, "UTC") || str_eq(s, "Z"))
		return true;
	if (strlen(s) != 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':' || !two_digits(s + 1, 14, &hours) ||
		!two_digits(s + 4, 59, &minutes))
		return false;
	*seconds = (hours * 3600 + minutes * 60) * (s[0] == '-' ? -1 : 1);
	return true;
}

/* Letters, digits, _ + - and single slashes between them: no way out of the folder. What follows the machine is no name. */
static bool is_name(const char *s)
{
	static const char *const not [] = { "localtime", "posixrules", "Factory" };
	const size_t len = strlen(s);

	if (len == 0 || len >= ZONE_NAME_SIZE || s[0] == '/' || s[len - 1] == '/' || strstr(s, "//") != NULL)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(not ); i++)
		if (str_eq(s, not [i]))
			return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") == len;
}

static int refuse(const char *name, struct err *e)
{
	err_set(e, ERR_VALIDATION, NULL,
		"'%s' is no time zone: UTC, an offset such as +02:00 or a name such as Europe/Berlin", name);
	return err_detail(e, "format", name);
}

static int open_named(struct zone **out, const char *name, struct err *e)
{
	char path[sizeof FOLDER + ZONE_NAME_SIZE];
	uint8_t *bytes;
	size_t n;
	int rc;

	str_fmt(path, sizeof path, FOLDER "/%s", name);
	if (file_read(path, FILE_MAX, &bytes, &n, e) != 0) {
		if (access(FOLDER, F_OK) == 0)
			return refuse(name, e);
		err_set(e, ERR_VALIDATION, NULL,
			"time zone '%s': the names are not known here: " FOLDER " is missing (package tzdata)", name);
		return err_detail(e, "unavailable", name);
	}
	rc = zone_parse(out, bytes, n, e);
	free(bytes);
	return rc == 0 || (e != NULL && e->code == ERR_NOMEM) ? rc : refuse(name, e);
}

int zone_open(struct zone **out, const char *name, struct err *e)
{
	int32_t seconds;
	struct zone *z;

	if (!fixed_offset(name, &seconds))
		return is_name(name) ? open_named(out, name, e) : refuse(name, e);
	if ((z = calloc(1, sizeof *z)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "time zone: out of memory");
	z->first = seconds;
	*out = z;
	return 0;
}

/* ---- asking -------------------------------------------------------------------------------------------------------- */

static int32_t offset_at(const struct zone *z, int64_t utc)
{
	uint32_t from = 0, to = z->n; /* the first change after utc lies between */

	while (from < to) {
		const uint32_t mid = from + (to - from) / 2;

		if (z->changes[mid].at <= utc)
			from = mid + 1;
		else
			to = mid;
	}
	if (from == z->n && z->has_rule)
		return zone_rule_offset(&z->rule, utc);
	return from == 0 ? z->first : z->changes[from - 1].offset;
}

int64_t zone_offset_ms(const struct zone *z, int64_t utc_ms)
{
	return INT64_C(1000) * offset_at(z, utc_ms / 1000 - (utc_ms % 1000 < 0));
}

void zone_local(const struct zone *z, int64_t utc_ms, struct civil *out)
{
	civil_of(out, utc_ms + zone_offset_ms(z, utc_ms));
}

/* The first instant after `from` that no longer has its offset: there is one until `to`. */
static int64_t change_between(const struct zone *z, int64_t from, int64_t to)
{
	const int64_t offset = zone_offset_ms(z, from);

	while (to - from > 1) {
		const int64_t mid = from + (to - from) / 2;

		if (zone_offset_ms(z, mid) == offset)
			from = mid;
		else
			to = mid;
	}
	return to;
}

/* Offsets are less than a day, so those of a day before and after are the two that can matter. */
int64_t zone_utc(const struct zone *z, const struct civil *local)
{
	const int64_t shown = civil_ms(local);
	const int64_t before = zone_offset_ms(z, shown - DAY_MS), after = zone_offset_ms(z, shown + DAY_MS);
	const int64_t early = shown - before, late = shown - after;

	if (zone_offset_ms(z, early) == before)
		return early;
	if (zone_offset_ms(z, late) == after)
		return late;
	return change_between(z, late, early); /* skipped: clocks went from before `shown` to behind it */
}
