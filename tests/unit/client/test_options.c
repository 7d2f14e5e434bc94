#include "client/commands/options.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const colours[] = { "red", "green", NULL };
static const struct option_row global[] = {
	{ .name = "url", .type = OPTION_TEXT, .value = "URL" },
	{ .name = "output", .letter = 'o', .type = OPTION_CHOICE, .value = "C", .choices = colours },
	{ .name = "json", .type = OPTION_FLAG },
	{ .name = NULL },
};
static const struct option_row own[] = {
	{ .name = "limit", .letter = 'n', .type = OPTION_NUMBER, .value = "N", .min = 1, .max = 100 },
	{ .name = "wait", .type = OPTION_DURATION, .optional = true, .value = "TIME", .min = 0, .max = 60000 },
	{ .name = NULL },
};
static const struct option_row *const lists[] = { global, own, NULL };

/* want: words left, then name=text:number of each option; or "!" and a part of the complaint. */
static const struct {
	const char *what, *line, *want;
} cases[] = {
	{ "words", "a b", "a b" },
	{ "nothing", "", "" },
	{ "long, two words", "--url x a", "a url=x:0" },
	{ "long with =", "--url=x=y", "url=x=y:0" },
	{ "empty value", "--url= a", "a url=:0" },
	{ "letter, two words", "-n 5", "limit=5:5" },
	{ "letter in one", "-n5", "limit=5:5" },
	{ "flag in the middle", "a --json b", "a b json=:0" },
	{ "twice", "-n 1 -n 2", "limit=1:1 limit=2:2" },
	{ "end of options", "-- --json -n", "--json -n" },
	{ "dash is a word", "- a", "- a" },
	{ "a value may begin with a dash", "--url -x", "url=-x:0" },
	{ "optional, absent", "--wait 5s", "5s wait=:0" },
	{ "optional, given", "--wait=5s", "wait=5s:5000" },
	{ "choice", "-o red", "output=red:0" },
	{ "not among the choices", "-o blue", "!--output must be one of red, green, not 'blue'" },
	{ "too large", "-n 101", "!--limit must be a number from 1 to 100, not '101'" },
	{ "no number", "--limit=x", "!from 1 to 100, not 'x'" },
	{ "no time", "--wait=soon", "!--wait must be a time like 30s" },
	{ "time too long", "--wait=61s", "!to 60s" },
	{ "value missing", "a --url", "!--url needs its URL" },
	{ "unknown", "--urls x", "!there is no option '--urls' here" },
	{ "unknown letter", "-x", "!there is no option '-x' here" },
	{ "beginning of a name", "--ur x", "!there is no option '--ur' here" },
	{ "flag with a value", "--json=1", "!--json takes no value" },
};

static void describe(char *dst, size_t size, const char *line)
{
	char copy[200], *argv[32] = { NULL };
	struct options o;
	struct err e;
	int argc = 0, left;
	size_t n = 0;

	(void)snprintf(copy, sizeof copy, "%s", line);
	for (char *save = NULL, *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	dst[0] = '\0';
	if ((left = options_parse(&o, lists, argc, argv, &e)) < 0) {
		(void)snprintf(dst, size, "!%s", e.msg);
		return;
	}
	for (int i = 0; i < left; i++)
		n += (size_t)snprintf(dst + n, size - n, "%s%s", n > 0 ? " " : "", argv[i]);
	for (size_t i = 0; i < o.n; i++)
		n += (size_t)snprintf(dst + n, size - n, "%s%s=%s:%lld", n > 0 ? " " : "", o.given[i].row->name,
			o.given[i].text, (long long)o.given[i].number);
}

static void test_table(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool complaint = cases[i].want[0] == '!';
		char got[500];

		describe(got, sizeof got, cases[i].line);
		if (complaint ? got[0] == '!' && strstr(got, cases[i].want + 1) != NULL
			      : strcmp(got, cases[i].want) == 0)
			continue;
		print_error("%s: got '%s', want '%s'\n", cases[i].what, got, cases[i].want);
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void test_the_last_one_counts(void **state)
{
	char a[] = "-n1", b[] = "--limit=2", *argv[] = { a, b, NULL };
	struct options o;

	(void)state;
	assert_int_equal(options_parse(&o, lists, 2, argv, NULL), 0);
	assert_int_equal(options_number(&o, "limit", 7), 2);
	assert_int_equal(options_number(&o, "wait", 7), 7);
	assert_string_equal(options_text(&o, "url", "none"), "none");
	assert_true(options_has(&o, "limit"));
	assert_false(options_has(&o, "json"));
}

static void test_too_many(void **state)
{
	char flag[] = "--json", *argv[OPTIONS_MAX + 2];
	struct options o;
	struct err e;

	(void)state;
	for (size_t i = 0; i < OPTIONS_MAX + 1; i++)
		argv[i] = flag;
	argv[OPTIONS_MAX + 1] = NULL;
	assert_int_equal(options_parse(&o, lists, OPTIONS_MAX + 1, argv, &e), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_the_last_one_counts),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
