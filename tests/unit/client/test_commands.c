/* The table of commands: whole, sorted, unique; what people call by mistake is answered with 2. */
#include "client/commands/command.h"
#include "client/commands/help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void check_options(const char *command, const struct option_row *rows)
{
	for (const struct option_row *r = rows; r != NULL && r->name != NULL; r++) {
		if (r->help == NULL || (r->type == OPTION_FLAG) != (r->value == NULL) ||
			(r->type == OPTION_CHOICE) != (r->choices != NULL))
			fail_msg("%s --%s is not whole", command, r->name);
		if ((r->type == OPTION_NUMBER || r->type == OPTION_DURATION) && r->max <= r->min)
			fail_msg("%s --%s has no range", command, r->name);
		for (const struct option_row *g = commands_global; g->name != NULL; g++)
			if (rows != commands_global &&
				(strcmp(g->name, r->name) == 0 || (g->letter != 0 && g->letter == r->letter)))
				fail_msg("%s --%s hides an option of every command", command, r->name);
	}
}

static void test_rows_are_whole(void **state)
{
	(void)state;
	check_options("", commands_global);
	for (const struct command *c = commands_table; c->name != NULL; c++) {
		if (c->summary == NULL || c->args == NULL || c->run == NULL)
			fail_msg("%s is not whole", c->name);
		if (c != commands_table && strcmp(c[-1].name, c->name) >= 0)
			fail_msg("%s is out of order", c->name);
		if ((c->words == WORDS_LIST) != (c->list != NULL))
			fail_msg("%s: words without a list", c->name);
		check_options(c->name, c->options);
		assert_ptr_equal(commands_find(c->name), c);
	}
}

/* Every command and option is in the help, in the parts of the man page and in each completion. */
static void test_all_are_told(void **state)
{
	static const char *const places[][2] = { { "help", "mdoc:commands" }, { "completion", "bash" },
		{ "completion", "zsh" }, { "completion", "fish" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char word[32], first[32], *argv[] = { first, word, NULL }, *text = NULL;
		size_t n = 0;
		FILE *out = open_memstream(&text, &n);

		(void)snprintf(first, sizeof first, "%s", places[i][0]);
		(void)snprintf(word, sizeof word, "%s", places[i][1]);
		assert_int_equal(commands_run(2, argv, out), EXIT_DONE);
		(void)fclose(out);
		for (const struct command *c = commands_table; c->name != NULL; c++) {
			if (strstr(text, c->name) == NULL)
				fail_msg("%s %s does not tell of %s", places[i][0], places[i][1], c->name);
			for (const struct option_row *r = c->options; r != NULL && r->name != NULL; r++)
				if (strstr(text, r->name) == NULL)
					fail_msg("%s %s: nothing of %s --%s", places[i][0], places[i][1], c->name,
						r->name);
		}
		free(text);
	}
}

static const struct {
	const char *line;
	int exit;
} calls[] = {
	{ "", EXIT_USAGE },
	{ "--help", EXIT_DONE },
	{ "-h", EXIT_DONE },
	{ "--version", EXIT_DONE },
	{ "help login", EXIT_DONE },
	{ "login --help", EXIT_DONE },
	{ "--json version", EXIT_DONE },
	{ "version --json", EXIT_DONE },
	{ "--url x version", EXIT_DONE },
	{ "frobnicate", EXIT_USAGE },
	{ "--frob", EXIT_USAGE },
	{ "version extra", EXIT_USAGE },
	{ "version --email x", EXIT_USAGE },
	{ "completion", EXIT_USAGE },
	{ "completion tcsh", EXIT_USAGE },
	{ "status --url ftp://x", EXIT_USAGE },
	{ "status --url http://a:b@c", EXIT_USAGE },
	{ "status --profile ../x", EXIT_USAGE },
	{ "status --tries 0", EXIT_USAGE },
};

static void test_calls(void **state)
{
	FILE *out = fopen("/dev/null", "w");
	int err = dup(STDERR_FILENO);
	size_t failed = 0;

	(void)state;
	(void)dup2(fileno(out), STDERR_FILENO);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		char copy[100], *argv[8] = { NULL };
		int argc = 0, rc;

		(void)snprintf(copy, sizeof copy, "%s", calls[i].line);
		for (char *save = NULL, *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
			argv[argc++] = w;
		rc = commands_run(argc, argv, out);
		if (rc == calls[i].exit)
			continue;
		(void)printf("portway %s: %d, want %d\n", calls[i].line, rc, calls[i].exit);
		failed++;
	}
	(void)dup2(err, STDERR_FILENO);
	(void)close(err);
	(void)fclose(out);
	assert_int_equal(failed, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_whole),
		cmocka_unit_test(test_all_are_told),
		cmocka_unit_test(test_calls),
	};

	(void)setenv("XDG_CONFIG_HOME", "/nonexistent/portway-test", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
