#include "controld/options.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *what;
	const char *argv[8];
	bool database;
	int rc;
	enum options_action action;
	const char *config, *set, *url, *arg; /* NULL: not looked at */
} cases[] = {
	{ "nothing", { "controld" }, false, 0, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "a file", { "controld", "--config", "a.yaml" }, false, 0, OPTIONS_RUN, "a.yaml", NULL, NULL, NULL },
	{ "a file, one word", { "controld", "--config=a.yaml" }, false, 0, OPTIONS_RUN, "a.yaml", NULL, NULL, NULL },
	{ "one dash", { "controld", "-config", "a.yaml" }, false, 0, OPTIONS_RUN, "a.yaml", NULL, NULL, NULL },
	{ "a setting", { "controld", "--set", "a=b=c" }, false, 0, OPTIONS_RUN, NULL, "a=b=c", NULL, NULL },
	{ "check", { "controld", "--check-config" }, false, 0, OPTIONS_CHECK_CONFIG, NULL, NULL, NULL, NULL },
	{ "help", { "controld", "--help" }, false, 0, OPTIONS_HELP, NULL, NULL, NULL, NULL },
	{ "a value that is missing", { "controld", "--config" }, false, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "a value too much", { "controld", "--help=x" }, false, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "no such flag", { "controld", "--nonsense" }, false, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "part of a flag", { "controld", "--conf", "x" }, false, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "an argument", { "controld", "start" }, false, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "a database's flag", { "controld", "--database", "x" }, false, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
	{ "db", { "db", "list", "-database", "sqlite:x" }, true, 0, OPTIONS_RUN, NULL, NULL, "sqlite:x", "list" },
	{ "db, flag first", { "db", "-database", "sqlite:x", "list" }, true, 0, OPTIONS_RUN, NULL, NULL, "sqlite:x",
		"list" },
	{ "db with too much", { "db", "copy", "a", "b", "c" }, true, -1, OPTIONS_RUN, NULL, NULL, NULL, NULL },
};

static bool same(const char *want, const char *got)
{
	return want == NULL || str_eq(want, got);
}

static void test_parse(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct options o;
		struct err e = { 0 };
		int argc = 0, rc;

		while (cases[i].argv[argc] != NULL)
			argc++;
		rc = options_parse(&o, argc, (char **)(uintptr_t)cases[i].argv, cases[i].database, &e);
		if (rc != cases[i].rc || (rc == 0 && o.action != cases[i].action) ||
			(rc != 0 && e.code != ERR_BAD_REQUEST) || !same(cases[i].config, o.config) ||
			!same(cases[i].set, o.set[0]) || !same(cases[i].url, o.database) ||
			!same(cases[i].arg, o.args[0])) {
			print_error("%s: %d %s\n", cases[i].what, rc, e.msg);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

static void test_as_many_settings_as_there_is_room(void **state)
{
	const char *argv[2 * OPTIONS_SET_MAX + 4] = { "controld" };
	struct options o;
	struct err e = { 0 };
	int argc = 1;

	(void)state;
	for (int i = 0; i < OPTIONS_SET_MAX; i++) {
		argv[argc++] = "--set";
		argv[argc++] = "a=b";
	}
	assert_int_equal(options_parse(&o, argc, (char **)(uintptr_t)argv, false, &e), 0);
	assert_int_equal(o.n_set, OPTIONS_SET_MAX);
	assert_null(o.set[OPTIONS_SET_MAX]);
	argv[argc++] = "--set";
	argv[argc++] = "a=b";
	assert_int_equal(options_parse(&o, argc, (char **)(uintptr_t)argv, false, &e), -1);
}

static void test_the_file_may_come_from_the_environment(void **state)
{
	const char *argv[] = { "controld", NULL };
	struct options o;

	(void)state;
	setenv("CONFIG_FILE", "/etc/x.yaml", 1);
	assert_int_equal(options_parse(&o, 1, (char **)(uintptr_t)argv, false, NULL), 0);
	assert_string_equal(o.config, "/etc/x.yaml");
	unsetenv("CONFIG_FILE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_as_many_settings_as_there_is_room),
		cmocka_unit_test(test_the_file_may_come_from_the_environment),
	};

	unsetenv("CONFIG_FILE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
