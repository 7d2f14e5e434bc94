/*
 * options - the command line of controld, and the settings that it leads to.
 *
 * Owner: main; strings are borrowed from argv. Kept for as long as the program runs: a reload reads the same sources.
 */
#ifndef PORTWAY_CONTROLD_OPTIONS_H
#define PORTWAY_CONTROLD_OPTIONS_H

#include "common/base/macros.h"
#include "controld/settings.h"

#include <stddef.h>
#include <stdio.h>

struct err;
struct err_list;

#define OPTIONS_SET_MAX 64

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK_CONFIG,
	OPTIONS_PRINT_CONFIG,
	OPTIONS_PRINT_EXAMPLE,
	OPTIONS_PRINT_MDOC,
	OPTIONS_VERSION,
	OPTIONS_HELP,
};

struct options {
	enum options_action action;
	const char *config;                   /* --config, or CONFIG_FILE, or NULL */
	const char *set[OPTIONS_SET_MAX + 1]; /* NULL-terminated */
	size_t n_set;
	/* of `controld db` */
	const char *database; /* -database URL */
	const char *schema;   /* -schema NAME */
	const char *yes;      /* --yes NAME */
	bool replace;         /* --replace */
	bool force;           /* --force */
	const char *args[3];  /* what is no flag: the command, and its file or databases */
	size_t n_args;
};

/* ERR_BAD_REQUEST for wrong usage. database: the flags and arguments of `controld db` are known, too. */
int options_parse(struct options *o, int argc, char **argv, bool database, struct err *e) MUST_CHECK;
void options_help(FILE *out);
/* Loads the settings from everywhere; -1 with every error in *errs. */
int options_settings(const struct options *o, struct settings **out, struct err_list *errs) MUST_CHECK;
/* The same for a person: prints what is wrong on standard error. */
int options_settings_or_say(const struct options *o, struct settings **out) MUST_CHECK;

#endif
