#include "client/commands/command_options.h"

#include "client/api/api.h"
#include "client/commands/command.h"

static const char *const formats[] = { "table", "json", "yaml", "name", NULL };

const struct option_row commands_global[] = {
	{ .name = "url",
		.type = OPTION_TEXT,
		.value = "URL",
		.help = "where controld answers; else PORTWAY_URL, the profile's, " API_URL_DEFAULT },
	{ .name = "profile",
		.type = OPTION_TEXT,
		.value = "NAME",
		.help = "which login; else PORTWAY_PROFILE, default" },
	{ .name = "ca",
		.type = OPTION_FILE,
		.value = "FILE",
		.help = "certificates that vouch for controld; else PORTWAY_CA, the system's" },
	{ .name = "timeout",
		.type = OPTION_DURATION,
		.value = "TIME",
		.min = 100,
		.max = 600000,
		.help = "for one try of a call; default 15s" },
	{ .name = "tries",
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 100,
		.help = "of a call that the network swallows; default 4" },
	{ .name = "output",
		.letter = 'o',
		.type = OPTION_CHOICE,
		.value = "FORMAT",
		.choices = formats,
		.help = "table for people, json or yaml for programs, name for ids alone" },
	{ .name = "json", .type = OPTION_FLAG, .help = "as --output json" },
	{ .name = "help", .letter = 'h', .type = OPTION_FLAG, .help = "how to use it" },
	{ .name = "version", .type = OPTION_FLAG, .help = "print the version" },
	{ .name = NULL },
};

const struct option_row command_options_agent[] = {
	{ .name = "config", .type = OPTION_FILE, .value = "FILE", .help = "settings, as YAML" },
	{ .name = "set",
		.type = OPTION_TEXT,
		.value = "KEY=VALUE",
		.help = "one setting, before the file and the environment; several times" },
	{ .name = "check-config", .type = OPTION_FLAG, .help = "say every error in the settings, and end" },
	{ .name = "print-config", .type = OPTION_FLAG, .help = "print the settings in effect, and end" },
	{ .name = "print-example", .type = OPTION_FLAG, .help = "print a file with every setting, and end" },
	{ .name = "print-mdoc", .type = OPTION_FLAG, .help = "print the settings as rows of the man page, and end" },
	{ .name = "runtime-dir",
		.type = OPTION_FILE,
		.value = "FOLDER",
		.help = "with status and reload: the runtime_dir of the agent that is meant" },
	{ .name = NULL },
};

const struct option_row command_options_login[] = {
	{ .name = "email",
		.type = OPTION_TEXT,
		.value = "EMAIL",
		.help = "account, by email or username; else it is asked for" },
	{ .name = "tenant", .type = OPTION_TEXT, .value = "ID", .help = "for accounts of several tenants" },
	{ .name = NULL },
};

#define COLUMNS                                                                                    \
	{                                                                                          \
		.name = "columns", .type = OPTION_TEXT, .value = "A,B.C",                          \
		.help = "members that the table shows, by their paths, in place of the usual ones" \
	}
#define WATCH                                                                                                     \
	{ .name = "watch",                                                                                        \
		.letter = 'w',                                                                                    \
		.type = OPTION_FLAG,                                                                              \
		.help = "go on and tell what is new, changed and gone, one line (or JSON object) for each" },     \
	{                                                                                                         \
		.name = "interval", .type = OPTION_DURATION, .value = "TIME", .min = 100, .max = 3600000,         \
		.help = "with --watch: how often to look besides what is pushed; default 5s, 2s where nothing is" \
	}
#define BODY_FILE                                                                       \
	{                                                                               \
		.name = "file", .letter = 'f', .type = OPTION_FILE, .value = "FILE",    \
		.help = "JSON to begin with, - for the standard input; words change it" \
	}
#define BODY                                                                                                          \
	BODY_FILE,                                                                                                    \
	{                                                                                                             \
		.name = "wait", .type = OPTION_DURATION, .optional = true, .value = "TIME", .min = 0, .max = 3600000, \
		.help = "of a mapping: until its relays serve it or refuse it; default 30s"                           \
	}
#define IF_MATCH                                                                     \
	{                                                                            \
		.name = "if-match", .type = OPTION_TEXT, .value = "VERSION",         \
		.help = "only if it is still this version, as get shows it (else 6)" \
	}

