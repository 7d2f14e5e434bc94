#define _GNU_SOURCE
#include "relayd/options.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct flag {
	const char *name;  /* with its dashes */
	const char *value; /* what follows; NULL: nothing */
	enum options_action action;
	const char *help; /* NULL: not for people */
};

static const struct flag flags[] = {
	{ "--config", "FILE", OPTIONS_RUN, "read settings from this YAML file (also CONFIG_FILE)" },
	{ "--set", "KEY=VALUE", OPTIONS_RUN, "set one setting; wins over the file and the environment" },
	{ "--check-config", NULL, OPTIONS_CHECK_CONFIG, "print every error in the settings and exit" },
	{ "--print-config", NULL, OPTIONS_PRINT_CONFIG, "print the settings in effect and exit" },
	{ "--print-example", NULL, OPTIONS_PRINT_EXAMPLE, "print an example file with every setting and exit" },
	{ "--print-mdoc", NULL, OPTIONS_PRINT_MDOC, "print the settings as rows of the man page and exit" },
	{ "--version", NULL, OPTIONS_VERSION, "print the version and exit" },
	{ "--help", NULL, OPTIONS_HELP, "print this and exit" },
	{ OPTIONS_SUCCESSOR_WORD, NULL, OPTIONS_RUN, NULL },
};

void options_help(FILE *out)
{
	fputs("usage: relayd [FLAG...]\n\n"
	      "Runs a relay in the foreground: it joins controld, opens the tunnel ports it is given, forwards\n"
	      "TCP and UDP, and reports what passed. The first start needs RELAYD_CONTROLD and RELAYD_JOIN_TOKEN.\n"
	      "Settings come from, in rising order: their defaults, the file, the environment, --set.\n\nflags:\n",
		out);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		char left[40];

		if (flags[i].help == NULL)
			continue;
		str_fmt(left, sizeof left, "%s%s%s", flags[i].name, flags[i].value != NULL ? " " : "",
			flags[i].value != NULL ? flags[i].value : "");
		fprintf(out, "  %-18s %s\n", left, flags[i].help);
	}
	fputs("\nsignals: HUP reads the settings again, USR2 hands over to the program file as it is now,\n"
	      "TERM and INT drain and stop; a second one stops at once\n\n",
		out);
	conf_print_help(settings_table(), out);
}

/* "--name value" or "--name=value"; *value points at what stands behind the sign, or is NULL. */
static const struct flag *find_flag(const char *arg, const char **value)
{
	size_t n = strcspn(arg, "=");

	*value = arg[n] == '=' ? arg + n + 1 : NULL;
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (strlen(flags[i].name) == n && memcmp(flags[i].name, arg, n) == 0)
			return &flags[i];
	return NULL;
}

static int take_flag(struct options *o, const struct flag *f, const char *value, struct err *e)
{
	if (str_eq(f->name, OPTIONS_SUCCESSOR_WORD))
		o->successor = true;
	else if (f->value == NULL)
		o->action = f->action;
	else if (str_eq(f->name, "--config"))
		o->config = value;
	else if (o->n_set < OPTIONS_SET_MAX)
		o->set[o->n_set++] = value;
	else
		return err_set(e, ERR_BAD_REQUEST, NULL, "--set: at most %d times", OPTIONS_SET_MAX);
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	*o = (struct options){ .config = getenv("CONFIG_FILE"), .argc = argc, .argv = argv };
	for (int i = 1; i < argc; i++) {
		const char *value;
		const struct flag *f = find_flag(argv[i], &value);

		if (f == NULL)
			return err_set(e, ERR_BAD_REQUEST, NULL, "%s: no such flag", argv[i]);
		if (f->value == NULL && value != NULL)
			return err_set(e, ERR_BAD_REQUEST, NULL, "%s takes no value", f->name);
		if (f->value != NULL && value == NULL && (value = argv[++i]) == NULL)
			return err_set(e, ERR_BAD_REQUEST, NULL, "%s: %s is missing", f->name, f->value);
		if (take_flag(o, f, value, e) != 0)
			return -1;
	}
	return 0;
}

int options_settings(const struct options *o, struct settings *out)
{
	const struct conf_source src = { .file = o->config != NULL && o->config[0] != '\0' ? o->config : NULL,
		.file_must_exist = true,
		.env = (const char *const *)environ,
		.set = o->set };
	struct err_list *errs = calloc(1, sizeof *errs);
	int r;

	if (errs == NULL) {
		fputs("relayd: out of memory\n", stderr);
		return -1;
	}
	r = settings_load(out, &src, errs);
	for (size_t i = 0; i < errs->n; i++)
		fprintf(stderr, "relayd: %s\n", errs->items[i].msg);
	if (errs->dropped > 0)
		fprintf(stderr, "relayd: and %zu more\n", errs->dropped);
	free(errs);
	return r;
}
