/*
 * command - a row of the command line: name, arguments, one sentence, function. Help and dispatch come from
 * the rows.
 *
 * Exit codes: 0 done, 1 the answer is bad news (unhealthy, refused), 2 wrong usage, 3 nothing answered (try
 * again), 4 the credentials are bad (do not try again).
 */
#ifndef PORTWAY_CLIENT_COMMANDS_COMMAND_H
#define PORTWAY_CLIENT_COMMANDS_COMMAND_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdio.h>

enum command_exit { EXIT_DONE = 0, EXIT_BAD_NEWS = 1, EXIT_USAGE = 2, EXIT_NO_ANSWER = 3, EXIT_CREDENTIALS = 4 };

/* What holds for every command: flags before or after its name, else the environment. */
struct command_options {
	const char *controld; /* base URL; PORTWAY_CONTROLD */
	const char *token;    /* Bearer token; PORTWAY_TOKEN, NULL: none. Never a flag: arguments are visible to
	                      others */
	bool json;            /* print JSON, for programs */
	FILE *out;
};

struct command {
	const char *name;
	const char *summary;
	int (*run)(const struct command_options *opt, int argc, char **argv); /* argv[0] is the command's name */
};

int command_version(const struct command_options *opt, int argc, char **argv);
int command_status(const struct command_options *opt, int argc, char **argv);

#endif
