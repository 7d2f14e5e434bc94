/*
 * command - a row of the command line: name, words, options, sentences, function. Dispatch, --help, completion and the man
 * page come from the rows; commands.c holds them.
 *
 * To add a command: a file commands/<name>.c with its command_<name>(), its prototype here, its row in commands.c.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_COMMAND_H
#define PORTWAY_CLIENT_COMMANDS_COMMAND_H

#include "client/commands/options.h"
#include "client/exit_codes.h"
#include "client/out/print.h"
#include "common/base/macros.h"

#include <stdio.h>

struct api;
struct failure;
struct invocation;

/* What completion offers for the words of a command. */
enum command_words { WORDS_NONE, WORDS_RESOURCE, WORDS_COMMAND, WORDS_LIST };

struct command {
	const char *name;
	const char *args;    /* "RESOURCE [FIELD=VALUE ...]", "" if it takes no words */
	const char *summary; /* one line */
	const char *details; /* sentences of its help and its place in the man page; NULL: the summary says all */
	const char *example; /* a whole line; NULL: none */
	const struct option_row *options; /* its own; ends with a row without name; NULL: none */
	int (*run)(struct invocation *in);
	enum command_words words;
	const char *const *list;  /* WORDS_LIST: first words, NULL at the end */
	int words_min, words_max; /* how many words it takes; checked before it runs; max -1: any number */
};

/* One command as it was called. */
struct invocation {
	const struct command *command;
	struct options options; /* the global ones and its own */
	int argc;
	char **argv;  /* its words */
	FILE *out;    /* stdout */
	char who[48]; /* "portway list", which begins each complaint */
};

/* The table; ends with a row without name. */
extern const struct command commands_table[];
extern const struct option_row commands_global[];
const struct command *commands_find(const char *name);

/* Everything: parses, runs, answers the exit code. argv without the program's name. */
int commands_run(int argc, char **argv, FILE *out);

/* ---- for commands ------------------------------------------------------------------------------------------------- */
/* controld, as the global options and the environment say. 0, or the exit code after a complaint. */
int invocation_api(const struct invocation *in, struct api **out);
/* The same, of the kept login alone, whatever token or key the environment has. */
int invocation_login(const struct invocation *in, struct api **out);
/* What --output or --json ask for. */
enum print_format invocation_format(const struct invocation *in);
/* Complains; the exit code. */
int invocation_fail(const struct invocation *in, const struct failure *f);
/* --if-match as a header has it: v3 and 3 become "v3". "" if it was not given. 0, or the exit code. */
int invocation_etag(const struct invocation *in, char *dst, size_t size);
int invocation_usage(const struct invocation *in, const char *fmt, ...) PRINTF(2, 3);

int command_agent(struct invocation *in);
int command_api(struct invocation *in);
int command_ca(struct invocation *in);
int command_client(struct invocation *in);
int command_completion(struct invocation *in);
int command_config(struct invocation *in);
int command_connections(struct invocation *in);
int command_create(struct invocation *in);
int command_delete(struct invocation *in);
int command_explain(struct invocation *in);
int command_get(struct invocation *in);
int command_help(struct invocation *in);
int command_http(struct invocation *in);
int command_job(struct invocation *in);
int command_tls(struct invocation *in);
int command_list(struct invocation *in);
int command_login(struct invocation *in);
int command_logout(struct invocation *in);
int command_logs(struct invocation *in);
int command_ls(struct invocation *in);
int command_quota(struct invocation *in);
int command_redeem(struct invocation *in);
int command_service(struct invocation *in);
int command_socks(struct invocation *in);
int command_status(struct invocation *in);
int command_tcp(struct invocation *in);
int command_top(struct invocation *in);
int command_udp(struct invocation *in);
int command_update(struct invocation *in);
int command_version(struct invocation *in);
int command_visit(struct invocation *in);
int command_webhook(struct invocation *in);
int command_whoami(struct invocation *in);

#endif
