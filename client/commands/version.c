#include "client/commands/command.h"

int command_version(const struct command_options *opt, int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fprintf(stderr, "portway version: takes no arguments\n");
		return EXIT_USAGE;
	}
	fprintf(opt->out, opt->json ? "{\"version\":\"%s\"}\n" : "portway %s\n", PORTWAY_VERSION);
	return EXIT_DONE;
}
