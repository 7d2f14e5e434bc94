/*
 * options - what may stand on the command line beside words: const rows, from which parsing, --help, completion and the man
 * page come.
 *
 * "--name value", "--name=value", "-n value"; options and words mix; "--" ends the options; "-" is a word.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_OPTIONS_H
#define PORTWAY_CLIENT_COMMANDS_OPTIONS_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum option_type {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_FILE,
	OPTION_NUMBER,   /* min .. max */
	OPTION_DURATION, /* "30s"; its number is milliseconds, min .. max as well */
	OPTION_CHOICE,
};

struct option_row {
	const char *name; /* without "--" */
	char letter;      /* 0: none */
	enum option_type type;
	bool optional;     /* its value may be left out; then it must be written with '=' */
	const char *value; /* its name in help, "N"; NULL for a flag */
	const char *help;
	int64_t min, max;
	const char *const *choices; /* NULL at the end */
};

#define OPTIONS_MAX 24
struct options {
	size_t n;
	struct {
		const struct option_row *row;
		const char *text; /* "" for a flag, and for an optional value that is not there */
		int64_t number;
	} given[OPTIONS_MAX];
};

/*
 * Takes the options out of argv, wherever they stand, and moves the words together. rows: every list of rows that holds
 * here, NULL at the end; each list ends with a row without name. The number of words, or -1.
 */
int options_parse(
	struct options *out, const struct option_row *const *lists, int argc, char **argv, struct err *e) MUST_CHECK;

bool options_has(const struct options *o, const char *name);
/* The last one given, or otherwise. */
const char *options_text(const struct options *o, const char *name, const char *otherwise);
int64_t options_number(const struct options *o, const char *name, int64_t otherwise);

#endif
