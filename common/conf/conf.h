/*
 * conf - a program's settings from one const table: defaults, then the YAML file, then environment, then flags.
 *
 * A row is one setting. The same table checks values, prints --help, --print-config, the example file and the
 * "settings" section of the man page. All errors are collected, each naming source, key, value and valid range.
 *
 * Owner:  main. The struct that the values are written to belongs to the program; strings are malloc'ed into it
 *         and released by conf_free().
 * Thread: set up before threads; a reload builds a second struct and the program swaps what may change.
 */
#ifndef PORTWAY_CONF_CONF_H
#define PORTWAY_CONF_CONF_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err_list;

enum conf_type {
	CONF_STR,      /* char * */
	CONF_BOOL,     /* bool */
	CONF_U64,      /* uint64_t, between min and max */
	CONF_SIZE,     /* uint64_t bytes: "64KiB" */
	CONF_DURATION, /* uint64_t milliseconds: "30s" */
	CONF_ENUM,     /* int: index into choices */
	CONF_LISTEN,   /* char *: "127.0.0.1:8080", "[::1]:8080" */
};

enum conf_flags {
	CONF_RELOAD = 1,       /* takes effect on SIGHUP */
	CONF_SECRET = 2,       /* printed as *** */
	CONF_ALIAS_UNUSED = 4, /* accepted for compatibility, ignored with one warning */
};

struct conf_key {
	const char *key;     /* "http.listen": YAML path */
	const char *env;     /* "CONTROLD_HTTP_LISTEN"; NULL: none */
	const char *aliases; /* further environment names and YAML paths, blank-separated; NULL: none */
	enum conf_type type;
	size_t offset;              /* offsetof the member in the program's struct */
	const char *def;            /* default as it would be written in the file */
	uint64_t min, max;          /* of the number, or bytes of the text (min > 0: required); max 0: no limit */
	const char *const *choices; /* CONF_ENUM: NULL-terminated */
	unsigned flags;
	const char *unit; /* "bytes", "connections"; "" for none */
	const char *help; /* one sentence */
};

struct conf_table {
	const char *program;
	const struct conf_key *keys; /* sorted by key, so that a section's rows are together */
	size_t n;
};

/* Where the values may come from; file NULL: none, must_exist: a missing file is an error. */
struct conf_source {
	const char *file;
	bool file_must_exist;
	const char *const *env; /* environ, or a test's */
	const char *const *set; /* NULL-terminated "key=value" pairs from the flags */
};

/*
 * Fills *target (zeroed by the caller) with a value for every key. 0, or -1 with all errors in *errs; then *target
 * holds what was right, and defaults in the place of what was not. conf_free() in both cases. "***" for a secret counts as not given: it is what conf_print() shows.
 */
int conf_load(
	const struct conf_table *t, void *target, const struct conf_source *src, struct err_list *errs) MUST_CHECK;
/* Whether so much could not be read that what seems to be missing may be there: then values are not looked at together. */
bool conf_is_partial(const struct err_list *errs);
void conf_free(const struct conf_table *t, void *target);
/*
 * A name of the environment that begins like those of the table and is none of them is most likely misspelt: each is warned about
 * in the log, with the name that is nearest. conf_load() does it.
 */
void conf_warn_env(const struct conf_table *t, const char *const *env);
/* --print-config: every key with its value in effect, as YAML that can be read back; secrets as ***. */
void conf_print(const struct conf_table *t, const void *target, FILE *out);
/* The example file: every key commented with its help, unit, range, environment name and default. */
void conf_print_example(const struct conf_table *t, FILE *out);
/* The flags part of --help, and the man page's rows (mdoc .It lines). */
void conf_print_help(const struct conf_table *t, FILE *out);
void conf_print_mdoc(const struct conf_table *t, FILE *out);
/* Names of reloadable keys whose value differs; calls fn for each, and for those that would need a restart. */
void conf_diff(const struct conf_table *t, const void *old, const void *new_,
	void (*fn)(const struct conf_key *k, bool reloadable, void *arg), void *arg);

#endif
