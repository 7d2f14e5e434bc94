/*
 * completion - what the shells offer after `portway `: printed from the tables of commands and options, so that a new row is
 * offered as well.
 */
#include "client/commands/command.h"
#include "client/resource/resource.h"

#include <string.h>

/* ---- what they have in common ------------------------------------------------------------------------------------- */

static void put_commands(FILE *out)
{
	for (const struct command *c = commands_table; c->name != NULL; c++)
		(void)fprintf(out, "%s%s", c == commands_table ? "" : " ", c->name);
}

/* What may stand as the first word after the command's name, by blanks. */
static void put_first_words(FILE *out, const struct command *c)
{
	if (c->words == WORDS_COMMAND)
		put_commands(out);
	for (const struct resource *r = resource_table; c->words == WORDS_RESOURCE && r->name != NULL; r++)
		(void)fprintf(out, "%s%s", r == resource_table ? "" : " ", r->name);
	for (const char *const *w = c->list; c->words == WORDS_LIST && *w != NULL; w++)
		(void)fprintf(out, "%s%s", w == c->list ? "" : " ", *w);
}

static void put_options(FILE *out, const struct option_row *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++)
		(void)fprintf(out, " --%s", rows->name);
}

/* fn for each option of all commands, the global ones first. */
static void each_option(FILE *out, void (*fn)(FILE *, const struct option_row *))
{
	for (const struct option_row *r = commands_global; r->name != NULL; r++)
		fn(out, r);
	for (const struct command *c = commands_table; c->name != NULL; c++)
		for (const struct option_row *r = c->options; r != NULL && r->name != NULL; r++)
			fn(out, r);
}

/* A single-quoted word of a shell; none of our texts has a quote, and one that had would stay harmless. */
static void put_quoted(FILE *out, const char *s)
{
	(void)fputc('\'', out);
	for (; *s != '\0'; s++)
		(void)fputc(*s == '\'' ? '`' : *s, out);
	(void)fputc('\'', out);
}

/* ---- bash --------------------------------------------------------------------------------------------------------- */

static bool takes_next(const struct option_row *r)
{
	return r->type != OPTION_FLAG && !r->optional;
}

static void put_names(FILE *out, const struct option_row *r)
{
	(void)fprintf(out, "--%s", r->name);
	if (r->letter != 0)
		(void)fprintf(out, "|-%c", r->letter);
}

static void put_bash_skip(FILE *out, const struct option_row *r)
{
	if (!takes_next(r))
		return;
	(void)fputs("\t\t", out);
	put_names(out, r);
	(void)fputs(") ((i++)) ;;\n", out);
}

static void put_bash_value(FILE *out, const struct option_row *r)
{
	if (!takes_next(r))
		return;
	(void)fputc('\t', out);
	put_names(out, r);
	if (r->type == OPTION_CHOICE) {
		(void)fputs(") COMPREPLY=($(compgen -W '", out);
		for (const char *const *c = r->choices; *c != NULL; c++)
			(void)fprintf(out, "%s%s", c == r->choices ? "" : " ", *c);
		(void)fputs("' -- \"$cur\")); return ;;\n", out);
	} else {
		(void)fputs(r->type == OPTION_FILE ? ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
						   : ") return ;;\n",
			out);
	}
}

static void put_bash(FILE *out)
{
	(void)fputs("# portway completion bash\n"
		    "_portway() {\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= place=0 words= "
		    "options= i\n"
		    "\tCOMPREPLY=()\n"
		    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		    "\t\tcase ${COMP_WORDS[i]} in\n",
		out);
	each_option(out, put_bash_skip);
	(void)fputs("\t\t-*) ;;\n"
		    "\t\t*) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ((place++)); fi ;;\n"
		    "\t\tesac\n"
		    "\tdone\n"
		    "\tcase $prev in\n",
		out);
	each_option(out, put_bash_value);
	(void)fputs("\tesac\n"
		    "\tcase $command in\n"
		    "\t'') words='",
		out);
	put_commands(out);
	(void)fputs("' ;;\n", out);
	for (const struct command *c = commands_table; c->name != NULL; c++) {
		(void)fprintf(out, "\t%s) words='", c->name);
		put_first_words(out, c);
		(void)fputs("' options='", out);
		put_options(out, c->options);
		(void)fputs("' ;;\n", out);
	}
	(void)fputs("\tesac\n"
		    "\tif [[ $cur == -* ]]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$options",
		out);
	put_options(out, commands_global);
	(void)fputs("\" -- \"$cur\"))\n"
		    "\telif ((place == 0)); then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		    "\tfi\n"
		    "}\n"
		    "complete -F _portway portway\n",
		out);
}

/* ---- zsh ---------------------------------------------------------------------------------------------------------- */

/* Brackets and colons mean something to _arguments. */
static void put_zsh_text(FILE *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (strchr("[]:\\", *s) != NULL)
			(void)fputc('\\', out);
		(void)fputc(*s == '\'' ? '`' : *s, out);
	}
}

