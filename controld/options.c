#include "controld/options.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

struct flag {
	const char *name;  /* without its one or two dashes */
	const char *value; /* name of what follows; NULL: a flag alone */
	enum options_action action;
	bool database; /* of `controld db` */
	const char *help;
};

static const struct flag flags[] = {
	{ "config", "FILE", OPTIONS_RUN, false, "read settings from this YAML file (also CONFIG_FILE)" },
	{ "set", "KEY=VALUE", OPTIONS_RUN, false, "set one setting; wins over the file and the environment" },
	{ "check-config", NULL, OPTIONS_CHECK_CONFIG, false, "print every error in the settings and exit" },
	{ "print-config", NULL, OPTIONS_PRINT_CONFIG, false, "print the settings in effect and exit" },
	{ "print-example", NULL, OPTIONS_PRINT_EXAMPLE, false, "print an example file with every setting and exit" },
	{ "print-mdoc", NULL, OPTIONS_PRINT_MDOC, false, "print the settings as rows of the man page and exit" },
	{ "version", NULL, OPTIONS_VERSION, false, "print the version and exit" },
	{ "help", NULL, OPTIONS_HELP, false, "print this and exit" },
	{ "database", "URL", OPTIONS_RUN, true, "the database, instead of database.url" },
	{ "schema", "NAME", OPTIONS_RUN, true, "the last migration that is wanted" },
	{ "yes", "NAME", OPTIONS_RUN, true, "do not ask; NAME is the database's" },
	{ "replace", NULL, OPTIONS_RUN, true, "erase what is in the target of a copy" },
	{ "force", NULL, OPTIONS_RUN, true, "write a backup over what is there" },
};

void options_help(FILE *out)
{
	fputs("usage: controld [FLAG...]              run the control plane in the foreground\n"
	      "       controld db COMMAND [FLAG...]   look after its database ('controld db help')\n"
	      "\n"
	      "Settings come from, in rising order: their defaults, the file, the environment, --set.\n"
	      "It needs none; the first start makes an administrator and says where the password is.\n"
	      "\nflags:\n",
		out);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		char left[40];

		if (flags[i].database)
			continue;
		(void)str_fmt(left, sizeof left, "--%s%s%s", flags[i].name, flags[i].value ? " " : "",
			flags[i].value ? flags[i].value : "");
		fprintf(out, "  %-18s %s\n", left, flags[i].help);
	}
	fputc('\n', out);
	conf_print_help(&settings_table, out);
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

/* "--name" or "-name", perhaps with "=value"; *value points behind the sign. */
static const struct flag *flag_find(const char *arg, bool database, const char **value)
{
	const char *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t n = strcspn(name, "=");

	*value = name[n] == '=' ? name + n + 1 : NULL;
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if ((database || !flags[i].database) && strlen(flags[i].name) == n &&
			memcmp(flags[i].name, name, n) == 0)
			return &flags[i];
	return NULL;
}

static int flag_take(struct options *o, const struct flag *f, const char *value, struct err *e)
{
	if (str_eq(f->name, "replace")) {
		o->replace = true;
	} else if (str_eq(f->name, "force")) {
		o->force = true;
	} else if (f->value == NULL) {
		o->action = f->action;
	} else if (str_eq(f->name, "config")) {
		o->config = value;
	} else if (str_eq(f->name, "database")) {
		o->database = value;
	} else if (str_eq(f->name, "schema")) {
		o->schema = value;
	} else if (str_eq(f->name, "yes")) {
		o->yes = value;
	} else {
		if (o->n_set == OPTIONS_SET_MAX)
			return err_set(e, ERR_BAD_REQUEST, NULL, "--set: at most %d times", OPTIONS_SET_MAX);
		o->set[o->n_set++] = value;
	}
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, bool database, struct err *e)
{
	memset(o, 0, sizeof *o);
	o->config = getenv("CONFIG_FILE");
	for (int i = 1; i < argc; i++) {
		const struct flag *f;
		const char *value;

		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (!database || o->n_args == ARRAY_LEN(o->args))
				return err_set(e, ERR_BAD_REQUEST, NULL, "%s: not expected here", argv[i]);
			o->args[o->n_args++] = argv[i];
			continue;
		}
		if ((f = flag_find(argv[i], database, &value)) == NULL)
			return err_set(e, ERR_BAD_REQUEST, NULL, "%s: no such flag", argv[i]);
		if (f->value != NULL && value == NULL && (value = argv[++i]) == NULL)
			return err_set(e, ERR_BAD_REQUEST, NULL, "--%s: %s is missing", f->name, f->value);
		if (f->value == NULL && value != NULL)
			return err_set(e, ERR_BAD_REQUEST, NULL, "--%s: takes no value", f->name);
		if (flag_take(o, f, value, e) != 0)
			return -1;
	}
	return 0;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

int options_settings(const struct options *o, struct settings **out, struct err_list *errs)
{
	const struct conf_source src = {
		.file = o->config != NULL && *o->config != '\0' ? o->config : NULL,
		.file_must_exist = true,
		.env = (const char *const *)environ,
		.set = o->set,
	};

	return settings_load(out, &src, errs);
}

int options_settings_or_say(const struct options *o, struct settings **out)
{
	struct err_list *errs = calloc(1, sizeof *errs);
	int rc;

	if (errs == NULL) {
		fputs("controld: out of memory\n", stderr);
		return -1;
	}
	rc = options_settings(o, out, errs);
	for (size_t i = 0; i < errs->n; i++)
		fprintf(stderr, "controld: %s\n", errs->items[i].msg);
	if (errs->dropped > 0)
		fprintf(stderr, "controld: and %zu more\n", errs->dropped);
	free(errs);
	return rc;
}
