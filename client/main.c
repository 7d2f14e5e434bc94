/*
 * portway - the client side: the command line. What each command does is in commands/.
 */
#include "client/commands/command.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
	{ "status", "how controld and its relays are", command_status },
	{ "version", "print the version", command_version },
};

static void usage(FILE *out)
{
	fprintf(out, "usage: portway [--controld URL] [--json] <command>\n\n"
		     "The command line of Portway: tunnels and the fleet that serves them.\n\ncommands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\noptions:\n"
		     "  --controld URL  where controld answers (PORTWAY_CONTROLD, default http://127.0.0.1:8080)\n"
		     "  --json          print JSON, for programs\n"
		     "  --help          this text\n\n"
		     "environment:\n"
		     "  PORTWAY_TOKEN   a token of POST /auth/login; with it, status lists the relays as well\n\n"
		     "exit status: 0 done, 1 bad news, 2 wrong usage, 3 no answer (try again), 4 bad "
		     "credentials\n\n"
		     "example:\n  portway --controld http://127.0.0.1:8080 status\n");
}

static const char *environment(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0' ? v : otherwise;
}

/* Takes the options out of argv, wherever they stand; the number of words left, or -1. */
static int take_options(struct command_options *opt, bool *help, int argc, char **argv)
{
	int left = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			opt->json = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*help = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			argv[left++] = "version";
		} else if (strcmp(argv[i], "--controld") == 0 && i + 1 < argc) {
			opt->controld = argv[++i];
		} else if (strncmp(argv[i], "--controld=", 11) == 0) {
			opt->controld = argv[i] + 11;
		} else if (argv[i][0] == '-') {
			fprintf(stderr, "portway: unknown or incomplete option '%s'; see portway --help\n", argv[i]);
			return -1;
		} else {
			argv[left++] = argv[i];
		}
	}
	return left;
}

static int run(const struct command_options *opt, int argc, char **argv)
{
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, argv[0]) != 0)
			continue;
		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			return EXIT_NO_ANSWER;
		rc = commands[i].run(opt, argc, argv);
		curl_global_cleanup();
		return rc;
	}
	fprintf(stderr, "portway: there is no command '%s'; see portway --help\n", argv[0]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct command_options opt = {
		.controld = environment("PORTWAY_CONTROLD", "http://127.0.0.1:8080"),
		.token = environment("PORTWAY_TOKEN", NULL),
		.out = stdout,
	};
	bool help = false;
	int left = take_options(&opt, &help, argc, argv);

	if (left < 0)
		return EXIT_USAGE;
	if (help || left == 0) {
		usage(help ? stdout : stderr);
		return help ? EXIT_DONE : EXIT_USAGE;
	}
	return run(&opt, left, argv);
}