const struct option_row command_options_list[] = {
	{ .name = "limit",
		.letter = 'n',
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 10000000,
		.help = "objects at most; default all" },
	COLUMNS,
	WATCH,
	{ .name = NULL },
};
const struct option_row command_options_webhook[] = {
	{ .name = "limit",
		.letter = 'n',
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 10000000,
		.help = "with ls and log: at most so many; default all" },
	COLUMNS,
	WATCH,
	{ .name = NULL },
};

const struct option_row command_options_ca[] = {
	{ .name = "force",
		.type = OPTION_FLAG,
		.help = "with retire: though some have not taken the new one; relays without it must join again" },
	{ .name = "wait",
		.type = OPTION_DURATION,
		.optional = true,
		.value = "TIME",
		.min = 0,
		.max = 3600000,
		.help = "until all have taken it, or fail with 1; default 10m" },
	{ .name = NULL },
};

const struct option_row command_options_job[] = {
	{ .name = "follow", .letter = 'f', .type = OPTION_FLAG, .help = "with logs: go on until the job has ended" },
	{ .name = "fresh", .type = OPTION_FLAG, .help = "with retry: from the beginning" },
	{ .name = "limit",
		.letter = 'n',
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 10000000,
		.help = "with ls: jobs at most; default all" },
	COLUMNS,
	WATCH,
	{ .name = NULL },
};
const struct option_row command_options_logs[] = {
	{ .name = "limit",
		.letter = 'n',
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 1000000,
		.help = "entries to begin with; default 20" },
	{ .name = "follow", .letter = 'f', .type = OPTION_FLAG, .help = "go on and show each new entry" },
	{ .name = "interval",
		.type = OPTION_DURATION,
		.value = "TIME",
		.min = 100,
		.max = 3600000,
		.help = "with --follow: how often to look besides what is pushed; default 30s, 1s where nothing is" },
	COLUMNS,
	{ .name = NULL },
};
const struct option_row command_options_top[] = {
	{ .name = "interval",
		.type = OPTION_DURATION,
		.value = "TIME",
		.min = 100,
		.max = 3600000,
		.help = "between two looks; default 2s" },
	{ .name = "limit",
		.letter = 'n',
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 1000000,
		.help = "looks; default: until q or ctrl-c" },
	{ .name = NULL },
};
const struct option_row command_options_api[] = { BODY_FILE, { .name = NULL } };
const struct option_row command_options_get[] = { COLUMNS, WATCH, { .name = NULL } };
const struct option_row command_options_create[] = { BODY, COLUMNS, { .name = NULL } };
const struct option_row command_options_update[] = { BODY, IF_MATCH, COLUMNS, { .name = NULL } };
const struct option_row command_options_delete[] = { IF_MATCH, { .name = NULL } };

const struct option_row command_options_service[] = {
	{ .name = "user", .type = OPTION_FLAG, .help = "of your own systemd, not of the system's" },
	{ .name = "config", .type = OPTION_FILE, .value = "FILE", .help = "settings that the agent reads" },
	{ .name = "program", .type = OPTION_FILE, .value = "FILE", .help = "the portway that runs; else this one" },
	{ .name = "no-start", .type = OPTION_FLAG, .help = "only the file, without asking systemctl" },
	{ .name = NULL },
};
const struct option_row command_options_client[] = {
	{ .name = "overlap",
		.type = OPTION_DURATION,
		.value = "TIME",
		.min = 0,
		.max = INT64_C(2592000000),
		.help = "with rotate: how long the secrets before it work on; default 24h" },
	{ .name = "limit",
		.letter = 'n',
		.type = OPTION_NUMBER,
		.value = "N",
		.min = 1,
		.max = 10000000,
		.help = "with ls: clients at most; default all" },
	COLUMNS,
	WATCH,
	{ .name = NULL },
};
const struct option_row command_options_config[] = {
	IF_MATCH,
	{ .name = "interval",
		.type = OPTION_DURATION,
		.value = "TIME",
		.min = 100,
		.max = 3600000,
		.help = "with watch: how often to look besides what is pushed; default 5s, 2s where nothing is" },
	COLUMNS,
	{ .name = NULL },
};
const struct option_row command_options_quota[] = { BODY_FILE, IF_MATCH, COLUMNS, { .name = NULL } };
