#include "client/commands/help.h"

#include "client/commands/command.h"
#include "client/resource/resource.h"
#include "common/base/str.h"

#include <string.h>

#define WIDTH  100
#define COLUMN 26

/* ---- text --------------------------------------------------------------------------------------------------------- */

/* Words from `indent` to the width, broken at blanks. */
static void put_wrapped(FILE *out, const char *text, int indent)
{
	int at = indent;

	while (*text != '\0') {
		int n = (int)strcspn(text, " ");

		if (at > indent && at + 1 + n > WIDTH) {
			(void)fprintf(out, "\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			(void)fputc(' ', out);
			at++;
		}
		(void)fprintf(out, "%.*s", n, text);
		at += n;
		text += n;
		text += strspn(text, " ");
	}
	(void)fputc('\n', out);
}

static void print_option(char *dst, size_t size, const struct option_row *r)
{
	char letter[8] = "    ";

	if (r->letter != 0)
		(void)str_fmt(letter, sizeof letter, "-%c, ", r->letter);
	(void)str_fmt(dst, size, "%s--%s%s%s%s", letter, r->name,
		r->value == NULL ? ""
		: r->optional    ? "[="
				 : " ",
		r->value == NULL ? "" : r->value, r->optional ? "]" : "");
}

static void put_options(FILE *out, const struct option_row *rows)
{
	char text[80];

	for (; rows != NULL && rows->name != NULL; rows++) {
		print_option(text, sizeof text, rows);
		(void)fprintf(out, "  %-*s", COLUMN - 2, text);
		if (strlen(text) > COLUMN - 3)
			(void)fprintf(out, "\n%*s", COLUMN, "");
		put_wrapped(out, rows->help, COLUMN);
	}
}

static void put_resources(FILE *out)
{
	(void)fprintf(out, "\nresources (singular or plural; any other collection of the API works as well):\n");
	for (const struct resource *r = resource_table; r->name != NULL; r++)
		(void)fprintf(out, "  %-12s %s\n", r->name, r->summary);
}

void help_command(FILE *out, const struct command *c)
{
	(void)fprintf(out, "usage: portway %s%s%s%s\n\n%s\n", c->name, c->options != NULL ? " [OPTIONS]" : "",
		c->args[0] != '\0' ? " " : "", c->args, c->summary);
	if (c->details != NULL) {
		(void)fputc('\n', out);
		put_wrapped(out, c->details, 0);
	}
	if (c->options != NULL) {
		(void)fprintf(out, "\noptions:\n");
		put_options(out, c->options);
	}
	if (c->words == WORDS_RESOURCE)
		put_resources(out);
	if (c->example != NULL)
		(void)fprintf(out, "\nexample:\n  %s\n", c->example);
	(void)fprintf(out, "\nportway --help lists the options that every command has.\n");
}

void help_all(FILE *out)
{
	(void)fprintf(out, "usage: portway [OPTIONS] COMMAND [WORDS]\n\n"
			   "The command line of Portway: tunnels and the fleet that serves them.\n\ncommands:\n");
	for (const struct command *c = commands_table; c->name != NULL; c++)
		(void)fprintf(out, "  %-12s %s\n", c->name, c->summary);
	(void)fprintf(out, "\noptions of every command:\n");
	put_options(out, commands_global);
	(void)fprintf(out, "\nexit status:\n");
#define X(name, number, meaning) (void)fprintf(out, "  %d  %s\n", number, meaning);
	EXIT_CODES(X)
#undef X
	(void)fprintf(out, "\nportway help COMMAND explains one; portway(1) has all.\n");
}

/* ---- mdoc --------------------------------------------------------------------------------------------------------- */

/* A line of its own: what begins with a dot or an apostrophe would be a macro, a backslash an escape. */
static void put_roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		(void)fputs("\\&", out);
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			(void)fputs("\\e", out);
		else if (*text == '-' && text[1] == '-')
			(void)fputs("\\-", out);
		else if (*text == '.' && text[1] == ' ') {
			(void)fputs(".\n", out); /* a new sentence begins a new line */
			text++;
		} else
			(void)fputc(*text, out);
	}
	(void)fputc('\n', out);
}

static void put_roff_options(FILE *out, const struct option_row *rows)
{
	for (; rows->name != NULL; rows++) {
		(void)fputs(".It ", out);
		if (rows->letter != 0)
			(void)fprintf(out, "Fl %c , ", rows->letter);
		(void)fprintf(out, "Fl -%s", rows->name);
		if (rows->value != NULL)
			(void)fprintf(out, rows->optional ? " Ns Op = Ns Ar %s" : " Ar %s", rows->value);
		(void)fputc('\n', out);
		put_roff(out, rows->help);
	}
}

static void put_roff_commands(FILE *out)
{
	for (const struct command *c = commands_table; c->name != NULL; c++) {
		(void)fprintf(out, ".It Cm %s", c->name);
		if (c->args[0] != '\0')
			(void)fprintf(out, " %s", c->args);
		(void)fprintf(out, "\n");
		(void)fprintf(out, "%c%s.\n", c->summary[0] & ~0x20, c->summary + 1);
		if (c->details != NULL)
			put_roff(out, c->details);
		if (c->options != NULL) {
			(void)fprintf(out, ".Bl -tag -width Ds\n");
			put_roff_options(out, c->options);
			(void)fprintf(out, ".El\n");
		}
		if (c->example != NULL)
			(void)fprintf(out, ".Dl %s\n", c->example);
	}
}

static void put_roff_resources(FILE *out)
{
	for (const struct resource *r = resource_table; r->name != NULL; r++)
		(void)fprintf(out, ".It Cm %s\n%c%s.\n", r->name, r->summary[0] & ~0x20, r->summary + 1);
}

static void put_roff_exits(FILE *out)
{
#define X(name, number, meaning) (void)fprintf(out, ".It %d\n%s.\n", number, meaning);
	EXIT_CODES(X)
#undef X
}

int help_mdoc(FILE *out, const char *part)
{
	if (strcmp(part, "commands") == 0)
		put_roff_commands(out);
	else if (strcmp(part, "options") == 0)
		put_roff_options(out, commands_global);
	else if (strcmp(part, "resources") == 0)
		put_roff_resources(out);
	else if (strcmp(part, "exits") == 0)
		put_roff_exits(out);
	else
		return -1;
	return 0;
}

int command_help(struct invocation *in)
{
	const struct command *c;

	if (in->argc == 0) {
		help_all(in->out);
		return EXIT_DONE;
	}
	if (strncmp(in->argv[0], "mdoc:", 5) == 0) /* what scripts/man asks */
		return help_mdoc(in->out, in->argv[0] + 5) == 0 ? EXIT_DONE : EXIT_USAGE;
	if ((c = commands_find(in->argv[0])) == NULL)
		return invocation_usage(in, "there is no command '%s'", in->argv[0]);
	help_command(in->out, c);
	return EXIT_DONE;
}
