/* zone: what clocks show and skip around summer time, every name of the database against the C library, and foreign bytes. */
#include "common/base/zone.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/base/zone_rule.h"

#include <fts.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define FOLDER "/usr/share/zoneinfo/"

static int64_t at(const char *text)
{
	int64_t ms;

	assert_int_equal(clock_parse_rfc3339(text, &ms), 0);
	return ms;
}

static struct zone *open_zone(const char *name)
{
	struct zone *z = NULL;
	struct err e = { 0 };

	if (zone_open(&z, name, &e) != 0)
		fail_msg("%s", e.msg);
	return z;
}

static void shown(void **state)
{
	static const struct {
		const char *what, *zone, *utc, *local;
	} cases[] = {
		{ "UTC", "UTC", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z" },
		{ "an offset", "-09:30", "2026-07-01T12:00:00Z", "2026-07-01T02:30:00Z" },
		{ "winter", "Europe/Berlin", "2026-01-15T12:00:00Z", "2026-01-15T13:00:00Z" },
		{ "summer", "Europe/Berlin", "2026-07-15T12:00:00Z", "2026-07-15T14:00:00Z" },
		{ "the last second of winter", "Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T01:59:59Z" },
		{ "the first of summer", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z" },
		{ "beyond the file's changes", "Europe/Berlin", "2199-07-15T12:00:00Z", "2199-07-15T14:00:00Z" },
		{ "southern summer", "Australia/Sydney", "2060-01-15T12:00:00Z", "2060-01-15T23:00:00Z" },
		{ "southern winter", "Australia/Sydney", "2060-07-15T12:00:00Z", "2060-07-15T22:00:00Z" },
		{ "a change of half an hour", "Australia/Lord_Howe", "2060-07-15T12:00:00Z", "2060-07-15T22:30:00Z" },
		{ "three quarters of an hour", "Asia/Kathmandu", "2026-07-15T12:00:00Z", "2026-07-15T17:45:00Z" },
		{ "no summer time any more", "America/Sao_Paulo", "2026-01-15T12:00:00Z", "2026-01-15T09:00:00Z" },
		{ "a day that was skipped", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00:00Z" },
		{ "winter time is the odd one", "Europe/Dublin", "2050-01-15T12:00:00Z", "2050-01-15T12:00:00Z" },
		{ "before the first change", "Europe/Berlin", "1800-01-01T00:00:00Z", "1800-01-01T00:53:28Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct zone *z = open_zone(cases[i].zone);
		struct civil c;

		print_message("%s\n", cases[i].what);
		zone_local(z, at(cases[i].utc), &c);
		assert_int_equal(civil_ms(&c), at(cases[i].local));
		assert_int_equal(zone_utc(z, &c), at(cases[i].utc));
		zone_free(z);
	}
}

/* What clocks skip is the moment they skip it, what they show twice is the first. */
static void skipped_and_twice(void **state)
{
	static const struct {
		const char *what, *zone, *local, *utc;
	} cases[] = {
		{ "just before the gap", "Europe/Berlin", "2026-03-29T01:59:59Z", "2026-03-29T00:59:59Z" },
		{ "the gap begins", "Europe/Berlin", "2026-03-29T02:00:00Z", "2026-03-29T01:00:00Z" },
		{ "in the gap", "Europe/Berlin", "2026-03-29T02:30:00Z", "2026-03-29T01:00:00Z" },
		{ "after the gap", "Europe/Berlin", "2026-03-29T03:00:00Z", "2026-03-29T01:00:00Z" },
		{ "before it is shown twice", "Europe/Berlin", "2026-10-25T01:59:59Z", "2026-10-24T23:59:59Z" },
		{ "shown twice", "Europe/Berlin", "2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z" },
		{ "shown once again", "Europe/Berlin", "2026-10-25T03:00:00Z", "2026-10-25T02:00:00Z" },
		{ "midnight is skipped", "America/Santiago", "2026-09-06T00:00:00Z", "2026-09-06T04:00:00Z" },
		{ "midnight comes twice", "America/Havana", "2026-11-01T00:30:00Z", "2026-11-01T04:30:00Z" },
		{ "a whole day is skipped", "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z" },
		{ "by the rule, in the gap", "America/New_York", "2099-03-08T02:59:59Z", "2099-03-08T07:00:00Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct zone *z = open_zone(cases[i].zone);
		struct civil c;

		print_message("%s\n", cases[i].what);
		civil_of(&c, at(cases[i].local));
		assert_int_equal(zone_utc(z, &c), at(cases[i].utc));
		zone_free(z);
	}
}

/* A time that rises never becomes an instant that falls. */
static void rises(void **state)
{
	static const char *const zones[] = { "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago",
		"Africa/Casablanca" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		struct zone *z = open_zone(zones[i]);
		int64_t last = INT64_MIN;

		for (int64_t ms = at("2026-01-01T00:00:00Z"); ms < at("2028-01-01T00:00:00Z"); ms += 600000) {
			struct civil c;

			civil_of(&c, ms);
			assert_true(zone_utc(z, &c) >= last);
			last = zone_utc(z, &c);
		}
		zone_free(z);
	}
}

static void compare(const char *name)
{
	struct zone *z = open_zone(name);

	setenv("TZ", name, 1);
	tzset();
	for (int64_t s = -2145916800; s < INT64_C(6000000000); s += 17 * 86400 + 1234) {
		const time_t t = s;
		struct tm tm;

		localtime_r(&t, &tm);
		if (zone_offset_ms(z, s * 1000) != tm.tm_gmtoff * 1000)
			fail_msg("%s at %lld: %lld, the C library has %ld", name, (long long)s,
				(long long)zone_offset_ms(z, s * 1000) / 1000, tm.tm_gmtoff);
	}
	zone_free(z);
}

/* What lies beside the zones, and the copies of all of them. */
static bool is_zone(const char *name)
{
	static const char *const not [] = { "localtime", "posixrules", "Factory", "leapseconds", "+VERSION" };

	for (size_t i = 0; i < ARRAY_LEN(not ); i++)
		if (str_eq(name, not [i]))
			return false;
	return strchr(name, '.') == NULL && !str_starts(name, "right/") && !str_starts(name, "posix/");
}

static void as_the_c_library(void **state)
{
	char *folder[] = { (char[]){ FOLDER }, NULL };
	FTS *tree = fts_open(folder, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	const FTSENT *f;
	int n = 0;

	(void)state;
	assert_non_null(tree);
	while ((f = fts_read(tree)) != NULL)
		if (f->fts_info == FTS_F && is_zone(f->fts_path + sizeof FOLDER - 1)) {
			compare(f->fts_path + sizeof FOLDER - 1);
			n++;
		}
	fts_close(tree);
	unsetenv("TZ");
	print_message("%d names\n", n);
	assert_true(n > 300);
}

static void names(void **state)
{
	static const char *const bad[] = { "", "Mars", "Europe", "europe/berlin", "/etc/passwd", "../../../etc/passwd",
		"Europe//Berlin", "Europe/Berlin/", "Europe/Ber lin", "zone.tab", "leapseconds", "localtime",
		"posixrules", "+2:00", "+02:60", "+15:00", "02:00", "+02:00x", "+0a:00", "right/Europe/Berlin",
		"Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Europe/Berlin\n" };
	struct zone *z = NULL;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = (struct err){ 0 };
		print_message("%s\n", bad[i]);
		assert_int_equal(zone_open(&z, bad[i], &e), -1);
		assert_int_equal(e.code, ERR_VALIDATION);
		assert_non_null(strstr(e.msg, "time zone"));
	}
	assert_null(z);
}

static void rules(void **state)
{
	static const struct {
		const char *what, *rule, *utc;
		int32_t offset;
	} good[] = {
		{ "no summer", "<+0330>-3:30", "2026-07-01T00:00:00Z", 12600 },
		{ "by days of the year", "AAA3BBB,J60/0,J300/0", "2028-03-01T03:00:00Z", -7200 },
		{ "J60 is 1 March in a leap year, too", "AAA3BBB,J60/0,J300/0", "2028-03-01T02:59:59Z", -10800 },
		{ "counted with 29 February", "AAA3BBB,59/0,300/0", "2028-02-29T03:00:00Z", -7200 },
		{ "summer all the year", "XXX3EDT4,0/0,J365/23", "2026-12-31T23:59:59Z", -14400 },
		{ "hours before midnight", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -3600 },
		{ "a moment before", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", -7200 },
		{ "seconds", "LMT-0:53:28", "1800-01-01T00:00:00Z", 3208 },
	};
	static const char *const bad[] = { "", "CE-1", "CET", "CET-1CEST", "CET-1CEST,M3.5.0",
		"CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,J0,J100", "CET-1CEST,366,100", "CET-1CEST,M3.5.0,M10.5.0x", "CET-25", "<CET-1",
		"CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0,M10.5.0/", "CET-0001" };
	struct zone_rule r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		print_message("%s\n", good[i].what);
		assert_int_equal(zone_rule_parse(&r, good[i].rule), 0);
		assert_int_equal(zone_rule_offset(&r, at(good[i].utc) / 1000), good[i].offset);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(zone_rule_parse(&r, bad[i]), -1);
	}
}

/* Whatever is cut off or flipped: refused or a zone, and nothing is read beyond it. */
static void foreign_bytes(void **state)
{
	uint8_t *bytes;
	size_t n;
	struct err e;

	(void)state;
	assert_int_equal(file_read(FOLDER "Europe/Berlin", 65536, &bytes, &n, &e), 0);
	for (size_t len = 0; len < n; len++) {
		uint8_t *copy = malloc(len + 1);
		struct zone *z;

		memcpy(copy, bytes, len);
		assert_int_equal(zone_parse(&z, copy, len, &e), -1);
		free(copy);
	}
	for (size_t i = 0; i < n; i++) {
		struct zone *z;

		bytes[i] ^= 0xff;
		if (zone_parse(&z, bytes, n, &e) == 0)
			zone_free(z);
		bytes[i] ^= 0xff;
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shown),
		cmocka_unit_test(skipped_and_twice),
		cmocka_unit_test(rises),
		cmocka_unit_test(as_the_c_library),
		cmocka_unit_test(names),
		cmocka_unit_test(rules),
		cmocka_unit_test(foreign_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
