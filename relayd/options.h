/*
 * options - the command line of relayd, and the settings that it leads to.
 *
 * Owner: main; strings are borrowed from argv. Kept for as long as the program runs: a reload and a successor read the
 * same sources.
 */
#ifndef PORTWAY_RELAYD_OPTIONS_H
#define PORTWAY_RELAYD_OPTIONS_H

#include "common/base/macros.h"
#include "relayd/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct err;

#define OPTIONS_SET_MAX 64
/* Added by a predecessor: this process takes over what it is handed on CHILD_FD. */
#define OPTIONS_SUCCESSOR_WORD "--successor"

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
	bool successor;
	const char *config;                   /* --config, or CONFIG_FILE, or NULL */
	const char *set[OPTIONS_SET_MAX + 1]; /* NULL-terminated */
	size_t n_set;
	int argc; /* as given, for a successor */
	char **argv;
};

/* ERR_BAD_REQUEST for wrong usage. */
int options_parse(struct options *o, int argc, char **argv, struct err *e) MUST_CHECK;
void options_help(FILE *out);
/* Loads the settings from everywhere; -1 and every error was printed on standard error. */
int options_settings(const struct options *o, struct settings *out) MUST_CHECK;

#endif