static void put_zsh_option(FILE *out, const struct option_row *r)
{
	(void)fprintf(out, " \\\n\t\t'--%s%s[", r->name, r->value == NULL ? "" : r->optional ? "=-" : "=");
	put_zsh_text(out, r->help);
	(void)fputc(']', out);
	if (r->value != NULL) {
		(void)fprintf(out, "%s:%s:", r->optional ? ":" : "", r->value);
		if (r->type == OPTION_FILE)
			(void)fputs("_files", out);
		for (const char *const *c = r->choices; c != NULL && *c != NULL; c++)
			(void)fprintf(out, "%s%s", c == r->choices ? "(" : " ", *c);
		if (r->choices != NULL)
			(void)fputc(')', out);
	}
	(void)fputc('\'', out);
}

static void put_zsh_command(FILE *out, const struct command *c)
{
	(void)fprintf(out, "\t%s)\n\t\t_arguments", c->name);
	for (const struct option_row *r = commands_global; r->name != NULL; r++)
		put_zsh_option(out, r);
	for (const struct option_row *r = c->options; r != NULL && r->name != NULL; r++)
		put_zsh_option(out, r);
	if (c->words != WORDS_NONE) {
		(void)fputs(" \\\n\t\t'1::word:(", out);
		put_first_words(out, c);
		(void)fputs(")'", out);
	}
	(void)fputs("\n\t\t;;\n", out);
}

static void put_zsh(FILE *out)
{
	(void)fputs("#compdef portway\n"
		    "# portway completion zsh\n"
		    "_portway() {\n"
		    "\tlocal context state state_descr line\n"
		    "\ttypeset -A opt_args\n"
		    "\t_arguments -C",
		out);
	for (const struct option_row *r = commands_global; r->name != NULL; r++)
		put_zsh_option(out, r);
	(void)fputs(" \\\n\t\t'1:command:->command' '*::word:->words'\n"
		    "\tcase $state in\n"
		    "\tcommand)\n"
		    "\t\tlocal -a commands=(\n",
		out);
	for (const struct command *c = commands_table; c->name != NULL; c++) {
		(void)fprintf(out, "\t\t\t'%s:", c->name);
		put_zsh_text(out, c->summary);
		(void)fputs("'\n", out);
	}
	(void)fputs("\t\t)\n"
		    "\t\t_describe command commands\n"
		    "\t\treturn\n"
		    "\t\t;;\n"
		    "\tesac\n"
		    "\tcase $line[1] in\n",
		out);
	for (const struct command *c = commands_table; c->name != NULL; c++)
		put_zsh_command(out, c);
	(void)fputs("\tesac\n"
		    "}\n"
		    "if [[ $funcstack[1] == _portway ]]; then _portway \"$@\"; else compdef _portway portway; fi\n",
		out);
}

/* ---- fish --------------------------------------------------------------------------------------------------------- */

static void put_fish_option(FILE *out, const char *when, const struct option_row *r)
{
	(void)fprintf(out, "complete -c portway%s -l %s", when, r->name);
	if (r->letter != 0)
		(void)fprintf(out, " -s %c", r->letter);
	if (takes_next(r))
		(void)fputs(r->type == OPTION_FILE ? " -rF" : " -x", out);
	for (const char *const *c = r->choices; c != NULL && *c != NULL; c++)
		(void)fprintf(out, "%s%s", c == r->choices ? " -a '" : " ", *c);
	if (r->choices != NULL)
		(void)fputc('\'', out);
	(void)fputs(" -d ", out);
	put_quoted(out, r->help);
	(void)fputc('\n', out);
}

static void put_fish(FILE *out)
{
	(void)fputs("# portway completion fish\ncomplete -c portway -f\n", out);
	for (const struct option_row *r = commands_global; r->name != NULL; r++)
		put_fish_option(out, "", r);
	for (const struct command *c = commands_table; c->name != NULL; c++) {
		char when[96];

		(void)fprintf(out, "complete -c portway -n __fish_use_subcommand -a %s -d ", c->name);
		put_quoted(out, c->summary);
		(void)fputc('\n', out);
		(void)snprintf(when, sizeof when, " -n '__fish_seen_subcommand_from %s'", c->name);
		if (c->words != WORDS_NONE) {
			(void)fprintf(out, "complete -c portway%s -a '", when);
			put_first_words(out, c);
			(void)fputs("'\n", out);
		}
		for (const struct option_row *r = c->options; r != NULL && r->name != NULL; r++)
			put_fish_option(out, when, r);
	}
}

int command_completion(struct invocation *in)
{
	if (strcmp(in->argv[0], "bash") == 0)
		put_bash(in->out);
	else if (strcmp(in->argv[0], "zsh") == 0)
		put_zsh(in->out);
	else if (strcmp(in->argv[0], "fish") == 0)
		put_fish(in->out);
	else
		return invocation_usage(in, "there is completion for bash, zsh and fish, not for '%s'", in->argv[0]);
	return EXIT_DONE;
}
