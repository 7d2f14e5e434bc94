#include "client/commands/command.h"

int command_version(struct invocation *in)
{
	const bool json = invocation_format(in) == PRINT_JSON;

	(void)fprintf(in->out, json ? "{\"version\":\"%s\"}\n" : "portway %s\n", PORTWAY_VERSION);
	return EXIT_DONE;
}
